//! Where a user's distribution is kept: an ext4 image (version 2) or a folder (version 1) in a folder of its own.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use sampan_model::guest::ConfinedRoot;
use sampan_model::instance::Instance;
use sampan_model::registry::{Entry, Leftover, Registry};
use sampan_model::wsl::error::{Code, Failure};
use sampan_sys::Errno;
use sampan_sys::loopdev::{self, LoopError};
use sampan_sys::mount::{self, MountAttrFlags};

use super::boot::TREE;
use super::failure::failure;
use super::probe::Probe;
use crate::disk::{self, DiskError};
use crate::{hub, tree};

/// The folder of a distribution of version 1. Nobody but root passes it: programs in it may have rights of their own.
const FOLDER: &str = "rootfs";

/// A tool that was killed, or whose service was, holds an image until what it wrote is written back.
const HELD: Duration = Duration::from_mins(1);

/// The storage of one version in one folder, whether it is there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    folder: PathBuf,
    version: u8,
    disk: String,
    /// Whether its disk is mounted for others, too, who may write to it.
    in_use: bool,
}

impl Storage {
    pub(super) fn of(instance: &Instance, entry: &Entry) -> Self {
        let disk = entry.disk.clone().unwrap_or_else(|| disk::IMAGE.to_owned());
        Self { folder: entry.folder(instance), version: entry.version, disk, in_use: false }
    }

    /// The same for the other version.
    pub(super) fn with_version(&self, version: u8) -> Self {
        Self { version, ..self.clone() }
    }

    /// The same, to be read while others have its disk mounted.
    pub(super) fn in_use(self) -> Self {
        Self { in_use: true, ..self }
    }

    /// The same in another folder.
    pub(super) fn in_folder(&self, folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..self.clone() }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn disk(&self) -> &str {
        &self.disk
    }

