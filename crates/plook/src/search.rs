//! The search of a whole task: the layers that the build made and the image's documents are searched as one image.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pimage::{LooseBlob, Verify};
use pscan::{NeedleSet, NeedleSetBuilder, Options, ScanError};
use psecret::{PartChoice, Parts, SecretName, UserSecret};
use serde_json::{Value, json};

use crate::change::{Change, Shares};
use crate::layer::Layer;
use crate::mounts;
use crate::probe::{self, ProbeError};
use crate::wire::{self, Answer, MountedValues, Task, WholeTask, WireError};

/// How often the scanner reports that the search continues.
const BEAT: Duration = Duration::from_millis(500);

/// The reason why a search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The task is not valid.
    #[error("failed to read the task")]
    Task(#[from] WireError),
    /// A secret's name is not valid.
    #[error("a secret of the task has no name")]
    Name,
    /// A mounted value cannot be read.
    #[error(transparent)]
    Mounted(#[from] ProbeError),
    /// A value that the steps may have got is gone or has changed.
    #[error("a secret changed while the build ran")]
    Changed,
    /// The image's configuration is not a JSON object.
    #[error("the image's configuration cannot be understood")]
    Configuration,
    /// The search returned an error.
    #[error("failed to search")]
    Scan(#[from] ScanError),
    /// The answer cannot be written.
    #[error("failed to answer")]
    Answer(#[from] io::Error),
}

/// Searches the states of a task, and writes the answers.
///
/// # Errors
///
/// Returns a [`SearchError`]. The answers then lack their end.
pub fn run(whole: WholeTask, states: &Path, mountinfo: &str, out: &mut impl Write) -> Result<(), SearchError> {
    let WholeTask { task, values, documents } = whole;
    let needles = needles(&task, values)?;
    let mut answers = Told { out, count: 0 };
    let folder = |state: usize| states.join(state.to_string());
    let made_of = |state| mounts::layers_below(mountinfo, folder(state).as_os_str().as_encoded_bytes());
    let states = task.states();
    answers.tell(&Answer::States { layers: (0..states).map(made_of).collect() })?;

    let below = task.base.as_ref().map(|base| made_of(base.state).unwrap_or_default()).unwrap_or_default();
    let base_known = task.base.as_ref().is_some_and(|base| base.known.as_ref().is_some_and(|known| *known == below));
    let image = Image { task: &task, base_layers: below.len(), base_known, documents };
    let options = Options {
        reading: pimage::Options { verify: Verify::Nothing, ..pimage::Options::default() },
        ..Options::default()
    };
    let mut beat = Instant::now();
    let mut progress = |progress: pscan::Progress| {
        if beat.elapsed() < BEAT {
            return ControlFlow::Continue(());
        }
        beat = Instant::now();
        match answers.tell(&Answer::Progress { bytes: progress.bytes }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let report = pscan::audit_loose(image.blobs(&folder)?, &needles, &options, &mut progress)?;
    answers.tell(&Answer::Report { report: report.to_json(), base_known })?;
    answers.tell(&Answer::End { answers: answers.count })?;
    Ok(())
}

/// Reads the mounted values of a task, which must be exactly the values that were probed.
///
/// # Errors
///
/// Returns [`SearchError::Changed`], or an error of [`probe`].
pub fn mounted_values(task: &Task, mounted: &MountedValues, secrets: &Path) -> Result<Vec<UserSecret>, SearchError> {
    if task.secrets.len() != mounted.checks.len() {
        return Err(SearchError::Changed);
    }
    let value = |(number, (name, check)): (usize, (&String, &String))| {
        let name = SecretName::parse(name).map_err(|_| SearchError::Name)?;
        let value = probe::value(secrets, number).map_err(ProbeError::from)?.ok_or(SearchError::Changed)?;
        match probe::is_same(&name, &value, check, &mounted.check_key)? {
            true => Ok(value),
            false => Err(SearchError::Changed),
        }
    };
    task.secrets.iter().zip(&mounted.checks).enumerate().map(value).collect()
}

fn needles(task: &Task, values: Vec<UserSecret>) -> Result<NeedleSet, SearchError> {
    let mut builder = NeedleSetBuilder::new();
    for (name, value) in task.secrets.iter().zip(values) {
        let choice = match task.parts.get(name) {
            None => PartChoice::All,
            Some(parts) if parts.is_empty() => PartChoice::None,
            Some(parts) => PartChoice::Named(parts.clone()),
        };
        let name = SecretName::parse(name).map_err(|_| SearchError::Name)?;
        builder = builder.taken_apart(&name, &value, &Parts::of(&value, &choice));
    }
    Ok(builder.build()?)
}

/// A writer of answers that counts them.
struct Told<'a, W> {
    out: &'a mut W,
    count: u64,
}

impl<W: Write> Told<'_, W> {
    fn tell(&mut self, answer: &Answer) -> io::Result<()> {
        let frame = serde_json::to_vec(answer)?;
        wire::write_frame(self.out, &frame)?;
        self.out.flush()?;
        self.count += 1;
        Ok(())
    }
}

/// The states as an image, with a layer for each layer of the base and one for each step.
///
/// The base is mounted as one merged folder. As many layers as the base has share this folder, so that several
/// threads can search it and the steps' layers get their final numbers. Which of these layers a file of the base is
/// reported in has no meaning.
struct Image<'a> {
    task: &'a Task,
    base_layers: usize,
    base_known: bool,
    documents: Vec<Vec<u8>>,
}

/// The states that make one layer.
struct Look {
    before: Option<PathBuf>,
    after: PathBuf,
    onto: Option<Option<PathBuf>>,
    shares: Option<Arc<Shares>>,
}

impl Look {
    fn layer(&self) -> io::Result<Layer> {
        let mut change = Change::new(self.before.as_deref(), &self.after)?;
        if let Some(onto) = &self.onto {
            change = change.upon(onto.as_deref())?;
        }
        if let Some(shares) = &self.shares {
            change = change.sharing(Arc::clone(shares));
        }
        Ok(Layer::new(change))
    }
}

impl Image<'_> {
    fn blobs(self, folder: &dyn Fn(usize) -> PathBuf) -> Result<Vec<LooseBlob>, SearchError> {
        let mut blobs = Vec::new();
        let mut layers = Vec::new();
        let mut add = |looked_at: Option<Look>| {
            let name = format!("layer/{}", layers.len() + 1);
            layers.push(name.clone());
            blobs.push(match looked_at {
                Some(look) => LooseBlob::new(name, move || Ok(Box::new(look.layer()?) as Box<dyn io::Read + Send>)),
                None => LooseBlob::of_bytes(name, vec![0; 1024]),
            });
        };
        if let Some(base) = &self.task.base {
            let shares = Arc::<Shares>::default();
            for _ in 0..self.base_layers.max(1) {
                let shares = Some(Arc::clone(&shares));
                let look = Look { before: None, after: folder(base.state), onto: None, shares };
                add((!self.base_known).then_some(look));
            }
        }
        for layer in &self.task.layers {
            let onto = layer.covering.map(|covering| covering.onto.map(folder));
            let before = layer.before.map(folder);
            add(Some(Look { before, after: folder(layer.after), onto, shares: None }));
        }
        let mut documents = self.documents.into_iter();
        let configuration = documents.next().unwrap_or_else(|| b"{}".to_vec());
        blobs.push(LooseBlob::of_bytes("config.json".to_owned(), with_layers(&configuration, layers.len())?));
        for (name, bytes) in self.task.documents.iter().skip(1).zip(documents) {
            blobs.push(LooseBlob::of_bytes(format!("metadata/{name}"), bytes));
        }
        let manifest = json!([{ "Config": "config.json", "RepoTags": [], "Layers": layers }]);
        blobs.push(LooseBlob::of_bytes("manifest.json".to_owned(), manifest.to_string().into_bytes()));
        Ok(blobs)
    }
}

/// Writes the configuration with as many layers as there are. Their digests are placeholders, because the real ones
/// are only known when the engine has packed the layers.
fn with_layers(configuration: &[u8], layers: usize) -> Result<Vec<u8>, SearchError> {
    let mut configuration: Value = serde_json::from_slice(configuration).map_err(|_| SearchError::Configuration)?;
    let digests: Vec<String> = (1..=layers).map(|number| format!("sha256:{number:064x}")).collect();
    let object = configuration.as_object_mut().ok_or(SearchError::Configuration)?;
    object.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": digests }));
    Ok(configuration.to_string().into_bytes())
}

#[cfg(test)]
mod tests;
