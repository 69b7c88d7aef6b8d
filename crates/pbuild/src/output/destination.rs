//! One destination of a result: a file, a folder, standard output, or an engine.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use bollard::query_parameters::ImportImageOptions;
use bytes::Bytes;
use futures::StreamExt as _;
use pbuildkit::{Exporter, Receiver};
use pengine::Engine;
use pimage::LooseBlob;
use pscan::{NeedleSet, Options, Report};
use rustix::fs::{Access, AtFlags, CWD, OFlags, Timestamps, UTIME_OMIT, linkat, utimensat};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::error::OutputError;
use crate::audit;
use crate::audit::source;
use crate::edge::{Edge, Failure};
use crate::files::replace::folder_of;
use crate::oci_layout::umask;
use crate::{joined, oci_layout};

/// The format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Docker,
    Oci,
    Tar,
    Local,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Oci => "oci",
            Self::Tar => "tar",
            Self::Local => "local",
        }
    }
}

/// The destination of a result, checked.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A regular file, or a path at which no file exists yet. The file is replaced as a whole.
    File(PathBuf),
    /// A file that is not a regular one, such as a pipe or `/dev/null`. The result is written to it.
    Stream(PathBuf),
    StandardOutput,
    Folder(PathBuf),
    /// A folder that becomes an OCI layout, or is one already.
    Layout(PathBuf),
    /// An engine that loads the archive.
    Engine(Box<Engine>),
}

impl Target {
    pub(super) fn standard_output() -> Self {
        Self::StandardOutput
    }

    /// Takes a file as a destination, if the file and its folder can be written to.
    pub(super) fn file(path: PathBuf) -> Result<Self, OutputError> {
        let wrong = |source: io::Error| OutputError::Destination { path: path.clone(), source };
        // A link is followed, as docker does, and the file at its end is replaced.
        let whole = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        match fs::metadata(&whole) {
            Ok(metadata) if metadata.is_dir() => return Err(wrong(io::ErrorKind::IsADirectory.into())),
            Ok(metadata) if !metadata.is_file() => return Ok(Self::Stream(whole)),
            Ok(_) => writable(&whole).map_err(wrong)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(error)),
        }
        writable(folder_of(&whole)).map_err(wrong)?;
        Ok(Self::File(whole))
    }

    /// Takes a folder as a destination, if it can be written to or can be made.
    pub(super) fn folder(path: PathBuf) -> Result<Self, OutputError> {
        whole_folder(&path).map(Self::Folder).map_err(|source| OutputError::Destination { path, source })
    }

    /// Takes a folder as the destination of an OCI layout, if it can be written to or can be made.
    pub(super) fn layout(path: PathBuf) -> Result<Self, OutputError> {
        whole_folder(&path).map(Self::Layout).map_err(|source| OutputError::Destination { path, source })
    }
}

fn whole_folder(path: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    writable(&nearest(&whole)?)?;
    Ok(whole)
}

/// Finds the nearest folder that exists: the path itself, or one of its parents.
fn nearest(path: &Path) -> io::Result<PathBuf> {
    for path in path.ancestors() {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Ok(path.to_owned()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn writable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(path, Access::WRITE_OK)?)
}

/// A destination, and the result that was received for it.
#[derive(Debug)]
pub(crate) struct Destination {
    format: Format,
    target: Target,
    attributes: BTreeMap<String, String>,
    buffer: Buffer,
    receiver: Receiver,
}

#[derive(Debug)]
enum Buffer {
    /// A file without a name. It disappears when this process ends in any way.
    File(File),
    /// A private folder. It is made only when the first entry arrives, because an earlier folder could become a part
    /// of a build context that contains it.
    Folder(Scratch),
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // A thread that is still receiving may write a last file, so the removal is repeated.
        for _ in 0..5 {
            open_up(&self.0);
            match fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {}
                _ => return,
            }
        }
    }
}

