//! Looks for images in the engine, and pulls missing ones with the registry logins of docker's client.

use std::collections::BTreeMap;

use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;
use pengine::{Engine, Environment, Registries, registry_of};
use pscreen::{Printer, Terminal, words};

use crate::error::{PullFailure, RunError, engine, is_missing};

/// Inspects an image, and pulls it if the engine does not have it.
///
/// # Errors
///
/// Returns [`RunError::RegistryLogin`] if docker's login cannot be read, or [`RunError::ImageMissing`] with the
/// engine's answer.
pub(crate) async fn find(host: &Engine, name: &str, printer: &Printer) -> Result<ImageInspect, RunError> {
    if let Some(image) = known(host, name).await? {
        return Ok(image);
    }
    pull(host, name, printer).await?;
    host.docker().inspect_image(name).await.map_err(engine(|| format!("look at image {name}")))
}

/// Inspects an image that the engine has. Returns `None` for any other image.
///
/// # Errors
///
/// Returns an error if the engine does not answer.
pub(crate) async fn known(host: &Engine, name: &str) -> Result<Option<ImageInspect>, RunError> {
    match host.docker().inspect_image(name).await {
        Ok(image) => Ok(Some(image)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(engine(|| format!("look at image {name}"))(error)),
    }
}

async fn pull(host: &Engine, name: &str, printer: &Printer) -> Result<(), RunError> {
    let registry = registry_of(name);
    let login = Registries::of_docker(Environment::of_process().docker_folder()).login(registry).await;
    let login = login.map_err(|source| RunError::RegistryLogin { registry: registry.to_owned(), source })?;
    let stranger = login.is_of_a_stranger();
    let credentials = (!stranger).then(|| login.into_docker(registry));
    // For a name without a tag, the engine would pull all tags.
    let tagged = name.contains('@') || name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let reference = if tagged { name.to_owned() } else { format!("{name}:latest") };
    let options = CreateImageOptionsBuilder::new().from_image(&reference).build();
    let mut screen = Screen::begin(name, printer);
    let mut news = host.docker().create_image(Some(options), None, credentials);
    while let Some(piece) = news.next().await {
        let piece = piece.map_err(|source| {
            screen.clear();
            let (image, registry) = (name.to_owned(), registry.to_owned());
            RunError::ImageMissing(Box::new(PullFailure { service: None, image, registry, stranger, source }))
        })?;
        screen.show(&piece);
    }
    screen.end();
    Ok(())
}

/// The line that tells how far a pull is. A terminal shows the current state; other outputs get one line.
struct Screen<'a> {
    name: &'a str,
    printer: &'a Printer,
    redraws: bool,
    layers: Layers,
    shown: String,
}

impl<'a> Screen<'a> {
    fn begin(name: &'a str, printer: &'a Printer) -> Self {
        let redraws = Terminal::of_stderr(|name| std::env::var_os(name)).redraws;
        let mut screen = Self { name, printer, redraws, layers: Layers::default(), shown: String::new() };
        match redraws {
            true => screen.draw(),
            false => printer.fact("pull", name),
        }
        screen
    }

    fn show(&mut self, piece: &CreateImageInfo) {
        self.layers.note(piece);
        if self.redraws {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let text = format!("pull      {}{}", self.name, self.layers.progress());
        if text != self.shown {
            let columns = Terminal::size_of_stderr().map_or(80, |(columns, _)| columns);
            let fitting: String = text.chars().take(columns.saturating_sub(1)).collect();
            self.printer.bytes(format!("\r\x1b[2K{fitting}").as_bytes());
            self.shown = text;
        }
    }

    fn clear(&self) {
        if self.redraws {
            self.printer.bytes(b"\r\x1b[2K");
        }
    }

    fn end(&self) {
        self.clear();
        if self.redraws {
            self.printer.fact("pull", &format!("{}{}", self.name, self.layers.total()));
        }
    }
}

/// The layers of a pull, each with the bytes that were pulled and the total of its bytes.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    fn note(&mut self, piece: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&piece.id, &piece.status) else { return };
        let detail = piece.progress_detail.as_ref();
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        match status.as_str() {
            "Pulling fs layer" | "Waiting" => {
                self.0.entry(id.clone()).or_default();
            }
            "Downloading" => {
                let (done, all) = detail.map_or((0, 0), |detail| (number(detail.current), number(detail.total)));
                let known = self.0.get(id).map_or(0, |(_, all)| *all);
                self.0.insert(id.clone(), (done, all.max(known).max(done)));
            }
            "Download complete" | "Pull complete" => {
                let (done, all) = self.0.entry(id.clone()).or_default();
                *done = *all;
            }
            _ => {}
        }
    }

    fn progress(&self) -> String {
        let (done, all) = self.0.values().fold((0, 0), |(done, all), layer| (done + layer.0, all + layer.1));
        match all {
            0 => String::new(),
            all => format!("  {} of {}", words::size(done), words::size(all)),
        }
    }

    fn total(&self) -> String {
        match self.0.values().map(|(_, all)| all).sum::<u64>() {
            0 => String::new(),
            all => format!("  {}", words::size(all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn piece(id: &str, status: &str, current: Option<i64>, total: Option<i64>) -> CreateImageInfo {
        CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(ProgressDetail { current, total }),
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn the_layers_of_a_pull_are_counted_together() {
        let mut layers = Layers::default();
        assert_eq!(layers.progress(), "");
        layers.note(&piece("a", "Pulling fs layer", None, None));
        layers.note(&piece("a", "Downloading", Some(1_000_000), Some(4_000_000)));
        layers.note(&piece("b", "Downloading", Some(500_000), Some(2_000_000)));
        layers.note(&piece("b", "Extracting", Some(1), Some(2)));
        assert_eq!(layers.progress(), "  1.50 MB of 6.00 MB");
        layers.note(&piece("a", "Download complete", None, None));
        layers.note(&piece("c", "Already exists", None, None));
        assert_eq!(layers.progress(), "  4.50 MB of 6.00 MB");
        assert_eq!(layers.total(), "  6.00 MB");
    }
}
