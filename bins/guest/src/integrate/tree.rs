//! The files of a distribution, seen from outside.
//!
//! The distribution is the root of every path: its links lead nowhere else, those of `/proc` lead nowhere at all, and
//! nothing that is mounted below is reached. Modification times of folders are as before after each change.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
    Uid, XattrFlags,
};
use sampan_model::guest::IntegrateSpec;
use sampan_model::integration::journal::Touched;
use sampan_sys::fs::open_seen;
use sampan_sys::mount;
use sampan_sys::namespace::{self, Namespaces};
use sha2::{Digest, Sha256};

use crate::{attach, verb};

/// More than any table of groups and any of our programs has, in bytes.
const LIMIT: u64 = 64 << 20;

/// How many names a file may have while it is written, in case that somebody has something of these names.
const NAMES: usize = 16;

/// More than the names or a value of extended attributes can have (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`), in bytes.
const ATTRIBUTES_MAX: usize = 64 << 10;

/// The root of a distribution.
pub(super) struct Tree {
    root: OwnedFd,
}

impl Tree {
    /// Opens it where it is attached, or else by its image.
    pub(super) fn open(spec: &IntegrateSpec) -> anyhow::Result<Self> {
        let attached = match spec.hub.as_ref().map(verb::open_process).transpose()?.flatten() {
            Some(hub) => attached(&hub, &spec.at)?,
            None => None,
        };
        let root = match attached {
            Some(root) => root,
            None => attach::open_image(&spec.image, false, false)?,
        };
        Ok(Self { root })
    }

    /// Opens a folder; none: there is nothing.
    pub(super) fn folder(&self, path: &Path) -> anyhow::Result<Option<Folder>> {
        match self.open_inside(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => Ok(Some(Folder { fd, path: path.to_owned() })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).with_context(|| {
                format!("the folder {} of the distribution cannot be opened", path.display())
            }),
        }
    }

    /// Whether there is a file that can be run, also by links.
    pub(super) fn is_program(&self, path: &Path) -> bool {
        let stat = self.open_inside(path, OFlags::PATH).and_then(rustix::fs::fstat);
        stat.is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o111 != 0
        })
    }

    /// Gives a folder in which a change was cut off the time that it had before.
    pub(super) fn restore(&self, touched: &Touched) -> anyhow::Result<()> {
        let Some(folder) = self.folder(&touched.path)? else { return Ok(()) };
        set_modified(&folder.fd, (touched.seconds, touched.nanoseconds))
            .with_context(|| folder.about("set the time of", Path::new("")))
    }

    fn open_inside(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        // EAGAIN: something was renamed meanwhile and the kernel cannot vouch for "inside"; it asks to try again.
        let mut attempts = 0;
        loop {
            let opened =
                rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
            match opened {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if attempts < 16 => attempts += 1,
                other => return other,
            }
        }
    }

    /// The folder of a file, and its name in it; none: there is no such folder.
    pub(super) fn folder_of<'a>(&self, path: &'a Path) -> anyhow::Result<Option<(Folder, &'a Path)>> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("{} is no path of a file", path.display())
        };
        Ok(self.folder(folder)?.map(|folder| (folder, Path::new(name))))
    }
}

/// The root of what is attached in the hub at `at`, if something is.
fn attached(hub: &OwnedFd, at: &Path) -> anyhow::Result<Option<OwnedFd>> {
    let home = File::open("/proc/self/ns/mnt").context("cannot open the own mount namespace")?;
    namespace::enter(hub, Namespaces::MOUNT)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = mount::is_mount_point(at).map_err(anyhow::Error::from).and_then(|is_there| {
        let open = || rustix::fs::open(at, flags, Mode::empty());
        is_there.then(open).transpose().with_context(|| format!("cannot open {} in the hub", at.display()))
    });
    namespace::enter(&home, Namespaces::MOUNT)?;
    found
}

/// An open folder of a distribution.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What has a name in a folder.
pub(super) enum Found {
    Nothing,
    File(Original),
    /// Not a file. What it is instead.
    Other(&'static str),
}

/// A file that is there.
pub(super) struct Original {
    file: File,
    stat: Stat,
}

/// What a file is to be like, but for its content.
pub(super) struct Likeness {
    mode: u32,
    owner: (u32, u32),
    attributes: Vec<(OsString, Vec<u8>)>,
    /// Modification time in seconds and nanoseconds; none: when it is written.
    pub(super) modified: Option<(i64, u32)>,
}

impl Likeness {
    /// That of a new file of root's.
    pub(super) fn new(mode: u32) -> Self {
        Self { mode, owner: (0, 0), attributes: Vec::new(), modified: None }
    }

