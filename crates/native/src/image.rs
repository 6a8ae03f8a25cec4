//! Root file systems: building one of Debian packages, and making a distribution's disk of an archive.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_backend::platform::{ImageRecipe, Sink};
use sampan_model::api::{ErrorCode, Event};
use sampan_model::engine::Stage;
use sampan_model::guest::{CopyOut, CopyOutSpec};
use sampan_model::instance::Instance;
use sampan_model::registry::ImageRecord;
use sampan_model::size;
use sampan_sys::SysError;
use sha2::{Digest, Sha256};

use crate::tools::guest::{Guest, GuestError};
use crate::tools::{ToolError, find};

/// What building and importing an image takes on the disk at its peak, with some room to spare.
const BUILD_BYTES: u64 = 1500 << 20;

/// File name of the image built on this machine, in the cache.
const CACHED: &str = "engine-debian.tar.zst";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("building the engine image needs mmdebstrap, which is not installed")]
    NoBuilder,
    #[error("the engine image cannot be built: no Debian mirror can be reached")]
    NoMirror(#[source] ToolError),
    #[error("the engine image cannot be built")]
    Build(#[source] ToolError),
    #[error("{path} has {} free, and building the engine image takes {}", size::human(*free), size::human(BUILD_BYTES))]
    NoRoom { path: PathBuf, free: u64 },
    #[error("cannot look at the disk of the state folder")]
    Space(#[source] SysError),
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
            Self::NoBuilder | Self::NoMirror(_) => ErrorCode::Prerequisite,
            Self::NoRoom { .. } | Self::Full { .. } => ErrorCode::DiskFull,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                ErrorCode::DiskFull
            }
            Self::Build(source) | Self::Unpack { source, .. } => source.code(),
            Self::NoArchive { .. } | Self::NoEngine { .. } => ErrorCode::Invalid,
            Self::Space(_) | Self::File { .. } => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        const OWN: &str =
            "`sampan start --engine-image FILE` with a root file system tarball that contains dockerd";
        Some(match self {
            Self::NoBuilder => {
                format!("apt-get install --no-install-recommends mmdebstrap debian-archive-keyring, or {OWN}")
            }
            Self::NoMirror(_) => {
                format!("check the network (and http_proxy, if there is a proxy), or {OWN}")
            }
            Self::NoRoom { .. } | Self::Full { .. } => {
                "free some space, or move the state folder to a larger disk with SAMPAN_STATE_DIR".to_owned()
            }
            Self::Build(source) | Self::Unpack { source, .. } => {
                source.hint().unwrap_or_else(|| format!("try again, or {OWN}"))
            }
            Self::NoArchive { .. } | Self::NoEngine { .. } => {
                "give --engine-image a root file system tarball that contains dockerd, containerd and runc"
                    .to_owned()
            }
            Self::Space(_) | Self::File { .. } => return None,
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

/// Builds the image; apt verifies Debian's signatures with the keyring of the host.
pub(crate) fn build(
    instance: &Instance,
    guest: &Guest,
    recipe: &ImageRecipe<'_>,
    sink: Sink<'_>,
) -> Result<PathBuf, ImageError> {
    let mmdebstrap = find("mmdebstrap").ok_or(ImageError::NoBuilder)?;
    let free = sampan_sys::fs::free_space(instance.state()).map_err(ImageError::Space)?;
    if free < BUILD_BYTES {
        return Err(ImageError::NoRoom { path: instance.state().to_owned(), free });
    }
    let workshop = workshop(instance);
    let file_error = |source| ImageError::File { path: workshop.clone(), source };
    let _ = fs::remove_dir_all(&workshop);
    fs::create_dir_all(&workshop).map_err(file_error)?;
    // apt downloads as a user of its own, who must be able to pass.
    let _ = fs::set_permissions(&workshop, Permissions::from_mode(0o711));
    let result = workshop.join(CACHED);
    let mut outcome = debootstrap(guest, &mmdebstrap, recipe, &workshop, &result, Sources::WithUpdates, sink);
    if outcome.as_ref().is_err_and(is_expired) {
        // A mirror that stands still: its update suites expire, the release itself does not.
        sink(Event::Warning {
            message: "the Debian mirror is out of date: the engine image is built without the latest security updates"
                .to_owned(),
        });
        let _ = fs::remove_file(&result);
        outcome = debootstrap(guest, &mmdebstrap, recipe, &workshop, &result, Sources::ReleaseOnly, sink);
    }
    if let Err(error) = outcome {
        let _ = fs::remove_dir_all(&workshop);
        return Err(explain(error));
    }
    let cached = instance.cache().join(CACHED);
    File::open(&result)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&result, &cached))
        .and_then(|()| File::open(instance.cache())?.sync_all())
        .map_err(file_error)?;
    let _ = fs::remove_dir_all(&workshop);
    Ok(cached)
}

/// Which of Debian's suites an image is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    /// The release, its updates and its security updates.
    WithUpdates,
    /// The release alone.
    ReleaseOnly,
}

/// What of mmdebstrap's words says something to a user.
const STEPS: [&str; 6] =
    ["running apt-get update", "downloading", "extracting", "installing", "cleaning", "creating tarball"];

/// One run of mmdebstrap; every process of it ends with this one.
fn debootstrap(
    guest: &Guest,
    mmdebstrap: &Path,
    recipe: &ImageRecipe<'_>,
    workshop: &Path,
    result: &Path,
    sources: Sources,
    sink: Sink<'_>,
) -> Result<String, ToolError> {
    let told = |line: &str| {
        let Some(detail) = line.strip_prefix("I: ").map(|line| line.trim_end_matches('.')) else { return };
        if STEPS.iter().any(|step| detail.starts_with(step)) {
            sink(Event::Progress { stage: Stage::Image, permille: None, detail: detail.to_owned() });
        }
    };
    let mut tool = guest
        .tether("mmdebstrap", Duration::from_millis(Stage::Image.deadline_ms()))
        .arg(mmdebstrap)
        .args(["--mode=root", "--variant=essential", "--format=tar"])
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"3\""])
        .args(
            ["doc", "man", "locale", "info"]
                .map(|folder| format!("--dpkgopt=path-exclude=/usr/share/{folder}/*")),
        )
        .arg(format!("--include={}", recipe.packages.join(",")))
        .arg(format!("--customize-hook={}", manifest_hook(recipe)));
    if sources == Sources::ReleaseOnly {
        tool = tool.arg(
            "--setup-hook=find \"$1/etc/apt\" -name '*sources*' -type f -exec sed -i '/-updates\\|-security/d' {} +",
        );
    }
    tool.arg(recipe.suite).arg(result).env("TMPDIR", workshop).run(None, told)
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

