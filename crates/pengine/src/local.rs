//! The data folder of an engine that runs on this machine.

use std::path::PathBuf;

use tokio::net::UnixStream;

use crate::address::Address;
use crate::engine::{Engine, ImageStore};

/// An engine's data folder, as this process can reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    /// The path of the folder.
    pub path: PathBuf,
    /// The folders in which the engine's containerd may keep content.
    pub content: Vec<PathBuf>,
    /// The way in which the engine stores images in the folder.
    pub store: ImageStore,
    /// The name of the storage driver for layers, such as `overlay2`.
    pub driver: String,
}

/// The places of containerd's content: the first below the data folder, for an engine that starts its own containerd;
/// the second below [`SYSTEM_CONTAINERD`].
const CONTENT: [&str; 2] =
    ["containerd/daemon/io.containerd.content.v1.content/blobs", "io.containerd.content.v1.content/blobs"];
const SYSTEM_CONTAINERD: &str = "var/lib/containerd";

impl Engine {
    /// Returns the engine's data folder if the engine is a process of this machine whose files may be read.
    ///
    /// A path in an engine's answer is valid for the engine, which may live in another root, and its socket may lead
    /// to another machine. Therefore the path is looked up from the root of the process that listens at the socket.
    /// If the folder names an engine, it must name this one. The caller must check the contents of the folder.
    pub async fn data_folder(&self) -> Option<DataFolder> {
        let Address::Unix(socket) = self.endpoint().address() else { return None };
        let stream = UnixStream::connect(socket).await.ok()?;
        let process = stream.peer_cred().ok()?.pid().filter(|process| *process > 0)?;
        let info = self.docker().info().await.ok()?;
        let root = PathBuf::from(format!("/proc/{process}/root"));
        let folder = info.docker_root_dir.filter(|folder| folder.starts_with('/'))?;
        let path = root.join(folder.trim_start_matches('/'));
        std::fs::read_dir(&path).ok()?;
        let named = std::fs::read_to_string(path.join("engine-id")).ok();
        if named.is_some_and(|named| info.id.is_none_or(|id| id.trim() != named.trim())) {
            return None;
        }
        let content = vec![path.join(CONTENT[0]), root.join(SYSTEM_CONTAINERD).join(CONTENT[1])];
        let store = self.image_store().await.ok()?;
        Some(DataFolder { path, content, store, driver: info.driver.unwrap_or_default() })
    }
}
