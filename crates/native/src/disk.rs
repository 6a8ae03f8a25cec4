//! Disks of version 2 distributions: sparse ext4 images.

pub(crate) mod content;
pub(crate) mod copy;
pub(crate) mod resize;
pub(crate) mod virtual_disk;

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::distro::Guid;
use sampan_model::instance::Instance;
use sampan_model::registry::Entry;

use crate::tools::{Tool, ToolError};

/// Name of the image in a distribution's folder.
pub(crate) const IMAGE: &str = "ext4.img";

const MKE2FS_LIMIT: Duration = Duration::from_mins(2);

/// Why a disk could not be made or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("cannot make the disk {path}")]
    Make { path: PathBuf, source: std::io::Error },
    #[error("cannot format the disk {path}")]
    Format { path: PathBuf, source: ToolError },
    #[error("cannot remove {path}")]
    Remove { path: PathBuf, source: std::io::Error },
    #[error("the disk of {name} is missing: {path}")]
    Missing { name: String, path: PathBuf },
}

impl Explain for DiskError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Make { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                ErrorCode::DiskFull
            }
            Self::Format { source, .. } => source.code(),
            Self::Missing { .. } => ErrorCode::DataMissing,
            Self::Make { .. } | Self::Remove { .. } => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Format { source, .. } => source.hint(),
            Self::Missing { path, .. } => Some(format!(
                "put the file back at {} (no empty one is made in its place), or, if its data may be lost: `sampan reset`",
                path.display()
            )),
            Self::Make { .. } | Self::Remove { .. } => {
                Some("check free space and permissions of the state folder".to_owned())
            }
        }
    }
}

/// The image of the storage `guid`.
pub(crate) fn image(instance: &Instance, guid: &Guid) -> PathBuf {
    instance.distro(guid).join(IMAGE)
}

/// The image of a distribution of version 2, wherever its storage is.
pub(crate) fn image_of(instance: &Instance, entry: &Entry) -> PathBuf {
    entry.folder(instance).join(entry.disk.as_deref().unwrap_or(IMAGE))
}

/// Makes the folder and a formatted, empty image of `size` bytes for `guid`.
pub(crate) fn create(instance: &Instance, guid: &Guid, size: u64) -> Result<(), DiskError> {
    let folder = instance.distro(guid);
    let path = image(instance, guid);
    let make = |source| DiskError::Make { path: path.clone(), source };
    // Passable, not readable: the copies of the Docker CLI beside the image are for everybody, the image is not.
    DirBuilder::new().mode(0o711).create(&folder).map_err(make)?;
    let file = format(&path, size)?;
    settle(&file, &folder).map_err(make)
}

/// Makes a formatted, empty image of `size` bytes. Nothing is left of one that could not be made.
pub(crate) fn format(path: &Path, size: u64) -> Result<File, DiskError> {
    let file = new_file(path)?;
    // Nothing is written but what describes an empty file system: the file is all zeroes already, and it is always
    // mounted with `noinit_itable`, so that the kernel does not write them out later either.
    let make = |source| DiskError::Make { path: path.to_owned(), source };
    let format = |source| DiskError::Format { path: path.to_owned(), source };
    let formatted = file.set_len(size).map_err(make).and_then(|()| {
        Tool::new("mke2fs", MKE2FS_LIMIT)
            .map_err(format)?
            .args(["-q", "-F", "-t", "ext4", "-m", "0", "-O", "metadata_csum,64bit"])
            .args(["-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"])
            .arg(path)
            .output()
            .map_err(format)
    });
    match formatted {
        Ok(_) => Ok(file),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// Makes the file of an image; nobody but root may read it.
pub(crate) fn new_file(path: &Path) -> Result<File, DiskError> {
    let options = File::options().read(true).write(true).create_new(true).mode(0o600).clone();
    options.open(path).map_err(|source| DiskError::Make { path: path.to_owned(), source })
}

/// Makes sure that the image and its name survive a power cut.
pub(crate) fn settle(image: &File, folder: &Path) -> std::io::Result<()> {
    image.sync_all()?;
    File::open(folder)?.sync_all()?;
    match folder.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Removes the storage `guid`; that it is not there is no failure.
pub(crate) fn remove(instance: &Instance, guid: &Guid) -> Result<(), DiskError> {
    let path = instance.distro(guid);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(DiskError::Remove { path, source })
        }
        _ => Ok(()),
    }
}

/// An error when the image of `guid` is not there.
pub(crate) fn verify(instance: &Instance, name: &str, guid: &Guid) -> Result<(), DiskError> {
    let path = image(instance, guid);
    match fs::metadata(&path) {
        Ok(meta) if meta.is_file() && meta.len() > 0 => Ok(()),
        _ => Err(DiskError::Missing { name: name.to_owned(), path }),
    }
}