/// Signs in apt's output that no mirror was reached.
const NO_NETWORK: [&str; 6] = [
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Unable to connect",
    "Network is unreachable",
    "Failed to fetch",
];

fn explain(error: ToolError) -> ImageError {
    let unreachable = says(&error, &NO_NETWORK);
    let error = only_errors(error);
    if unreachable { ImageError::NoMirror(error) } else { ImageError::Build(error) }
}

fn is_expired(error: &ToolError) -> bool {
    says(error, &["is expired (invalid since"])
}

fn says(error: &ToolError, signs: &[&str]) -> bool {
    let ToolError::Failed { stderr, .. } = error else { return false };
    stderr.iter().any(|line| signs.iter().any(|sign| line.contains(sign)))
}

/// mmdebstrap tells all it does; what went wrong begins with `E:`.
fn only_errors(error: ToolError) -> ToolError {
    let ToolError::Failed { program, status, stderr } = error else { return error };
    let errors: Vec<String> = stderr.iter().filter(|line| line.starts_with("E:")).take(3).cloned().collect();
    ToolError::Failed { program, status, stderr: if errors.is_empty() { stderr } else { errors } }
}

/// The archive's path and hash.
pub(crate) fn identify(archive: &Path) -> Result<ImageRecord, ImageError> {
    let error = |source| ImageError::File { path: archive.to_owned(), source };
    let mut file = File::open(archive).map_err(error)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(error)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let mut sha256 = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(sha256, "{byte:02x}");
    }
    Ok(ImageRecord { source: archive.display().to_string(), sha256 })
}

