//! Reads the manifest in the build's context. The context is a folder of the client, of which only this file is
//! requested.

use std::path::Path;

use papp::Manifest;
use pgateway::{Bridge, Status};

use crate::options::Options;
use crate::refused;

/// The manifest's name in the context.
const NAME: &str = "app.toml";

/// Reads the manifest.
pub(crate) async fn manifest(bridge: &Bridge, options: &Options) -> Result<Manifest, Status> {
    let context = options.local_context().ok_or_else(|| {
        refused("the syntax line says app.toml, which is read from a folder of the client's and from no other context")
    })?;
    let mut bridge = bridge.clone();
    let files = bridge.solve_definition(pllb::local_file(context, NAME), &[]).await?;
    let bytes = bridge.read_file(&files, NAME).await.map_err(|status| {
        let reason = status.message().lines().next().unwrap_or_default().to_owned();
        refused(format!("the syntax line says app.toml, and the context has none that can be read: {reason}"))
    })?;
    Manifest::parse(Path::new(NAME), &bytes).map_err(refused)
}