/// Makes a tree removable, because some images have folders without write permission.
fn open_up(folder: &Path) {
    if fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_dir()) {
        let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open_up(&entry.path());
            }
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type={},dest={}", self.format.name(), self.path().display())
    }
}

impl Destination {
    pub(super) fn new(
        format: Format,
        target: Target,
        attributes: BTreeMap<String, String>,
    ) -> Result<Self, OutputError> {
        let received = match &target {
            Target::File(path) => unnamed(folder_of(path)).map(Buffer::File),
            Target::Stream(_) | Target::StandardOutput | Target::Engine(_) => tempfile::tempfile().map(Buffer::File),
            Target::Layout(path) => nearest(path).and_then(|there| unnamed(&there)).map(Buffer::File),
            Target::Folder(path) => nearest(path).map(|there| {
                // If the folder exists, the private folder is made inside it: it is on the same file system, and this
                // process may write there.
                let name = format!(".pbuild-{:016x}", RandomState::new().build_hasher().finish());
                Buffer::Folder(Scratch(there.join(name)))
            }),
        };
        let path = || match &target {
            Target::File(path) | Target::Stream(path) | Target::Folder(path) | Target::Layout(path) => path.clone(),
            Target::StandardOutput => PathBuf::from("-"),
            Target::Engine(_) => PathBuf::from(LOADED),
        };
        let wrong = |source| OutputError::Destination { path: path(), source };
        let received = received.map_err(wrong)?;
        let receiver = match &received {
            Buffer::Folder(scratch) => Receiver::tree(scratch.0.clone(), &path()),
            Buffer::File(file) => Receiver::file(file.try_clone().map_err(wrong)?, &path()),
        };
        Ok(Self { format, target, attributes, buffer: received, receiver })
    }

    /// Makes the same destination for the result of another node. An archive of docker's own format holds only one
    /// platform, so the parts are archives in the OCI format.
    pub(super) fn part(&self) -> Result<Self, OutputError> {
        let format = if self.format == Format::Docker { Format::Oci } else { self.format };
        Self::new(format, self.target.clone(), self.attributes.clone())
    }

    /// Returns whether the results of several nodes can be joined. Trees in one archive cannot.
    pub(super) fn can_be_joined(&self) -> bool {
        self.format != Format::Tar && !matches!(self.target, Target::Stream(_))
    }