/// Unpacks an archive into an empty disk image.
pub(crate) fn unpack(
    guest: &Guest,
    archive: &Path,
    image: &Path,
    mountpoint: &Path,
    sink: Sink<'_>,
) -> Result<(), ImageError> {
    let error = |source| ImageError::File { path: archive.to_owned(), source };
    let mut file = File::open(archive).map_err(error)?;
    let total = file.metadata().map_err(error)?.len().max(1);
    let filter = filter_of(&mut file).map_err(error)?;
    let filter = filter.ok_or_else(|| ImageError::NoArchive { path: archive.to_owned() })?;
    let unpack = |source: ToolError| {
        if !source.is_disk_full() {
            return ImageError::Unpack { path: archive.to_owned(), source };
        }
        let folder = image.parent().unwrap_or(image).to_owned();
        let free = sampan_sys::fs::free_space(&folder).unwrap_or(0);
        ImageError::Full { folder, archive: archive.to_owned(), free }
    };
    if let Some(program) = filter.program()
        && find(program).is_none()
    {
        return Err(unpack(ToolError::Missing { program: program.to_owned() }));
    }
    let tar = find("tar").ok_or_else(|| unpack(ToolError::Missing { program: "tar".to_owned() }))?;
    let read = Arc::new(AtomicU64::new(0));
    let told = |count: u64| {
        let permille = u16::try_from(count * 1000 / total).unwrap_or(1000);
        sink(Event::Progress { stage: Stage::Import, permille: Some(permille), detail: String::new() });
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let input = Box::new(Counting { file, read: Arc::clone(&read) });
    let limit = Duration::from_millis(Stage::Import.deadline_ms());
    std::thread::scope(|scope| {
        let ticker = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                told(read.load(Ordering::Relaxed));
                std::thread::park_timeout(Duration::from_millis(200));
            }
        });
        let outcome = guest
            .with_image(image, mountpoint, limit)
            .arg(tar)
            .args([
                "--extract",
                "--preserve-permissions",
                "--numeric-owner",
                "--xattrs",
                "--xattrs-include=*",
            ])
            .args(["--acls", "--warning=no-timestamp", "--file=-", "--directory"])
            .arg(mountpoint)
            .args(filter.option())
            .run(Some(input), |_| {});
        done.store(true, Ordering::Relaxed);
        ticker.thread().unpark();
        outcome.map(|_| ()).map_err(unpack)
    })
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

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    None,
    Gzip,
    Xz,
    Bzip2,
    Zstd,
}

impl Filter {
    fn program(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Xz => Some("xz"),
            Self::Bzip2 => Some("bzip2"),
            Self::Zstd => Some("zstd"),
        }
    }

    fn option(self) -> Option<String> {
        self.program().map(|program| format!("--use-compress-program={program}"))
    }

    /// By the first bytes; never by the name, which the user may choose.
    fn of(head: &[u8]) -> Option<Self> {
        let is_tar = head.get(257..262) == Some(b"ustar");
        Some(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ if is_tar => Self::None,
            _ => return None,
        })
    }
}

fn filter_of(file: &mut File) -> std::io::Result<Option<Filter>> {
    use std::io::Seek;
    let mut head = Vec::new();
    file.take(512).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(Filter::of(&head))
}

/// A file that counts what was read of it.
struct Counting {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_known_by_content() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(Filter::of(&tar), Some(Filter::None));
        assert_eq!(Filter::of(&[0x28, 0xb5, 0x2f, 0xfd, 0]), Some(Filter::Zstd));
        assert_eq!(Filter::of(b"BZh9"), Some(Filter::Bzip2));
        for bad in [&b""[..], b"PK\x03\x04", &[0; 512], b"#!/bin/sh"] {
            assert_eq!(Filter::of(bad), None);
        }
    }

    #[test]
    fn a_mirror_that_cannot_be_reached_is_told_from_a_failed_build() {
        use std::os::unix::process::ExitStatusExt;
        let failed = |line: &str| ToolError::Failed {
            program: "mmdebstrap".to_owned(),
            status: std::process::ExitStatus::from_raw(256),
            stderr: vec![line.to_owned()],
        };
        assert!(matches!(explain(failed("E: Temporary failure resolving 'x'")), ImageError::NoMirror(_)));
        assert!(matches!(explain(failed("E: hook failed")), ImageError::Build(_)));
    }
}