    fn give(&self, file: &OwnedFd) -> io::Result<()> {
        let (uid, gid) = self.owner;
        // In this order: a change of the owner takes rights away, and a change of the mode those of access lists.
        rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        for (name, value) in &self.attributes {
            rustix::fs::fsetxattr(file, name.as_os_str(), value, XattrFlags::empty())?;
        }
        if let Some(modified) = self.modified {
            set_modified(file, modified)?;
        }
        Ok(())
    }
}

impl Original {
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        self.read_up_to(LIMIT)
    }

    /// Reads it; [`io::ErrorKind::FileTooLarge`] if it has more than `limit` bytes.
    pub(super) fn read_up_to(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&mut self.file).take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    pub(super) fn mode(&self) -> u32 {
        self.stat.st_mode & 0o7777
    }

    pub(super) fn likeness(&self) -> io::Result<Likeness> {
        Ok(Likeness {
            mode: self.mode(),
            owner: (self.stat.st_uid, self.stat.st_gid),
            attributes: attributes(&self.file)?,
            modified: None,
        })
    }

    /// Modification time in seconds and nanoseconds.
    pub(super) fn modified(&self) -> (i64, u32) {
        modified(&self.stat)
    }
}

impl Folder {
    /// What tells it from every other folder of the distribution.
    pub(super) fn identity(&self) -> anyhow::Result<u64> {
        Ok(rustix::fs::fstat(&self.fd).with_context(|| self.about("look at", Path::new("")))?.st_ino)
    }

    /// It, and when something in it was changed last.
    pub(super) fn touched(&self) -> anyhow::Result<Touched> {
        let stat = rustix::fs::fstat(&self.fd).with_context(|| self.about("look at", Path::new("")))?;
        let (seconds, nanoseconds) = modified(&stat);
        Ok(Touched { path: self.path.clone(), seconds, nanoseconds })
    }

