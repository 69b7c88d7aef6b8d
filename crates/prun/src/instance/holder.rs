//! Values in memory: a tmpfs volume, a tiny container that keeps it alive, and the files in it.
//!
//! A tmpfs volume lives as long as a running container mounts it. Files are copied into the volume through a running
//! holder, so they never touch a disk. A copy into a stopped container would land in its writable layer.

use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, CreateImageOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::TryStreamExt;
use pengine::Engine;

use crate::engine::archive::{self, File};
use crate::engine::containers::{self, Access};
use crate::error::{RunError, engine, is_missing, message};
use crate::instance::shim;
use crate::names::{Project, Role};

/// The path of the values inside the holder.
const VALUES: &str = "/values";
/// The path of the home volume inside the holder.
const HOME: &str = "/home";
/// The file in the home volume with the number of the generation that was sealed last.
const SEALED: &str = "sealed";
/// The file that is written last. If it exists, all values are there.
const READY: &str = "ready";
/// The program in the holder's image.
pub(crate) const PROGRAM: &str = "/shim";

/// Makes sure that the engine has the image of holders and forwarders, and returns its name.
///
/// The image holds only the entrypoint. prun imports it into the engine, so no registry is needed.
///
/// # Errors
///
/// Returns [`RunError::Architecture`] if this prun has no entrypoint for the architecture of the engine's machine,
/// and [`RunError::Engine`] if a request fails.
pub(crate) async fn image(host: &Engine) -> Result<String, RunError> {
    let name = image_name();
    match host.docker().inspect_image(&name).await {
        Ok(_) => return Ok(name),
        Err(error) if !is_missing(&error) => return Err(engine(|| "look at the image of the holder")(error)),
        Err(_) => {}
    }
    let file = File { name: "shim".to_owned(), content: entrypoint(host).await?, mode: 0o555, owner: 0 };
    let archive = archive::pack(&[file]);
    let options = CreateImageOptionsBuilder::new().from_src("-").repo("prun/shim").tag(&shim::digest()).build();
    let import = host.docker().create_image(Some(options), Some(bollard::body_full(archive.into_bytes())), None);
    import.try_for_each(|_| async { Ok(()) }).await.map_err(engine(|| "import the image of the holder"))?;
    Ok(name)
}

/// Returns the name of the image of holders and forwarders.
pub(crate) fn image_name() -> String {
    format!("prun/shim:{}", shim::digest())
}

/// Chooses the entrypoint for the engine's machine.
async fn entrypoint(host: &Engine) -> Result<&'static [u8], RunError> {
    let version = host.docker().version().await.map_err(engine(|| "ask the engine for its architecture"))?;
    let architecture = version.arch.unwrap_or_default();
    shim::program(&architecture).ok_or(RunError::Architecture { architecture })
}

/// Removes the image. If another project uses the image, the engine refuses, and the image stays.
pub(crate) async fn remove_image(host: &Engine) {
    let options = None::<bollard::query_parameters::RemoveImageOptions>;
    let _ = host.docker().remove_image(&image_name(), options, None).await;
}

/// A container that keeps a tmpfs volume alive.
#[derive(Debug)]
pub(crate) struct Holder {
    /// The name of the volume and of the container.
    pub(crate) name: String,
    /// The labels that tell what the holder belongs to.
    pub(crate) labels: Vec<(&'static str, String)>,
    /// The network from which health checks are made; `None` if the holder does not make checks.
    pub(crate) network: Option<String>,
    /// The home volume, if this holder puts the entrypoint into it.
    pub(crate) home: Option<String>,
}

impl Holder {
    /// Makes sure that the volume exists, and that a running container keeps it alive.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Foreign`] or [`RunError::Engine`].
    pub(crate) async fn start(&self, host: &Engine, project: &Project) -> Result<(), RunError> {
        if let Some(container) = containers::inspect(host, project, &self.name).await?
            && containers::is_running(&container)
        {
            return Ok(());
        }
        // Values must not reach a swap file. Kernels before 6.4 do not know `noswap`.
        match self.create(host, project, "size=64m,mode=0755,nosuid,nodev,noexec,noswap").await {
            Err(RunError::Engine { source, .. }) if message(&source).contains("invalid argument") => {
                self.remove(host).await?;
                self.create(host, project, "size=64m,mode=0755,nosuid,nodev,noexec").await
            }
            other => other,
        }
    }

