//! A build that is clean. Its files are written, its image gets its names and is pushed, and the results are
//! reported.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard::query_parameters::TagImageOptions;
use pbuildkit::BuildResult;
use pbuildkit::status::Warning;
use serde_json::Value;

use super::failure::DeliveryError;
use super::provenance::Detail;
use super::push::Push;
use super::scene::Scene;
use super::{joined_push, local_state, metadata_file};
use crate::audit::{Audited, Built};
use crate::cache_export::CleanCaches;
use crate::edge::Failure;
use crate::output::{self, Outputs, Pending};
use crate::plan::{Caches, ImageName};

/// A build that was found clean, and that may now be delivered.
pub(super) struct Cleared<'a> {
    scene: Scene<'a>,
    /// The image in the engine's store, if the build makes one.
    image: Option<Audited>,
    places: output::CleanOutputs,
    caches: CleanCaches,
    engine_delivery: EngineDelivery,
    builder_delivery: BuilderDelivery,
    result: BuildResult,
    /// The text with which docker's tools name the record of the build; `None` if the engine does not keep a record.
    record: Option<String>,
    /// The digests of the parts of an image that several nodes built. The list is empty if one node built the whole
    /// image.
    parts: Vec<String>,
    /// The other parts of an image that several nodes built, if the nodes keep records of them: where each was built,
    /// and under which reference.
    others: Vec<(Scene<'a>, String)>,
    /// The warnings of the frontend, not redacted.
    warnings: Vec<Warning>,
    /// Whether standard output holds a result, so that nothing else may be written there.
    stdout_is_taken: bool,
}

/// The task of the engine for the image in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineDelivery {
    /// The engine names the image.
    Name,
    /// The engine names the image, and pushes it to the registries of its names.
    NameAndPush,
}

/// The destination to which a builder without an engine brought the image by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BuilderDelivery {
    /// There is none: the image is in files, or only in the builder's cache.
    Nothing,
    /// The image is loaded into the engine of the docker context.
    Engine,
    /// The builder pushed the image to the registries of its names.
    Registry,
}

impl<'a> Cleared<'a> {
    /// Clears a build whose image, files and caches were searched.
    pub(super) fn new(
        scene: Scene<'a>,
        outputs: &Outputs,
        image: Option<Audited>,
        places: output::CleanOutputs,
        caches: CleanCaches,
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
        let stdout_is_taken = places.takes_standard_output();
        Self {
            scene,
            image,
            places,
            caches,
            engine_delivery,
            builder_delivery,
            result,
            record: None,
            parts: Vec::new(),
            others: Vec::new(),
            warnings: Vec::new(),
            stdout_is_taken,
        }
    }

    /// Adds the name of the record that the engine keeps of this build.
    pub(super) fn recorded(mut self) -> Self {
        self.record = Some(local_state::reference(&self.scene, &self.result.reference));
        self
    }

    /// Adds the warnings of the frontend.
    pub(super) fn warned(mut self, warnings: Vec<Warning>) -> Self {
        self.warnings = warnings;
        self
    }

    /// Joins this part of an image with the parts that other nodes built.
    ///
    /// # Errors
    /// Returns an error if the files of the parts cannot be joined, or if a node did not say what it built.
    pub(super) fn join(mut self, others: Vec<Self>) -> Result<Self, Failure> {
        if others.is_empty() {
            return Ok(self);
        }
        let mut places = vec![std::mem::take(&mut self.places)];
        let digest = |result: &BuildResult| result.image_digest().map(str::to_owned);
        let mut parts = vec![digest(&self.result)];
        for other in others {
            parts.push(digest(&other.result));
            places.push(other.places);
            self.warnings.extend(other.warnings);
            if other.record.is_some() {
                self.others.push((other.scene, other.result.reference));
            }
        }
        if self.builder_delivery == BuilderDelivery::Registry {
            self.parts = parts.into_iter().collect::<Option<_>>().ok_or(DeliveryError::NoImage)?;
        }
        let (places, image) = output::CleanOutputs::join(places)?;
        self.places = places;
        self.describe(image.as_ref());
        Ok(self)
    }

    /// Replaces the description of this part in the result by that of the joined image.
    fn describe(&mut self, image: Option<&Value>) {
        let response = &mut self.result.exporter_response;
        response.retain(|key, _| !key.starts_with("containerimage.") && key != "image.name");
        if let Some(image) = image {
            let digest = image["digest"].as_str().unwrap_or_default().to_owned();
            response.insert("containerimage.digest".to_owned(), digest);
            response.insert("containerimage.descriptor".to_owned(), BASE64_STANDARD.encode(image.to_string()));
        }
    }

