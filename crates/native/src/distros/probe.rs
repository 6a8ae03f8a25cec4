//! What a root file system is: whether there is a Linux in it, and which.
//!
//! It may be anybody's: every path is resolved with it as the root, and nothing but regular files is opened.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::FileType;
use sampan_model::registry::Entry;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::os_release::Release;
use sampan_sys::Errno;
use sampan_sys::fs::{OFlags, open_in_root, open_seen};

/// Files that are larger than this, in bytes, are not what they are called.
const LARGEST: u64 = 64 << 10;

/// A flavour or version of more bytes is none.
const LONGEST: usize = 128;

/// What was found in a root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// By its `os-release`.
    pub(super) release: Release,
    /// Its `/etc/wsl-distribution.conf`, if it has one.
    pub(super) distribution_conf: Vec<u8>,
}

impl Probe {
    /// Looks at the root file system that the folder `root` is.
    pub(super) fn of(root: impl AsFd) -> Result<Self, Failure> {
        let root = root.as_fd();
        let is = |path: &str, kind: FileType| {
            let found = open_in_root(root, Path::new(path), OFlags::PATH);
            found
                .ok()
                .and_then(|file| rustix::fs::fstat(&file).ok())
                .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == kind)
        };
        if !is("etc", FileType::Directory) && !is("bin/sh", FileType::RegularFile) {
            return Err(Failure::new(Code::NotALinuxDistro));
        }
        require_mount_points(root)?;
        let text = read(root, "etc/os-release", LARGEST).unwrap_or_default();
        let Release { flavor, version } = Release::probe(&String::from_utf8_lossy(&text));
        let short = |text: &String| text.len() <= LONGEST;
        Ok(Self {
            release: Release { flavor: flavor.filter(short), version: version.filter(short) },
            distribution_conf: read(root, "etc/wsl-distribution.conf", LARGEST).unwrap_or_default(),
        })
    }

    /// Takes what was found into the registry; what was not found stays as it was.
    pub(super) fn note(&self, entry: &mut Entry) {
        let before = Release { flavor: entry.flavor.take(), version: entry.os_version.take() };
        let Release { flavor, version } = before.updated(self.release.clone());
        (entry.flavor, entry.os_version) = (flavor, version);
    }
}

/// An error when something else is where the kernel's file systems are mounted at each start. What is missing is made.
fn require_mount_points(root: BorrowedFd<'_>) -> Result<(), Failure> {
    for (path, flags) in [
        ("proc", OFlags::PATH | OFlags::NOFOLLOW),
        ("sys", OFlags::PATH | OFlags::NOFOLLOW),
        ("dev", OFlags::PATH | OFlags::NOFOLLOW),
        // May lead to another folder: it was below /var once.
        ("run", OFlags::PATH),
    ] {
        let found = match open_in_root(root, Path::new(path), flags) {
            Ok(file) => rustix::fs::fstat(&file).map(|stat| FileType::from_raw_mode(stat.st_mode)),
            Err(error) if error.errno() == Errno::NOENT => continue,
            Err(error) => Err(error.errno()),
        };
        let what = match found {
            Ok(FileType::Directory) => continue,
            Ok(FileType::Symlink) | Err(Errno::LOOP) => "a link",
            _ => "no folder",
        };
        let message = format!("{}\n/{path} in it is {what}.", Code::NotALinuxDistro.text());
        let hint = format!("make /{path} an empty folder where it comes from");
        return Err(Failure::new(Code::NotALinuxDistro).with_message(message).hint(hint));
    }
    Ok(())
}