    async fn create(&self, host: &Engine, project: &Project, options: &str) -> Result<(), RunError> {
        let labels = project.labels(Role::Values, &self.labels);
        let tmpfs = [("type", "tmpfs"), ("device", "tmpfs"), ("o", options)];
        containers::ensure_volume(host, project, &self.name, labels.clone(), &tmpfs).await?;
        // The holder also mounts the volume of the sealed state, because the engine does not prune a volume that a
        // running container mounts.
        let mut mounts = vec![
            containers::mount(&self.name, VALUES, Access::Write),
            containers::mount(&project.state(), pshim::STATE, Access::Read),
        ];
        if let Some(home) = &self.home {
            mounts.push(containers::mount(home, HOME, Access::Write));
        }
        let body = ContainerCreateBody {
            image: Some(image(host).await?),
            cmd: Some(vec![PROGRAM.to_owned(), "hold".to_owned()]),
            labels: Some(labels),
            host_config: Some(HostConfig { mounts: Some(mounts), ..bare(self.network.as_deref().unwrap_or("none")) }),
            ..ContainerCreateBody::default()
        };
        containers::create(host, project, &self.name, body).await?;
        containers::start(host, &self.name).await
    }

    /// Copies files into the volume, in their order.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Engine`].
    pub(crate) async fn fill(&self, host: &Engine, files: &[File<'_>]) -> Result<(), RunError> {
        upload(host, &self.name, VALUES, files).await
    }

    /// Copies the entrypoint into the home volume, and an empty file for each lock, unless they exist. An existing
    /// lock is never written again, because a new file of the same name would be another lock.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`image`].
    pub(crate) async fn furnish(&self, host: &Engine, locks: &[String]) -> Result<(), RunError> {
        for lock in locks {
            if !has(host, &self.name, &format!("{HOME}/{lock}")).await {
                let file = File { name: lock.clone(), content: &[], mode: 0o444, owner: 0 };
                upload(host, &self.name, HOME, &[file]).await?;
            }
        }
        if has(host, &self.name, &format!("{HOME}/{}", shim::file_name())).await {
            return Ok(());
        }
        let file = File { name: shim::file_name(), content: entrypoint(host).await?, mode: 0o555, owner: 0 };
        upload(host, &self.name, HOME, &[file]).await
    }

    /// Writes the number of the sealed generation into the home volume. The number stays if an older state is
    /// restored, so [`noted`] reveals that the state is older.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Engine`].
    pub(crate) async fn note(&self, host: &Engine, generation: u64) -> Result<(), RunError> {
        let number = generation.to_string();
        let file = File { name: SEALED.to_owned(), content: number.as_bytes(), mode: 0o444, owner: 0 };
        upload(host, &self.name, HOME, &[file]).await
    }

    /// Removes the container and the volume, and with them the values.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::Engine`], for example while an instance still mounts the volume.
    pub(crate) async fn remove(&self, host: &Engine) -> Result<(), RunError> {
        remove(host, &self.name).await
    }
}

/// Reads the number that [`Holder::note`] wrote last.
pub(crate) async fn noted(host: &Engine, holder: &str) -> Option<u64> {
    let file = containers::file(host, holder, &format!("{HOME}/{SEALED}")).await?;
    String::from_utf8_lossy(&file).parse().ok()
}

/// Returns whether a holder's volume has all values. A restart of the engine empties the volume.
pub(crate) async fn is_filled(host: &Engine, holder: &str) -> bool {
    has(host, holder, &format!("{VALUES}/{READY}")).await
}

async fn has(host: &Engine, container: &str, path: &str) -> bool {
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    host.docker().get_container_archive_info(container, Some(options)).await.is_ok()
}

/// Removes a holder and its volume.
///
/// # Errors
///
/// Returns the errors of [`Holder::remove`].
pub(crate) async fn remove(host: &Engine, name: &str) -> Result<(), RunError> {
    containers::remove(host, name, Duration::from_secs(1)).await?;
    containers::remove_volume(host, name).await
}

/// Copies files into a running container.
///
/// # Errors
///
/// Returns [`RunError::Engine`].
pub(crate) async fn upload(host: &Engine, container: &str, folder: &str, files: &[File<'_>]) -> Result<(), RunError> {
    let archive = archive::pack(files);
    let options = UploadToContainerOptionsBuilder::new().path(folder).build();
    let sent =
        host.docker().upload_to_container(container, Some(options), bollard::body_full(archive.into_bytes())).await;
    sent.map_err(engine(|| format!("put files into {container}")))
}

/// Makes the settings of a helper container: no capabilities, no new privileges, and no network but `network`.
#[must_use]
pub(crate) fn bare(network: &str) -> HostConfig {
    HostConfig {
        network_mode: Some(network.to_owned()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        restart_policy: Some(containers::restarting()),
        ..HostConfig::default()
    }
}