    pub(super) fn find(&self, name: &Path) -> anyhow::Result<Found> {
        // Looked at before it is opened: opening a device acts on the host, opening a pipe waits for ever.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let context = || self.about("read", name);
        let seen = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(seen) => seen,
            Err(rustix::io::Errno::NOENT) => return Ok(Found::Nothing),
            Err(errno) => return Err(errno).with_context(context),
        };
        let stat = rustix::fs::fstat(&seen).with_context(context)?;
        let other = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = match open_seen(&seen) {
                    Err(rustix::io::Errno::AGAIN) => bail!(
                        "{}: a program in the distribution keeps it from all others (by a lease)",
                        context()
                    ),
                    other => other.with_context(context)?,
                };
                return Ok(Found::File(Original { file, stat }));
            }
            FileType::Directory => "a folder",
            FileType::Symlink => "a link",
            _ => "no plain file",
        };
        Ok(Found::Other(other))
    }

    /// SHA-256 of a file in hex; none: it is no file, or none of a length that we read.
    pub(super) fn sha256(&self, name: &Path) -> anyhow::Result<Option<String>> {
        let Found::File(mut found) = self.find(name)? else { return Ok(None) };
        match found.read() {
            Ok(bytes) => Ok(Some(sha256(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
            Err(error) => Err(error).with_context(|| self.about("read", name)),
        }
    }

    /// Makes a file. An error if there is one.
    pub(super) fn make(&self, name: &Path, bytes: &[u8], like: &Likeness) -> anyhow::Result<()> {
        self.put(name, bytes, like, RenameFlags::NOREPLACE, || Ok(()))
    }

    /// Puts another file into the place of one; an error if its content is not `expected` any more.
    pub(super) fn replace(
        &self,
        name: &Path,
        expected: &[u8],
        bytes: &[u8],
        like: &Likeness,
    ) -> anyhow::Result<()> {
        self.put(name, bytes, like, RenameFlags::empty(), || {
            let now = match self.find(name)? {
                Found::File(mut found) => found.read().ok(),
                _ => None,
            };
            anyhow::ensure!(
                now.as_deref() == Some(expected),
                "somebody else changes it at this moment: try again"
            );
            Ok(())
        })
    }

    pub(super) fn remove(&self, name: &Path) -> anyhow::Result<()> {
        self.quietly(|| Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?))
            .with_context(|| self.about("remove", name))
    }

    pub(super) fn make_folder(&self, name: &Path) -> anyhow::Result<()> {
        let mode = Mode::from_raw_mode(0o755);
        self.quietly(|| Ok(rustix::fs::mkdirat(&self.fd, name, mode)?))
            .with_context(|| self.about("make", name))
    }

    /// Removes a folder unless something is in it, or it is none.
    pub(super) fn remove_folder(&self, name: &Path) -> anyhow::Result<()> {
        use rustix::io::Errno;
        let removed = self.quietly(|| match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            other => Ok(other?),
        });
        removed.with_context(|| self.about("remove", name))
    }

    /// Removes what a write that was cut off has left beside `name`.
    pub(super) fn clear(&self, name: &Path) -> anyhow::Result<()> {
        for unfinished in unfinished(name) {
            // All that we leave are files.
            let found = rustix::fs::statat(&self.fd, &unfinished, AtFlags::SYMLINK_NOFOLLOW);
            if found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile) {
                self.remove(&unfinished)?;
            }
        }
        Ok(())
    }

    /// Makes the file that is to become `name`, with its own name.
    fn make_unfinished(&self, name: &Path) -> anyhow::Result<(PathBuf, File)> {
        let options = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for unfinished in unfinished(name) {
            match rustix::fs::openat(&self.fd, &unfinished, options, Mode::from_raw_mode(0o600)) {
                Err(rustix::io::Errno::EXIST) => {}
                other => return Ok((unfinished, other?.into())),
            }
        }
        let first = unfinished(name).next().unwrap_or_default();
        bail!("{} and all further names that it could have meanwhile are taken", self.shown(&first))
    }

    fn put(
        &self,
        name: &Path,
        bytes: &[u8],
        like: &Likeness,
        flags: RenameFlags,
        check: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        // What cannot be removed keeps its name, and there are others.
        let _ = self.clear(name);
        let written = self.quietly(|| {
            let (new, mut file) = self.make_unfinished(name)?;
            let written = io::Write::write_all(&mut file, bytes)
                .and_then(|()| {
                    let file = OwnedFd::from(file);
                    like.give(&file)?;
                    Ok(rustix::fs::fsync(&file)?)
                })
                .map_err(anyhow::Error::from)
                .and_then(|()| check())
                .and_then(|()| Ok(rustix::fs::renameat_with(&self.fd, &new, &self.fd, name, flags)?));
            if written.is_err() {
                // The first failure is told; what cannot be removed is removed when it is tried again.
                let _ = rustix::fs::unlinkat(&self.fd, &new, AtFlags::empty());
            }
            written
        });
        written.with_context(|| self.about("write", name))
    }

    /// Changes something in it and makes that last. Its modification time stays.
    fn quietly(&self, change: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let before = rustix::fs::fstat(&self.fd)?;
        let done = change();
        let settled =
            set_modified(&self.fd, modified(&before)).and_then(|()| Ok(rustix::fs::fsync(&self.fd)?));
        done.and_then(|()| Ok(settled?))
    }

    fn shown(&self, name: &Path) -> String {
        self.path.join(name).display().to_string()
    }

    fn about(&self, what: &str, name: &Path) -> String {
        format!("cannot {what} {} of the distribution", self.shown(name))
    }
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The names a file may have while it is written. They are known, so that whoever comes after a crash finds it.
fn unfinished(name: &Path) -> impl Iterator<Item = PathBuf> {
    let name = format!(".{}.sampan", name.display());
    (0..NAMES).map(move |number| match number {
        0 => PathBuf::from(&name),
        number => format!("{name}.{number}").into(),
    })
}

fn modified(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

fn set_modified(file: impl AsFd, (seconds, nanoseconds): (i64, u32)) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    };
    Ok(rustix::fs::futimens(file, &times)?)
}

fn attributes(file: &File) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut buffer = vec![0; ATTRIBUTES_MAX];
    let length = match rustix::fs::flistxattr(file, &mut buffer) {
        // A file system without such attributes.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = buffer[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let names: Vec<OsString> = names.map(|name| std::ffi::OsStr::from_bytes(name).to_owned()).collect();
    let value = |name: OsString| {
        let length = rustix::fs::fgetxattr(file, name.as_os_str(), &mut buffer)?;
        Ok((name, buffer[..length].to_vec()))
    };
    names.into_iter().map(value).collect()
}
