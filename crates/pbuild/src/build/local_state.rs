//! Writes the notes that give builds their names in `docker buildx history`. The engine keeps a record of a build,
//! and docker's folder of builders keeps the note that names it.
//!
//! The engine keeps no record of a build with secrets, so such a build gets no note. Source: docker/buildx
//! `localstate` (`refs/BUILDER/NODE/ID` in the folder of the builders).

use std::fs;
use std::io;
use std::path::Path;

use pengine::Environment;
use pgateway::BuildId;
use serde_json::json;

use super::scene::Scene;
use crate::files::replace::replace;

/// Returns the text with which docker's tools name the record of a build: the builder, the node and the build's id.
pub(super) fn reference(scene: &Scene<'_>, id: &str) -> String {
    format!("{}/{}/{id}", scene.node.builder, scene.node.node)
}

/// Notes which folder and which Dockerfile a build reads. A failure to write the note only means that the record has
/// no name.
pub(super) fn note(scene: &Scene<'_>, id: &BuildId) {
    let (Some(builders), Some(context)) = (Environment::of_process().builders_folder(), scene.plan.context_folder())
    else {
        return;
    };
    let names = [&scene.node.builder, &scene.node.node];
    // An address cannot be the name of a folder.
    if names.iter().any(|name| name.contains('/') || name.starts_with('.')) {
        return;
    }
    let folder = builders.join("refs").join(names[0]).join(names[1]);
    let _ = write(&folder, id, context, &scene.plan.dockerfile_path());
}

fn write(folder: &Path, id: &BuildId, context: &Path, dockerfile: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // The Dockerfile is a path of this machine, or a text such as `standard input`.
    let dockerfile = if dockerfile.is_absolute() { dockerfile } else { Path::new("") };
    let note = json!({ "Target": "default", "LocalPath": context, "DockerfilePath": dockerfile });
    replace(&folder.join(id.as_str()), note.to_string().as_bytes())
}
