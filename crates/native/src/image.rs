//! Root file systems of the engine: building one of Debian packages, and making a disk of one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_backend::platform::{ImageRecipe, Sink};
use sampan_model::api::{ErrorCode, Event};
use sampan_model::engine::Stage;
use sampan_model::guest::{ConfinedRoot, CopyOut, CopyOutSpec};
use sampan_model::instance::Instance;
use sampan_model::registry::ImageRecord;
use sampan_model::size;

use crate::archive::{Archive, ArchiveError};
use crate::cancel::Cancel;
use crate::debootstrap::{self, BuildError, Recipe, Told};
use crate::digest;
use crate::tools::ToolError;
use crate::tools::guest::{Guest, GuestError};

/// What building and importing an image takes on the disk at its peak, with some room to spare.
const BUILD_BYTES: u64 = 1500 << 20;

/// What does as well as an image that is built here.
const OWN: &str = "`sampan start --engine-image FILE` with a root file system tarball that contains dockerd";

/// Folders below `/usr/share` that nobody reads in the engine's root.
const UNREAD: [&str; 4] = ["doc", "man", "locale", "info"];

/// File name of the image built on this machine, in the cache.
const CACHED: &str = "engine-debian.tar.zst";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("cannot use {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a tar archive (plain, or compressed by gzip, xz, bzip2 or zstd)")]
    NoArchive { path: PathBuf },
    #[error("{path} cannot be unpacked")]
    Unpack { path: PathBuf, source: ToolError },
    #[error("the disk of {folder} is full ({} free): {archive} does not fit", size::human(*free))]
    Full { folder: PathBuf, archive: PathBuf, free: u64 },
    #[error("{path} is no engine image")]
    NoEngine { path: PathBuf, source: GuestError },
}

impl Explain for ImageError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Full { .. } => ErrorCode::DiskFull,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                ErrorCode::DiskFull
            }
            Self::Build(source) => source.code(),
            Self::Unpack { source, .. } => source.code(),
            Self::NoArchive { .. } | Self::NoEngine { .. } => ErrorCode::Invalid,
            Self::File { .. } => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Build(source) => return source.hint(),
            Self::Full { .. } => {
                "free some space, or move the state folder to a larger disk with SAMPAN_STATE_DIR".to_owned()
            }
            Self::Unpack { source, .. } => source.hint().unwrap_or_else(|| format!("try again, or {OWN}")),
            Self::NoArchive { .. } | Self::NoEngine { .. } => {
                "give --engine-image a root file system tarball that contains dockerd, containerd and runc"
                    .to_owned()
            }
            Self::File { .. } => return None,
        })
    }
}

/// The image that was built on this machine before.
pub(crate) fn cached(instance: &Instance) -> Option<PathBuf> {
    Some(instance.cache().join(CACHED)).filter(|path| path.is_file())
}

/// Where a build works; whatever is in it belongs to a build that is under way or was cut off.
pub(crate) fn workshop(instance: &Instance) -> PathBuf {
    instance.cache().join("building")
}

/// Builds the image.
pub(crate) fn build(
    instance: &Instance,
    guest: &Guest,
    recipe: &ImageRecipe<'_>,
    sink: Sink<'_>,
) -> Result<PathBuf, ImageError> {
    let finish = manifest_hook(recipe);
    let recipe = Recipe {
        what: "the engine image",
        instead: OWN,
        room: BUILD_BYTES,
        suite: recipe.suite,
        variant: "essential",
        packages: recipe.packages,
        without: &UNREAD,
        finish: &finish,
    };
    let workshop = workshop(instance);
    let result = debootstrap::build(guest, &recipe, &workshop, CACHED, &|told| {
        sink(match told {
            Told::Step(detail) => Event::Progress { stage: Stage::Image, permille: None, detail },
            Told::Warning(message) => Event::Warning { message },
        });
    })?;
    let cached = instance.cache().join(CACHED);
    File::open(&result)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&result, &cached))
        .and_then(|()| File::open(instance.cache())?.sync_all())
        .map_err(|source| ImageError::File { path: workshop.clone(), source })?;
    let _ = fs::remove_dir_all(&workshop);
    Ok(cached)
}

/// A shell line that records the packages' versions inside the root, as the model's `ImageManifest`.
fn manifest_hook(recipe: &ImageRecipe<'_>) -> String {
    let manifest = Path::new("/").join(recipe.manifest);
    let folder = manifest.parent().unwrap_or(&manifest);
    format!(
        "set -e; mkdir -p \"$1{folder}\"; \
         packages=$(chroot \"$1\" dpkg-query -W -f '{{\"name\":\"${{Package}}\",\"version\":\"${{Version}}\"}}\\n' {packages} | paste -sd,); \
         printf '{{\"suite\":\"%s\",\"packages\":[%s]}}\\n' {suite} \"$packages\" > \"$1{manifest}\"",
        folder = folder.display(),
        packages = recipe.packages.join(" "),
        suite = recipe.suite,
        manifest = manifest.display(),
    )
}

/// The archive's path and hash.
pub(crate) fn identify(archive: &Path) -> Result<ImageRecord, ImageError> {
    let error = |source| ImageError::File { path: archive.to_owned(), source };
    let hash = digest::sha256(File::open(archive).map_err(error)?).map_err(error)?;
    let sha256 = hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Ok(ImageRecord { source: archive.display().to_string(), sha256 })
}

/// Unpacks an archive into an empty disk image.
pub(crate) fn unpack(guest: &Guest, archive: &Path, image: &Path, sink: Sink<'_>) -> Result<(), ImageError> {
    let unpack = |error: ArchiveError| match error {
        ArchiveError::NoArchive => ImageError::NoArchive { path: archive.to_owned() },
        ArchiveError::Read(source) => ImageError::File { path: archive.to_owned(), source },
        ArchiveError::Tool(source) if source.is_disk_full() => {
            let folder = image.parent().unwrap_or(image).to_owned();
            let free = sampan_sys::fs::free_space(&folder).unwrap_or(0);
            ImageError::Full { folder, archive: archive.to_owned(), free }
        }
        ArchiveError::Tool(source) => ImageError::Unpack { path: archive.to_owned(), source },
    };
    let file = File::open(archive).map_err(|source| unpack(ArchiveError::Read(source)))?;
    let opened = Archive::open(file, &Cancel::default()).map_err(unpack)?;
    if opened.is_empty() {
        return Err(unpack(ArchiveError::NoArchive));
    }
    let limit = Duration::from_millis(Stage::Import.deadline_ms());
    let root = ConfinedRoot::Image { image: image.to_owned() };
    let complaints = opened.unpack(guest, root, limit, &|permille| {
        sink(Event::Progress { stage: Stage::Import, permille: Some(permille), detail: String::new() });
    });
    for complaint in complaints.map_err(unpack)? {
        sink(Event::Warning { message: format!("{}: {complaint}", archive.display()) });
    }
    Ok(())
}

/// Copies files out of a disk image that nothing runs from; an error when a required one is missing.
pub(crate) fn copy_out(
    guest: &Guest,
    archive: &Path,
    image: &Path,
    mountpoint: &Path,
    dest: &Path,
    files: &[CopyOut],
) -> Result<(), ImageError> {
    let spec = CopyOutSpec {
        image: image.to_owned(),
        mountpoint: mountpoint.to_owned(),
        dest: dest.to_owned(),
        files: files.to_vec(),
    };
    match guest.ask("copy-out", &spec, None) {
        Ok(_) => Ok(()),
        Err(source) => Err(ImageError::NoEngine { path: archive.to_owned(), source }),
    }
}