    /// The file or folder that is all of it.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(if self.version == 2 { &self.disk } else { FOLDER })
    }

    pub(super) fn is_disk(&self) -> bool {
        self.version == 2
    }

    pub(super) fn exists(&self) -> bool {
        fs::symlink_metadata(self.path()).is_ok()
    }

    /// Its root file system, as tools see it.
    pub(super) fn root(&self) -> ConfinedRoot {
        match self.version {
            2 if self.in_use => ConfinedRoot::Layer { image: self.path() },
            2 => ConfinedRoot::Image { image: self.path() },
            _ => ConfinedRoot::Folder { path: self.folder.join(TREE) },
        }
    }

    /// An error when a new one would meet what is there.
    pub(super) fn require_free(&self) -> Result<(), Failure> {
        match self.exists() {
            false => Ok(()),
            true if self.version == 2 => {
                Err(Failure::disk_not_created(&self.path().display().to_string(), Code::FileExists))
            }
            true => Err(Failure::new(Code::FileExists)),
        }
    }

    /// Makes an empty one; a disk may grow to `size` bytes.
    pub(super) fn create(&self, size: u64) -> Result<(), Failure> {
        let path = self.path();
        if self.version == 2 {
            let made = disk::format(&path, size).and_then(|file| {
                disk::settle(&file, &self.folder)
                    .map_err(|source| DiskError::Make { path: path.clone(), source })
            });
            return made.map_err(|error| not_created(&path, error));
        }
        make_folder(&path, 0o700)?;
        make_folder(&self.folder.join(TREE), 0o755)
    }

    /// Makes an empty file for its disk.
    pub(super) fn create_empty(&self) -> Result<File, Failure> {
        let path = self.path();
        disk::new_file(&path).map_err(|error| not_created(&path, error))
    }

    /// Opens its root for looking: a mount that nobody else sees, for as long as the result is open.
    pub(super) fn open(&self) -> Result<OwnedFd, Failure> {
        let path = self.path();
        let shown = path.display().to_string();
        if self.version == 1 {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let opened = rustix::fs::open(self.folder.join(TREE), flags, Mode::empty());
            return opened.map_err(|errno| cannot("open", &path, &errno.into()));
        }
        let device = loopdev::attach(&path).map_err(|error| match error {
            LoopError::ImageInUse { .. } => Failure::disk_not_attached(&shown, Code::SharingViolation),
            LoopError::Sys(error) if error.errno() == Errno::NOENT => {
                Failure::disk_not_attached(&shown, Code::PathNotFound)
            }
            LoopError::Sys(error) => cannot("attach", &path, &error.errno().into()),
        })?;
        // A disk that somebody made may ask for a panic of the kernel at its first error.
        let options = [("errors", Some("remount-ro"))];
        // Of one that is mounted to be written to there is no other mount than such a one.
        let tree = mount::new_ext4(&device.path, &options, !self.in_use).and_then(|tree| {
            mount::set_tree_attributes(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
            Ok(tree)
        });
        tree.map_err(|error| match error.errno() {
            // What the kernel says of another file system, of a damaged one, and of one that is cut off.
            Errno::INVAL | Errno::UCLEAN | Errno::BADMSG | Errno::IO | Errno::FBIG => {
                let why =
                    if error.detail.is_empty() { String::new() } else { format!(" ({})", error.detail) };
                let hint = format!("`e2fsck -f {shown}` repairs what can be repaired{why}");
                Failure::new(Code::DiskCorrupted).hint(hint)
            }
            errno => cannot("mount", &path, &errno.into()),
        })
    }

    /// What is in it. A disk is free again afterwards.
    pub(super) fn probe(&self) -> Result<Probe, Failure> {
        let probe = Probe::of(&self.open()?);
        self.wait_free()?;
        probe
    }

    /// Bytes that its files take. A disk is free again afterwards.
    pub(super) fn used_bytes(&self) -> Result<u64, Failure> {
        let path = self.path();
        let root = self.open()?;
        if !self.is_disk() {
            return Ok(tree::used_bytes(&path));
        }
        let stat = rustix::fs::fstatvfs(&root).map_err(|errno| cannot("look at", &path, &errno.into()))?;
        drop(root);
        self.wait_free()?;
        Ok(stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize))
    }

    /// Waits until no tool holds it any more.
    pub(super) fn wait_free(&self) -> Result<(), Failure> {
        if self.is_disk() && !self.in_use { hub::wait_free(&self.path()).map_err(failure) } else { Ok(()) }
    }

    /// Removes it, and makes sure that this lasts; that it is not there is no failure.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        let path = self.path();
        if !self.exists() {
            return Ok(());
        }
        if self.version == 2 {
            if !loopdev::wait_free(&path, HELD).unwrap_or(false) {
                let message = format!("{} is still in use.", path.display());
                return Err(Failure::new(Code::Busy).with_message(message).hint("try again in a moment"));
            }
            fs::remove_file(&path).map_err(|error| cannot("remove", &path, &error))?;
        } else {
            tree::remove(&path).map_err(failure)?;
        }
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn not_created(path: &Path, error: DiskError) -> Failure {
    match error {
        DiskError::Make { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
            Failure::disk_not_created(&path.display().to_string(), Code::FileExists)
        }
        DiskError::Make { source, .. } if source.kind() != ErrorKind::StorageFull => {
            cannot("make the disk", path, &source)
        }
        error => failure(error),
    }
}

/// A folder that a storage is to be put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// Whether it is not there yet.
    pub(super) missing: bool,
}