    /// Joins the results that several nodes made for the same destination into one image, and describes that image.
    pub(super) fn join(parts: Vec<Self>) -> io::Result<(Vec<Self>, Option<Value>)> {
        if !parts.iter().all(Self::is_image) {
            // Folders do not need to be joined, because each part has its own folder in the destination.
            return Ok((parts, None));
        }
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else { return Ok((Vec::new(), None)) };
        let archive = |part: &Self| match &part.buffer {
            Buffer::File(file) => opened_again(file),
            Buffer::Folder(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        let archives = std::iter::once(archive(&first)).chain(parts.map(|part| archive(&part)));
        let archives: Vec<File> = archives.collect::<Result<_, _>>()?;
        let whole = tempfile::tempfile()?;
        let image = joined::archive(archives, &whole)?;
        Ok((vec![Self { buffer: Buffer::File(whole), ..first }], Some(image)))
    }

    fn path(&self) -> &Path {
        match &self.target {
            Target::File(path) | Target::Stream(path) | Target::Folder(path) | Target::Layout(path) => path,
            Target::StandardOutput => Path::new("-"),
            Target::Engine(_) => Path::new(LOADED),
        }
    }

    pub(super) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Returns whether the result is an image archive, which only some stores can write.
    pub(crate) fn is_image(&self) -> bool {
        matches!(self.format, Format::Docker | Format::Oci)
    }

    pub(super) fn is_standard_output(&self) -> bool {
        matches!(self.target, Target::StandardOutput)
    }

    /// Adds the image's names to an image archive.
    pub(super) fn name(&mut self, names: &str) {
        if self.is_image() {
            self.attributes.insert("name".to_owned(), names.to_owned());
        }
    }

    /// Returns the exporter that fills the destination.
    pub(crate) fn exporter(&self) -> Exporter {
        let (kind, attributes) = (self.format.name().to_owned(), self.attributes.clone());
        Exporter { kind, attributes, receiver: Some(self.receiver.clone()) }
    }

    /// Searches the bytes that were received.
    pub(super) async fn search(&self, needles: Arc<NeedleSet>, edge: &Edge) -> Result<Report, Failure> {
        let options = Options { subject: Some(self.to_string()), ..Options::default() };
        let unreadable = |source| OutputError::Search { place: self.to_string(), source };
        match &self.buffer {
            Buffer::File(file) if self.is_image() => {
                let file = opened_again(file).map_err(unreadable)?;
                audit::search(source::Bytes::File(file), options, needles, edge).await
            }
            Buffer::File(file) => {
                let file = file.try_clone().map_err(unreadable)?;
                audit::search(source::Bytes::Blobs(layer(file)), options, needles, edge).await
            }
            Buffer::Folder(scratch) => {
                let (blobs, unread) = source::directory(&scratch.0)?;
                let searching = audit::search(source::Bytes::Blobs(blobs), options, Arc::clone(&needles), edge);
                let mut report = searching.await?;
                for (path, why) in unread.list() {
                    report.add_unsearched(&needles, path.as_os_str().as_bytes(), why);
                }
                Ok(report)
            }
        }
    }

    /// Returns the line that reports the result when it is at its destination.
    pub(super) fn announcement(&self) -> Option<String> {
        let what = match self.format {
            _ if matches!(self.target, Target::Layout(_)) => "OCI layout",
            _ if matches!(self.target, Target::Engine(_)) => return None,
            Format::Docker => "docker archive",
            Format::Oci => "OCI archive",
            Format::Tar => "tar",
            Format::Local => "files",
        };
        (!self.is_standard_output()).then(|| format!("{}  {what}", self.path().display()))
    }

    /// Puts the result at its destination.
    pub(super) async fn commit(self) -> io::Result<()> {
        if let (Buffer::File(file), Target::Engine(engine)) = (&self.buffer, &self.target) {
            return load(engine, opened_again(file)?).await;
        }
        let writing = tokio::task::spawn_blocking(move || self.write()).await;
        writing.unwrap_or_else(|_| Err(io::Error::other("the writer ended early")))
    }

    fn write(self) -> io::Result<()> {
        match (self.buffer, self.target) {
            (Buffer::File(file), Target::File(path)) => take_the_place(&file, &path),
            (Buffer::File(mut file), Target::StandardOutput) => {
                file.rewind()?;
                let mut output = io::stdout().lock();
                io::copy(&mut file, &mut output)?;
                output.flush()
            }
            (Buffer::File(mut file), Target::Layout(path)) => {
                fs::create_dir_all(&path)?;
                file.rewind()?;
                oci_layout::unpack(&file, &path)
            }
            (Buffer::File(mut file), Target::Stream(path) | Target::Folder(path)) => {
                file.rewind()?;
                io::copy(&mut file, &mut OpenOptions::new().write(true).open(path)?).map(drop)
            }
            (
                Buffer::Folder(scratch),
                Target::Folder(path) | Target::Layout(path) | Target::File(path) | Target::Stream(path),
            ) => {
                // As with docker, the folder for the result is private.
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
                merge(&scratch.0, &path)
            }
            (Buffer::Folder(_), Target::StandardOutput | Target::Engine(_)) | (Buffer::File(_), Target::Engine(_)) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }
}

/// The name of a destination that is an engine.
const LOADED: &str = "(the engine)";

/// How many bytes of an archive are read at a time.
const PIECE: usize = 64 << 10;

/// Sends an archive to an engine, which loads the bytes of the file.
async fn load(engine: &Engine, archive: File) -> io::Result<()> {
    let pieces = futures::stream::try_unfold(tokio::fs::File::from_std(archive), |mut archive| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let count = archive.read_buf(&mut piece).await?;
        Ok::<_, io::Error>((count > 0).then(|| (Bytes::from(piece), archive)))
    });
    let options = ImportImageOptions { quiet: true, ..ImportImageOptions::default() };
    let mut answers = pin!(engine.docker().import_image(options, bollard::body_try_stream(pieces), None));
    while let Some(answer) = answers.next().await {
        let problem = answer.map_err(io::Error::other)?.error_detail.and_then(|detail| detail.message);
        if let Some(problem) = problem {
            return Err(io::Error::other(problem));
        }
    }
    Ok(())
}

/// Makes a file without a name in a folder.
fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // This file system does not support files without a name. The file system of temporary files may support
        // them; otherwise `tempfile` uses another method.
        Err(_) => tempfile::tempfile(),
    }
}