/// Whether there is a program at a path of a root file system, also by links that stay inside.
pub(crate) fn is_program(root: impl AsFd, path: &Path) -> bool {
    let found = open_in_root(root, path, OFlags::PATH).ok();
    let meta = found.and_then(|found| File::from(found).metadata().ok());
    meta.is_some_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// A regular file of at most `largest` bytes of a root file system. One that a program there keeps others from reading, by
/// a lease, is [`ErrorKind::WouldBlock`].
pub(crate) fn read(root: impl AsFd, path: &str, largest: u64) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a device acts on the host, opening a pipe waits for ever.
    let seen = open_in_root(root, Path::new(path), OFlags::PATH).map_err(|error| error.errno())?;
    let seen = File::from(seen);
    let meta = seen.metadata()?;
    if !meta.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    if meta.len() > largest {
        return Err(ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    open_seen(&seen)?.take(largest).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, mknodat};
    use sampan_model::distro::Guid;

    use super::*;

    fn probe(folder: &Path) -> Result<Probe, Code> {
        Probe::of(File::open(folder).unwrap()).map_err(|failure| failure.code)
    }

    fn write(path: &Path, text: &[u8]) {
        sampan_sys::fs::write_atomic(path, text, 0o644).unwrap();
    }

    #[test]
    fn i17_i20_a_linux_has_etc_or_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(probe(root), Err(Code::NotALinuxDistro));
        write(&root.join("etc"), b"a file is no folder");
        assert_eq!(probe(root), Err(Code::NotALinuxDistro));
        fs::remove_file(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        symlink("/usr/bin", root.join("bin")).unwrap();
        // The host has one there; the root has none.
        assert_eq!(probe(root), Err(Code::NotALinuxDistro));
        write(&root.join("usr/bin/dash"), b"");
        symlink("dash", root.join("usr/bin/sh")).unwrap();
        assert_eq!(probe(root), Ok(Probe::default()));
        fs::remove_file(root.join("bin")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        assert_eq!(probe(root), Ok(Probe::default()));
    }

    #[test]
    fn what_a_start_would_fail_over_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("var/run")).unwrap();
        symlink("/var/run", root.join("run")).unwrap();
        assert_eq!(probe(root), Ok(Probe::default()), "a link to a folder will do for this one");
        for (path, to) in [("proc", "/tmp"), ("sys", "nowhere"), ("dev", "dev")] {
            symlink(to, root.join(path)).unwrap();
            let told = Probe::of(File::open(root).unwrap()).unwrap_err();
            assert_eq!(told.code, Code::NotALinuxDistro);
            assert!(told.message.ends_with(&format!("\n/{path} in it is a link.")), "{}", told.message);
            fs::remove_file(root.join(path)).unwrap();
            write(&root.join(path), b"");
            let told = Probe::of(File::open(root).unwrap()).unwrap_err();
            assert!(told.message.ends_with(&format!("\n/{path} in it is no folder.")), "{}", told.message);
            assert!(told.hint.is_some());
            fs::remove_file(root.join(path)).unwrap();
        }
        fs::remove_dir(root.join("var/run")).unwrap();
        symlink("/run", root.join("var/run")).unwrap();
        assert!(Probe::of(File::open(root).unwrap()).unwrap_err().message.contains("/run in it is a link"));
    }

    #[test]
    fn links_stay_inside_and_only_small_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let (root, etc) = (folder.path(), folder.path().join("etc"));
        fs::create_dir(&etc).unwrap();
        let release = etc.join("os-release");
        write(&outside.path().join("os-release"), b"ID=host\n");
        symlink(outside.path().join("os-release"), &release).unwrap();
        assert_eq!(probe(root), Ok(Probe::default()), "not the host's");
        fs::remove_file(&release).unwrap();
        mknodat(CWD, &release, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert_eq!(probe(root), Ok(Probe::default()), "a pipe is not waited for");
        fs::remove_file(&release).unwrap();
        write(&release, &[&b"ID="[..], &vec![b'a'; 1 << 20]].concat());
        assert_eq!(probe(root), Ok(Probe::default()));
        write(&release, &[&b"VERSION_ID=13\nID="[..], &vec![b'a'; 1000]].concat());
        assert_eq!(probe(root).unwrap().release.version.as_deref(), Some("13"));
        assert_eq!(probe(root).unwrap().release.flavor, None);
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        write(&root.join("usr/lib/os-release"), b"ID=debian\nVERSION_ID=\"13\"\n");
        fs::remove_file(&release).unwrap();
        symlink("../usr/lib/os-release", &release).unwrap();
        assert_eq!(probe(root).unwrap().release.flavor.as_deref(), Some("debian"));
    }

    #[test]
    fn a_program_is_a_file_that_can_be_run() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path();
        let is = |name: &str| is_program(File::open(root).unwrap(), Path::new(name));
        for (folder, mode) in [(root, 0o755), (outside.path(), 0o755)] {
            sampan_sys::fs::write_atomic(&folder.join("program"), b"", mode).unwrap();
        }
        write(&root.join("text"), b"");
        fs::create_dir(root.join("folder")).unwrap();
        mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o755), 0).unwrap();
        symlink("/program", root.join("inside")).unwrap();
        symlink(outside.path().join("program"), root.join("outside")).unwrap();
        assert!(is("/program") && is("/inside"));
        for other in ["/text", "/folder", "/pipe", "/outside", "/nothing"] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn o14_what_is_not_found_stays_as_it_was() {
        let mut entry = Entry::new(Guid::NIL, "a", 2);
        entry.flavor = Some("debian".to_owned());
        let release = Release { flavor: None, version: Some("13".to_owned()) };
        Probe { release, distribution_conf: Vec::new() }.note(&mut entry);
        assert_eq!((entry.flavor.as_deref(), entry.os_version.as_deref()), (Some("debian"), Some("13")));
    }
}
