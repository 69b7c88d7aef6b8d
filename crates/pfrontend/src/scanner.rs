//! The scanner: this very program, in containers of its own image, where the engine mounts the secrets for it.

use std::path::Path;
use std::time::Duration;

use pgateway::{Bridge, Container, Mount, ProcessNews, Reference, SecretMount, StateMount, Status, started};
use plook::program::Work;
use plook::wire::{self, Note, Probe, ProbeAnswer};
use plook::{KEY, SECRETS};
use pproof::kept;
use serde::Serialize;

use crate::options::Options;
use crate::refused;
use crate::requests::{CACHE_KEY, SecretRequest};

/// Where the program lies in its image.
pub(crate) const PROGRAM: &str = "/pfrontend";

/// A container that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The scanner in the builder.
pub(crate) struct Scanner<'a> {
    bridge: &'a Bridge,
    /// The state of the image that holds the program.
    pub(crate) image: Reference,
}

impl<'a> Scanner<'a> {
    /// Finds the image that this program came in.
    ///
    /// BuildKit 0.10 and later say how it is made. Before that it is solved by its name and read back: a tag may have moved.
    pub(crate) async fn new(bridge: &'a Bridge, options: &Options) -> Result<Self, Status> {
        let mut asked = bridge.clone();
        if let Some(definition) = started::own_image(Path::new(started::OWN_IMAGE)) {
            let image = asked.solve_definition(definition, &[]).await?;
            return Ok(Self { bridge, image });
        }
        let name = options.image().ok_or_else(|| refused("this builder does not say which image the frontend is"))?;
        let program = std::fs::read("/proc/self/exe").map_err(|_| refused("the frontend cannot read itself"))?;
        let image = asked.solve_definition(pllb::image(name), &[]).await?;
        match asked.file_is(&image, PROGRAM, &program).await? {
            true => Ok(Self { bridge, image }),
            false => Err(refused("the frontend's image is another one by now; run the build again")),
        }
    }

    /// Asks which secrets the client brought.
    pub(crate) async fn probe(&self, requests: &[SecretRequest]) -> Result<ProbeAnswer, Status> {
        let names = requests.iter().map(|request| request.name.to_string());
        let asked = Probe { version: wire::VERSION, secrets: names.clone().collect() };
        let answer = self.work(Work::Probe, mounts(names), &asked).await?;
        let frame = wire::read_frame(&mut answer.as_slice()).map_err(|_| not_understood())?;
        serde_json::from_slice(&frame).map_err(|_| not_understood())
    }

    /// Lets the builder remember steps.
    pub(crate) async fn note(&self, leaked: Vec<String>, clean: Vec<String>) -> Result<(), Status> {
        if leaked.is_empty() && clean.is_empty() {
            return Ok(());
        }
        let note = Note { version: wire::VERSION, leaked, clean };
        self.work(Work::Note, vec![kept()], &note).await.map(drop)
    }

    async fn work(&self, work: Work, mut mounts: Vec<Mount>, request: &impl Serialize) -> Result<Vec<u8>, Status> {
        let mut input = Vec::new();
        let request = serde_json::to_vec(request).map_err(|_| not_understood())?;
        wire::write_frame(&mut input, &request).map_err(|_| not_understood())?;
        mounts.insert(0, Mount::State(StateMount { reference: self.image.clone(), at: "/".to_owned() }));
        let container = Container::new(self.bridge, mounts).await?;
        let answer = converse(&container, work, input).await;
        // The build's end takes it otherwise.
        let _ = container.release().await;
        answer
    }
}

async fn converse(container: &Container, work: Work, input: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut process = container.run(&[PROGRAM, work.word()], input).await?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    loop {
        let silent = |_| refused("the scanner says nothing");
        match tokio::time::timeout(PATIENCE, process.next()).await.map_err(silent)?? {
            Some(ProcessNews::Output(bytes)) => output.extend(bytes),
            Some(ProcessNews::Error(bytes)) => errors.extend(bytes.into_iter().take(1000)),
            Some(ProcessNews::Exit(0)) => return Ok(output),
            Some(ProcessNews::Exit(code)) => {
                let words = String::from_utf8_lossy(&errors);
                return Err(refused(format!("the scanner ended with code {code}: {}", words.trim())));
            }
            None => return Err(refused("the scanner ended before its answer did")),
        }
    }
}

/// What a container sees that works with secrets: each of these as a file with its number, if the session has it, the
/// client's key, and the builder's folder.
pub(crate) fn mounts(names: impl Iterator<Item = String>) -> Vec<Mount> {
    let secret = |id: String, file: String| Mount::Secret(SecretMount { id, at: format!("{SECRETS}/{file}") });
    let numbered = names.enumerate().map(|(number, name)| secret(name, number.to_string()));
    numbered.chain([secret(CACHE_KEY.to_owned(), KEY.to_owned()), kept()]).collect()
}

fn not_understood() -> Status {
    refused("the scanner's answer is not understood")
}