impl Place {
    /// The folder that the user chose, by its real path; only its last part may be missing.
    pub(super) fn chosen(location: &Path) -> Result<Self, Failure> {
        let invalid = || {
            let message = format!("{} is no absolute path of a folder.", location.display());
            Failure::new(Code::InvalidArg).with_message(message)
        };
        if !location.is_absolute() {
            return Err(invalid());
        }
        match fs::canonicalize(location) {
            Ok(folder) if folder.is_dir() => return Ok(Self { folder, missing: false }),
            Ok(_) => {
                return Err(
                    Failure::new(Code::FileExists).hint(format!("{} is no folder", location.display()))
                );
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot("use", location, &error)),
        }
        let Some(Component::Normal(name)) = location.components().next_back() else { return Err(invalid()) };
        let parent = location.parent().ok_or_else(invalid)?;
        match fs::canonicalize(parent) {
            Ok(parent) if parent.is_dir() => Ok(Self { folder: parent.join(name), missing: true }),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot("use", location, &error)),
            _ => {
                Err(Failure::new(Code::PathNotFound)
                    .hint(format!("make the folder {} first", parent.display())))
            }
        }
    }

    /// Its folder in the instance, which only root may enter.
    pub(super) fn own(instance: &Instance, entry: &Entry) -> Self {
        let folder = instance.distro(&entry.guid);
        Self { missing: !folder.exists(), folder }
    }

    /// An error when another distribution than `entry` is kept there, or in a folder above, in which its files are.
    pub(super) fn require_unused(
        &self,
        instance: &Instance,
        registry: &Registry,
        entry: &Entry,
    ) -> Result<(), Failure> {
        let others = registry.distributions.iter().filter(|other| other.guid != entry.guid);
        for other in others {
            let mut folders = vec![other.folder(instance)];
            if let Some(Leftover::Folder { folder, .. }) = &other.leftover {
                folders.push(folder.clone());
            }
            for folder in folders {
                let folder = fs::canonicalize(&folder).unwrap_or(folder);
                if self.folder == folder || self.folder.starts_with(folder.join(FOLDER)) {
                    return Err(Failure::location_in_use());
                }
            }
        }
        Ok(())
    }

    /// Makes it if it is missing; `mode`: who may enter it.
    pub(super) fn make(&self, mode: u32) -> Result<(), Failure> {
        if self.missing { make_folder(&self.folder, mode) } else { Ok(()) }
    }
}

/// Removes a folder that has become empty, and makes sure that this lasts.
pub(super) fn remove_empty(folder: &Path) {
    if fs::remove_dir(folder).is_ok()
        && let Some(parent) = folder.parent()
    {
        let _ = File::open(parent).and_then(|parent| parent.sync_all());
    }
}

fn make_folder(path: &Path, mode: u32) -> Result<(), Failure> {
    DirBuilder::new().mode(mode).create(path).map_err(|error| cannot("make", path, &error))
}

/// What went wrong with a file, in the words of `wsl` where it has any.
pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let (code, hint) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Code::DiskFull, Some("free some space")),
        ErrorKind::AlreadyExists => (Code::FileExists, None),
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            (Code::PathNotFound, Some("check the path, and make the folders above it"))
        }
        ErrorKind::PermissionDenied => {
            (Code::AccessDenied, Some("check that the host lets root change it (`lsattr`, `mount`)"))
        }
        ErrorKind::ReadOnlyFilesystem => {
            (Code::AccessDenied, Some("choose a place on a file system that can be written"))
        }
        ErrorKind::ResourceBusy | ErrorKind::ExecutableFileBusy => (Code::Busy, None),
        _ => (Code::Fail, None),
    };
    let message = format!("Cannot {what} {}: {}", path.display(), reason(error));
    let failure = Failure::new(code).with_message(message);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What the system says of an error. The number that Rust adds is for programmers.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_owned()
}

#[cfg(test)]
mod tests {
    use sampan_model::distro::Guid;

    use super::*;

    fn registry(base: &Path) -> (Instance, Registry) {
        let instance = Instance::new("t", Path::new("/state"), Path::new("/run/x")).unwrap();
        let entry = Entry { base: Some(base.to_owned()), ..Entry::new(Guid::from_random([1; 16]), "a", 1) };
        (instance, Registry { distributions: vec![entry], ..Registry::default() })
    }