    /// Clears a build without secrets, which has nothing to search for.
    ///
    /// # Errors
    /// Returns an error if a cache in a folder cannot be tagged, or the engine did not say which image it built.
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
        Ok(Self::new(scene, &outputs, image, places, CleanCaches::default(), result))
    }

    /// Carries out one step of the delivery, and reports it.
    ///
    /// # Errors
    /// Returns the error of the first action that failed. Earlier actions are not undone.
    pub(super) async fn deliver(&mut self, step: DeliveryStep) -> Result<(), Failure> {
        let scene = &self.scene;
        match step {
            DeliveryStep::Caches => std::mem::take(&mut self.caches).deliver(scene.edge).await,
            DeliveryStep::Files => std::mem::take(&mut self.places).commit(scene.edge).await,
            DeliveryStep::Names => match &self.image {
                Some(image) => Ok(name(scene, image).await?),
                None => Ok(()),
            },
            DeliveryStep::Push => match &self.image {
                Some(image) if self.engine_delivery == EngineDelivery::NameAndPush => {
                    push(scene, image, &mut self.result).await
                }
                None if !self.parts.is_empty() => {
                    let index = joined_push::push(scene.plan.tags(), &self.parts, scene.edge).await?;
                    self.describe(Some(&index));
                    Ok(())
                }
                Some(_) | None => Ok(()),
            },
        }
    }

    /// Reports where the results are, and describes them for `--metadata-file`.
    ///
    /// # Errors
    /// Returns an error if the image's ID cannot be written to its file.
    pub(super) async fn finish(self, metadata_detail: Detail) -> Result<Delivered, Failure> {
        let Self { scene, image, mut builder_delivery, result, record, parts, stdout_is_taken, .. } = self;
        let Self { others, warnings, .. } = self;
        if !parts.is_empty() {
            // The push of the index has been reported already.
            builder_delivery = BuilderDelivery::Nothing;
        }
        let id = printed_id(&result).to_owned();
        if let Some(file) = &scene.choices.files().image_id {
            let failed = |source| DeliveryError::ResultFile { flag: "--iidfile", file: file.clone(), source };
            std::fs::write(file, &id).map_err(failed)?;
        }
        if !scene.edge.quiet {
            tell(&scene, image.as_ref(), builder_delivery, &result);
        }
        let names: Vec<String> = match image.is_some() || !parts.is_empty() {
            true => scene.plan.tags().iter().map(ImageName::whole).collect(),
            false => Vec::new(),
        };
        let mut metadata = metadata_file::document(&result.exporter_response, &names);
        let mut provenance = match (&record, &image) {
            (Some(_), _) => metadata_detail.of_record(&scene, &result.reference).await,
            (None, Some(image)) => metadata_detail.of_image(&scene, image.id()).await,
            (None, None) => Vec::new(),
        };
        for (scene, reference) in &others {
            provenance.extend(metadata_detail.of_record(scene, reference).await);
        }
        provenance.into_iter().for_each(|(key, document)| metadata[key] = document);
        if let Some(record) = record {
            metadata["buildx.build.ref"] = Value::String(record);
        }
        Ok(Delivered { id, stdout_is_taken, metadata, warnings })
    }

    /// Withdraws the build, because another one of its group is not clean or could not be delivered. Its files are
    /// dropped, and its image is removed unless it has a name. Cached steps stay.
    pub(super) async fn withdraw(self) {
        drop(self.places);
        self.scene.remove_image(self.image.as_ref().map(Audited::id)).await;
    }
}

/// A step of the delivery. A group does each step with all of its builds before the next step. An image gets its name
/// after everything else that can fail, except for the push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeliveryStep {
    /// The caches are exported.
    Caches,
    /// The files are put where the user wants them.
    Files,
    /// The image gets its names in the engine.
    Names,
    /// The engine pushes the image.
    Push,
}

impl DeliveryStep {
    /// The steps in their order.
    pub(super) const ALL: [Self; 4] = [Self::Caches, Self::Files, Self::Names, Self::Push];
}

/// A build that was delivered: its image has its names, and its files are at their destinations.
pub(super) struct Delivered {
    /// The image's ID, as docker prints it.
    pub(super) id: String,
    /// Whether standard output holds a result, so that nothing else may be written there.
    pub(super) stdout_is_taken: bool,
    /// The exporter's answer about the result, for `--metadata-file`.
    pub(super) metadata: Value,
    /// The warnings of the frontend, not redacted.
    pub(super) warnings: Vec<Warning>,
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

/// Pushes the image under each of its names.
async fn push(scene: &Scene<'_>, image: &Audited, result: &mut BuildResult) -> Result<(), Failure> {
    let mut push = Push::new(scene.site.engine().ok_or(DeliveryError::NoEngine)?, image, scene.edge);
    for name in scene.plan.tags() {
        if let Some(digest) = push.send(name).await? {
            scene.edge.fact("pushed", &format!("{name}  {digest}"));
            // As with docker, the image's digest is from now on the one that the registry has.
            result.exporter_response.insert("containerimage.digest".to_owned(), digest);
        }
    }
    Ok(())
}

/// Reports where the image is.
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

/// Returns the image's ID as docker prints it: the digest of the configuration if the engine names one, or else the
/// digest of the image.
fn printed_id(result: &BuildResult) -> &str {
    let answer = |key: &str| result.exporter_response.get(key).map(String::as_str);
    answer("containerimage.config.digest").or_else(|| answer("containerimage.digest")).unwrap_or_default()
}
