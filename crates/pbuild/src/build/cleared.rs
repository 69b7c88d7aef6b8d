//! A build that is clean: its files are written, its image gets its names and goes to its registries, and people read
//! about it.

use std::path::Path;

use bollard::query_parameters::TagImageOptions;
use pbuildkit::BuildResult;
use pscreen::Exit;

use super::failure::DeliveryError;
use super::metadata_file;
use super::push::Push;
use super::scene::Scene;
use crate::audit::{Audited, Built};
use crate::edge::Failure;
use crate::output::{self, Outputs, Pending};
use crate::plan::{Caches, ImageName};

/// A build that may give its image names, and its files their places.
pub(super) struct Cleared<'a> {
    scene: Scene<'a>,
    /// The image in the engine's store, where the build makes one.
    image: Option<Audited>,
    places: output::Cleared,
    engine_delivery: EngineDelivery,
    builder_delivery: BuilderDelivery,
    result: BuildResult,
}

/// The task of the engine for the image in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineDelivery {
    /// The engine names the image.
    Name,
    /// The engine names the image, and pushes it to the registries of its names.
    NameAndPush,
}

/// The place to which a builder without an engine brought the image by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BuilderDelivery {
    /// Nothing: the image is in files, or in the builder's cache alone.
    Nothing,
    /// The image is loaded into the engine of the docker context.
    Engine,
    /// The builder pushed the image to the registries of its names.
    Registry,
}

impl<'a> Cleared<'a> {
    /// Clears a build whose image and files were searched.
    pub(super) fn new(
        scene: Scene<'a>,
        outputs: &Outputs,
        image: Option<Audited>,
        places: output::Cleared,
        result: BuildResult,
    ) -> Self {
        let engine_delivery = match outputs.store() {
            Some(store) if store.is_pushed() => EngineDelivery::NameAndPush,
            Some(_) | None => EngineDelivery::Name,
        };
        let builder_delivery = match (outputs.registry(), outputs.loads()) {
            (Some(_), _) => BuilderDelivery::Registry,
            (None, true) => BuilderDelivery::Engine,
            (None, false) => BuilderDelivery::Nothing,
        };
        Self { scene, image, places, engine_delivery, builder_delivery, result }
    }

    /// Clears a build without secrets: there is nothing to search for.
    ///
    /// # Errors
    /// When a cache in a folder cannot be tagged, or the engine did not say which image it built.
    pub(super) fn without_secrets(
        scene: Scene<'a>,
        mut outputs: Outputs,
        caches: &Caches,
        result: BuildResult,
    ) -> Result<Self, DeliveryError> {
        let tagging = caches.tag_folders(&result.exporter_response);
        tagging.map_err(|(folder, source)| DeliveryError::CacheFolder { folder, source })?;
        scene.edge.fact("audit", "nothing to search for: this build has no secrets");
        let places = Pending::new(outputs.take_places()).without_secrets();
        let image = match outputs.store() {
            Some(_) => Some(built_image(&result)?.without_secrets()),
            None => None,
        };
        Ok(Self::new(scene, &outputs, image, places, result))
    }

    /// Writes the files, names and pushes the image, and reports each of these.
    ///
    /// # Errors
    /// What could not be done; everything before it is done.
    pub(super) async fn deliver(self) -> Result<Exit, Failure> {
        let Self { scene, image, places, engine_delivery, builder_delivery, mut result } = self;
        let stdout_is_taken = places.takes_standard_output();
        places.commit(scene.edge).await?;
        if let Some(image) = &image {
            name(&scene, image).await?;
            if engine_delivery == EngineDelivery::NameAndPush {
                push(&scene, image, &mut result).await?;
            }
        }
        let id = printed_id(&result);
        write_files(&scene, image.as_ref(), &result, id)?;
        if !scene.edge.quiet {
            tell(&scene, image.as_ref(), builder_delivery, &result);
        } else if !stdout_is_taken {
            // As docker: an archive on standard output stands there alone.
            scene.edge.stdout.line(id);
        }
        Ok(Exit::Done)
    }
}

/// Gives the image its names.
async fn name(scene: &Scene<'_>, image: &Audited) -> Result<(), DeliveryError> {
    let engine = scene.site.engine().ok_or(DeliveryError::NoEngine)?;
    for name in scene.plan.tags() {
        let options = TagImageOptions { repo: Some(name.repository().to_owned()), tag: Some(name.tag().to_owned()) };
        let naming = engine.docker().tag_image(image.id(), Some(options)).await;
        naming.map_err(|source| DeliveryError::Naming { name: name.clone(), source })?;
    }
    Ok(())
}

/// Pushes the image under all of its names.
async fn push(scene: &Scene<'_>, image: &Audited, result: &mut BuildResult) -> Result<(), Failure> {
    let mut push = Push::new(scene.site.engine().ok_or(DeliveryError::NoEngine)?, image, scene.edge);
    for name in scene.plan.tags() {
        if let Some(digest) = push.send(name).await? {
            scene.edge.fact("pushed", &format!("{name}  {digest}"));
            // As docker: from now on the image's digest is the one that the registry has.
            result.exporter_response.insert("containerimage.digest".to_owned(), digest);
        }
    }
    Ok(())
}

/// Writes the files that say what was built.
fn write_files(
    scene: &Scene<'_>,
    image: Option<&Audited>,
    result: &BuildResult,
    id: &str,
) -> Result<(), DeliveryError> {
    let files = scene.choices.files();
    let failed = |flag: &'static str, file: &Path| {
        let file = file.to_owned();
        move |source| DeliveryError::ResultFile { flag, file, source }
    };
    if let Some(file) = &files.image_id {
        std::fs::write(file, id).map_err(failed("--iidfile", file))?;
    }
    if let Some(file) = &files.metadata {
        let names: Vec<String> = match image {
            Some(_) => scene.plan.tags().iter().map(ImageName::whole).collect(),
            None => Vec::new(),
        };
        let document = metadata_file::document(&result.exporter_response, &names);
        metadata_file::write(file, &document).map_err(failed("--metadata-file", file))?;
    }
    Ok(())
}

/// Says where the image is.
fn tell(scene: &Scene<'_>, image: Option<&Audited>, by_builder: BuilderDelivery, result: &BuildResult) {
    let (edge, names, id) = (scene.edge, scene.plan.tags(), printed_id(result));
    if by_builder == BuilderDelivery::Registry {
        let digest = result.image_digest().unwrap_or(id);
        names.iter().for_each(|name| edge.fact("pushed", &format!("{name}  {digest}")));
    }
    if image.is_some() || by_builder == BuilderDelivery::Engine {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let names = if names.is_empty() { "(no name)".to_owned() } else { names.join(", ") };
        edge.fact("image", &format!("{names}  {id}"));
    }
}

/// Reads from the result which image the engine says it built.
pub(super) fn built_image(result: &BuildResult) -> Result<Built, DeliveryError> {
    result.image_digest().map(Built::new).ok_or(DeliveryError::NoImage)
}

/// Returns the image's ID as docker prints it: the digest of the configuration where the engine names one, else that of
/// the image.
fn printed_id(result: &BuildResult) -> &str {
    let answer = |key: &str| result.exporter_response.get(key).map(String::as_str);
    answer("containerimage.config.digest").or_else(|| answer("containerimage.digest")).unwrap_or_default()
}