    #[test]
    fn q34_only_the_last_part_of_a_folder_may_be_missing() {
        let base = tempfile::tempdir().unwrap();
        let real = base.path().canonicalize().unwrap();
        let chosen = |path: &Path| Place::chosen(path).map_err(|failure| failure.code);
        assert_eq!(chosen(base.path()), Ok(Place { folder: real.clone(), missing: false }));
        let new = Ok(Place { folder: real.join("new"), missing: true });
        assert_eq!(chosen(&base.path().join("new/")), new);
        std::os::unix::fs::symlink(&real, base.path().join("link")).unwrap();
        assert_eq!(chosen(&base.path().join("link/./new")), new);
        assert_eq!(chosen(&base.path().join("new/deep")), Err(Code::PathNotFound));
        sampan_sys::fs::write_atomic(&base.path().join("file"), b"", 0o600).unwrap();
        assert_eq!(chosen(&base.path().join("file")), Err(Code::FileExists));
        assert_eq!(chosen(&base.path().join("file/new")), Err(Code::PathNotFound));
        for bad in ["", "relative", "/no/such/../x/..", "/no-such-folder-at-all/.."] {
            assert!(chosen(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_host_refuses_is_a_sentence_and_a_way_out() {
        let told = |errno: Errno| cannot("make", Path::new("/x"), &errno.into());
        let refused = told(Errno::ROFS);
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (Code::AccessDenied, "Cannot make /x: Read-only file system")
        );
        for (errno, code) in [
            (Errno::NOSPC, Code::DiskFull),
            (Errno::DQUOT, Code::DiskFull),
            (Errno::NOTDIR, Code::PathNotFound),
            (Errno::PERM, Code::AccessDenied),
        ] {
            let failure = told(errno);
            assert_eq!(failure.code, code);
            assert!(failure.hint.is_some() && !failure.message.contains("os error"), "{failure:?}");
        }
    }

    #[test]
    fn i14_one_folder_is_for_one_distribution() {
        let base = tempfile::tempdir().unwrap();
        let (instance, registry) = registry(&base.path().canonicalize().unwrap());
        let other = Entry::new(Guid::from_random([2; 16]), "b", 2);
        let used = |path: &Path| {
            let place = Place::chosen(path).unwrap();
            place.require_unused(&instance, &registry, &other).map_err(|failure| failure.code)
        };
        assert_eq!(used(base.path()), Err(Code::FileExists));
        assert_eq!(used(&base.path().join("beside")), Ok(()));
        fs::create_dir_all(base.path().join("rootfs/fs")).unwrap();
        assert_eq!(used(&base.path().join("rootfs/fs/home")), Err(Code::FileExists), "inside its files");
    }

    #[test]
    fn i10_i11_what_is_in_the_way_is_named_and_stays() {
        let base = tempfile::tempdir().unwrap();
        let entry =
            Entry { base: Some(base.path().to_owned()), ..Entry::new(Guid::from_random([1; 16]), "a", 2) };
        let instance = Instance::new("t", Path::new("/state"), Path::new("/run/x")).unwrap();
        let disk = Storage::of(&instance, &entry);
        let folder = disk.with_version(1);
        disk.require_free().and_then(|()| folder.require_free()).unwrap();
        folder.create(0).unwrap();
        sampan_sys::fs::write_atomic(&base.path().join("ext4.img"), b"precious", 0o600).unwrap();
        assert_eq!(folder.require_free().unwrap_err(), Failure::new(Code::FileExists));
        assert_eq!(folder.create(0).unwrap_err().code, Code::FileExists);
        let told = disk.create(1 << 30).unwrap_err();
        assert_eq!(told, disk.require_free().unwrap_err());
        assert!(told.message.ends_with("ext4.img': The file exists. "), "{}", told.message);
        assert_eq!(fs::read(base.path().join("ext4.img")).unwrap(), b"precious");
        folder.remove().unwrap();
        assert!(!base.path().join("rootfs").exists());
    }
}