/// Opens the same file once more, with its own read position.
fn opened_again(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Gives an unnamed file a name in one step, even if another file has the name.
fn take_the_place(file: &File, path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path).map_or_else(|_| 0o666 & !umask(), |old| old.mode() & 0o777);
    file.set_permissions(Permissions::from_mode(mode))?;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let folder = folder_of(path);
    let link = |name: &Path| linkat(CWD, &own, CWD, name, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from);
    let named = tempfile::Builder::new().prefix(".pbuild-").make_in(folder, link);
    let named = match named {
        Ok(named) => named.into_temp_path(),
        // The result was received on another file system, so it is copied.
        Err(_) => {
            let mut copy = tempfile::Builder::new().prefix(".pbuild-").tempfile_in(folder)?;
            io::copy(&mut opened_again(file)?, &mut copy)?;
            copy.as_file().set_permissions(Permissions::from_mode(mode))?;
            copy.into_temp_path()
        }
    };
    Ok(named.persist(path)?)
}

/// Makes an image with one layer from a tar of files, so that the search can read the tar.
fn layer(file: File) -> Vec<LooseBlob> {
    let manifest = json!([{"Config": "config.json", "RepoTags": [], "Layers": ["files.tar"]}]).to_string();
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [""]}}).to_string();
    vec![
        LooseBlob::of_bytes("manifest.json".to_owned(), manifest.into_bytes()),
        LooseBlob::of_bytes("config.json".to_owned(), config.into_bytes()),
        LooseBlob::new("files.tar".to_owned(), move || Ok(Box::new(opened_again(&file)?))),
    ]
}

/// Moves the content of a folder into another one, over the existing content, as docker does: files are replaced,
/// folders are merged, and links of the destination are not followed.
fn merge(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = fs::symlink_metadata(&source)?;
        let there = match fs::symlink_metadata(&target) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if !metadata.is_dir() {
            if there.is_some_and(|there| there.is_dir()) {
                fs::remove_dir_all(&target)?;
            }
            fs::rename(&source, &target)?;
            continue;
        }
        // Only root can move or empty a folder without write permission.
        fs::set_permissions(&source, Permissions::from_mode(0o700))?;
        match there {
            Some(there) if there.is_dir() => {
                merge(&source, &target)?;
                fs::remove_dir(&source)?;
            }
            Some(_) => {
                fs::remove_file(&target)?;
                fs::rename(&source, &target)?;
            }
            None => fs::rename(&source, &target)?,
        }
        fs::set_permissions(&target, Permissions::from_mode(metadata.mode() & 0o7777))?;
        let _ = utimensat(CWD, &target, &times(&metadata), AtFlags::SYMLINK_NOFOLLOW);
    }
    Ok(())
}

fn times(metadata: &fs::Metadata) -> Timestamps {
    let modified = rustix::fs::Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() };
    Timestamps { last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified }
}
