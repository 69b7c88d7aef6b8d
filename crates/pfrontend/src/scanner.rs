//! Runs the scanner: this very program, in containers of its own image, into which the engine mounts the secrets.

use std::path::Path;

use pgateway::{Bridge, Mount, Reference, SecretMount, Status, started};
use pllb::Definition;
use plook::program::Work;
use plook::wire::{self, BasesNote, Probe, ProbeAnswer};
use plook::{KEY, SECRETS};
use pproof::kept;
use zeroize::Zeroizing;

use crate::options::Options;
use crate::refused;
use crate::requests::CACHE_KEY;

/// The path of the program in its image.
pub(crate) const PROGRAM: &str = "/pfrontend";

/// The scanner in the builder.
pub(crate) struct Scanner<'a> {
    bridge: &'a Bridge,
    /// The program, in the frontend's image.
    pub(crate) program: pproof::Scanner,
    /// The graph that makes this image.
    pub(crate) image: Definition,
}

impl<'a> Scanner<'a> {
    /// Finds the image that contains this program.
    ///
    /// BuildKit 0.10 and later store its graph in a file. For earlier versions, the image is solved by its name, and
    /// its program is compared with this one, because a tag may have moved.
    pub(crate) async fn new(bridge: &'a Bridge, options: &Options) -> Result<Self, Status> {
        let mut asked = bridge.clone();
        if let Some(definition) = started::own_image(Path::new(started::OWN_IMAGE)) {
            let image = asked.solve_definition(definition.clone(), &[]).await?;
            return Ok(Self::of_image(bridge, image, definition));
        }
        let name = options.image().ok_or_else(|| refused("this builder does not say which image the frontend is"))?;
        let program = std::fs::read("/proc/self/exe").map_err(|_| refused("the frontend cannot read itself"))?;
        let definition = pllb::image(name);
        let image = asked.solve_definition(definition.clone(), &[]).await?;
        match asked.file_is(&image, PROGRAM, &program).await? {
            true => Ok(Self::of_image(bridge, image, definition)),
            false => Err(refused("the frontend's image is another one by now; run the build again")),
        }
    }

    fn of_image(bridge: &'a Bridge, reference: Reference, image: Definition) -> Self {
        Self { bridge, program: pproof::Scanner::of_image(reference, PROGRAM), image }
    }

    /// Requests which secrets the client brought, and which bases the builder knows as clean.
    pub(crate) async fn probe(&self, asked: &Probe) -> Result<ProbeAnswer, Status> {
        let mut input = Zeroizing::new(Vec::new());
        let question = serde_json::to_vec(asked).map_err(|_| not_understood())?;
        wire::write_frame(&mut *input, &question).map_err(|_| not_understood())?;
        let mounts = values_and_key(asked).into_iter().chain([kept()]).collect();
        let answer = pproof::exchange(self.bridge, &self.program, Work::Probe, mounts, input).await;
        let answer = answer.map_err(refused)?;
        let frame = wire::read_frame(&mut answer.as_slice()).map_err(|_| not_understood())?;
        serde_json::from_slice(&frame).map_err(|_| not_understood())
    }

    /// Notes steps in the builder as leaked or clean.
    pub(crate) async fn note(&self, leaked: Vec<String>, clean: Vec<String>) -> Result<(), Status> {
        pproof::note_steps(self.bridge, &self.program, leaked, clean).await.map_err(refused)
    }

    /// Notes clean bases in the builder. If this fails, these bases are only searched again in the next build.
    pub(crate) async fn note_bases(&self, note: &BasesNote) {
        let _ = pproof::note_bases(self.bridge, &self.program, values_and_key(&note.probe), note).await;
    }
}

/// Makes the mounts of values: each of these secrets is a file with its number, if the session has it.
pub(crate) fn values(names: impl Iterator<Item = String>) -> Vec<Mount> {
    names.enumerate().map(|(number, name)| mount(name, &number.to_string())).collect()
}

/// Makes the mounts of the values that a probe is for, and of the client's key.
fn values_and_key(asked: &Probe) -> Vec<Mount> {
    let values = values(asked.secrets.iter().cloned());
    values.into_iter().chain([mount(CACHE_KEY.to_owned(), KEY)]).collect()
}

fn mount(id: String, file: &str) -> Mount {
    Mount::Secret(SecretMount { id, at: format!("{SECRETS}/{file}") })
}

fn not_understood() -> Status {
    refused("the scanner's answer is not understood")
}
