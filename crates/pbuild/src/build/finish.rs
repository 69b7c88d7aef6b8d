//! The end of a build that is clean: what was received is written, the image gets its names, goes to its registries, and
//! people are told.

use std::io;
use std::path::{Path, PathBuf};

use bollard::query_parameters::TagImageOptions;
use pbuildkit::BuildResult;
use pengine::Engine;
use pscreen::{Diagnostic, Exit};

use crate::audit::Audited;
use crate::build::metadata_file;
use crate::build::push::Push;
use crate::command::build::BuildArguments;
use crate::edge::{Edge, Failure};
use crate::output::Cleared;
use crate::plan::image_name::ImageName;

/// Where the image of a builder without an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuilderPlace {
    /// In files, or in the builder's cache alone.
    Nowhere,
    /// In the engine of the docker context, which loaded it.
    Engine,
    /// In the registries of its names, to which the builder pushed it.
    Registry,
}

/// What a clean build may do now.
#[derive(Debug)]
pub struct Finish<'a> {
    /// The engine that has the image, where one has it.
    pub engine: Option<&'a Engine>,
    /// Files and flags that want to be told.
    pub arguments: &'a BuildArguments,
    /// The image's names.
    pub names: &'a [ImageName],
    /// Whether it goes to the registries of its names.
    pub push: bool,
    /// Where a builder without an engine has put it.
    pub place: BuilderPlace,
    /// Where people are told.
    pub edge: &'a Edge,
}

impl Finish<'_> {
    /// Writes, names, pushes, tells. `image` is the one in the engine's store, where there is one.
    ///
    /// # Errors
    /// What could not be done; what was before it is done.
    pub async fn run(self, image: Option<Audited>, outputs: Cleared, mut result: BuildResult) -> Result<Exit, Failure> {
        outputs.commit(self.edge).await?;
        if let Some(image) = &image {
            for name in self.names {
                self.tag(image, name).await?;
            }
            if self.push {
                let mut push = Push::new(self.engine.ok_or_else(no_engine)?, image, self.edge);
                for name in self.names {
                    if let Some(digest) = push.send(name).await? {
                        self.edge.fact("pushed", &format!("{name}  {digest}"));
                        // As docker: what the registry has is the image's digest from now on.
                        result.exporter_response.insert("containerimage.digest".to_owned(), digest);
                    }
                }
            }
        }
        self.tell(image.as_ref(), &result)?;
        Ok(Exit::Done)
    }

    async fn tag(&self, image: &Audited, name: &ImageName) -> Result<(), Failure> {
        let options = TagImageOptions { repo: Some(name.repository().to_owned()), tag: Some(name.tag().to_owned()) };
        let engine = self.engine.ok_or_else(no_engine)?;
        engine.docker().tag_image(image.id(), Some(options)).await.map_err(|error| {
            Diagnostic::from_error(&error, Exit::Failed).note(format!("while naming the image {name}")).into()
        })
    }

    fn tell(&self, image: Option<&Audited>, result: &BuildResult) -> Result<(), Failure> {
        let id = printed_id(result);
        let failed = |flag: &str, file: &Path, error: io::Error| {
            Diagnostic::from_error(&error, Exit::Failed).note(format!("while writing {flag} {}", file.display()))
        };
        if let Some(file) = &self.arguments.iidfile {
            std::fs::write(file, id).map_err(|error| failed("--iidfile", file, error))?;
        }
        if let Some(file) = &self.arguments.metadata_file {
            let names: Vec<String> = match image {
                Some(_) => self.names.iter().map(ImageName::whole).collect(),
                None => Vec::new(),
            };
            let document = metadata_file::document(&result.exporter_response, &names);
            metadata_file::write(file, &document).map_err(|error| failed("--metadata-file", file, error))?;
        }
        if self.edge.quiet {
            self.edge.stdout.line(id);
            return Ok(());
        }
        if self.place == BuilderPlace::Registry {
            let digest = result.image_digest().unwrap_or(id);
            self.names.iter().for_each(|name| self.edge.fact("pushed", &format!("{name}  {digest}")));
        }
        if image.is_some() || self.place == BuilderPlace::Engine {
            let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
            let names = if names.is_empty() { "(no name)".to_owned() } else { names.join(", ") };
            self.edge.fact("image", &format!("{names}  {id}"));
        }
        Ok(())
    }
}

/// An image in an engine's store without an engine cannot be.
pub fn no_engine() -> Failure {
    Diagnostic::error("the builder has no engine that keeps images", Exit::Failed).into()
}

/// The image's identity as docker prints it: of the configuration where the engine tells it, else of what it has.
fn printed_id(result: &BuildResult) -> &str {
    let told = |key: &str| result.exporter_response.get(key).map(String::as_str);
    told("containerimage.config.digest").or_else(|| told("containerimage.digest")).unwrap_or_default()
}

/// The image in the engine's store.
///
/// # Errors
/// When the engine did not say which one it is.
pub fn image_id(result: &BuildResult) -> Result<&str, Failure> {
    result
        .image_digest()
        .ok_or_else(|| Diagnostic::error("the engine did not say which image it built", Exit::Failed).into())
}

/// A file of an earlier build must not be taken for this one's.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_stale(arguments: &BuildArguments) -> Result<(), Failure> {
    for (flag, file) in [("--iidfile", &arguments.iidfile), ("--metadata-file", &arguments.metadata_file)] {
        // What is no file of an earlier build stays, such as /dev/stdout.
        let is_file = |file: &&PathBuf| std::fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_file());
        let Some(file) = file.as_ref().filter(is_file) else { continue };
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let diagnostic = Diagnostic::from_error(&error, Exit::Usage);
                return Err(diagnostic.note(format!("while replacing {flag} {}", file.display())).into());
            }
            _ => {}
        }
    }
    Ok(())
}
