//! Going through a cgroup with all below it. What is below was made by whoever is in it: names may be as long, and lie as
//! deep, as no path can say, so each folder is opened from the one above.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

/// Every process in a cgroup; what is gone, or goes meanwhile, has none.
pub(super) fn members(path: &Path) -> Vec<i32> {
    let mut pids = Vec::new();
    let mut open = open(CWD, path).into_iter().collect::<Vec<_>>();
    while let Some(folder) = open.pop() {
        let procs = openat(&folder, "cgroup.procs", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut text = String::new();
        if procs.is_ok_and(|procs| File::from(procs).read_to_string(&mut text).is_ok()) {
            pids.extend(text.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        }
        for name in folders(&folder).unwrap_or_default() {
            open.extend(self::open(&folder, name.as_c_str()));
        }
    }
    pids
}

/// Removes a cgroup, those below it first.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match open(CWD, path) {
        Ok(folder) => empty(&folder)?,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    gone(unlinkat(CWD, path, AtFlags::REMOVEDIR))
}

fn empty(folder: &OwnedFd) -> io::Result<()> {
    for name in folders(folder)? {
        match open(folder, name.as_c_str()) {
            Ok(below) => empty(&below)?,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        }
        gone(unlinkat(folder, name.as_c_str(), AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

fn gone(removed: Result<(), Errno>) -> io::Result<()> {
    match removed {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn open(at: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn folders(folder: &OwnedFd) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_is_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let name = "n".repeat(200);
        let mut at = open(CWD, &top).unwrap();
        for _ in 0..60 {
            rustix::fs::mkdirat(&at, name.as_str(), Mode::from_raw_mode(0o700)).unwrap();
            at = open(&at, name.as_str()).unwrap();
        }
        let procs =
            openat(&at, "cgroup.procs", OFlags::WRONLY | OFlags::CREATE, Mode::from_raw_mode(0o600)).unwrap();
        rustix::io::write(procs, b"12\n34\n").unwrap();
        assert_eq!(members(&top), [12, 34]);
        unlinkat(&at, "cgroup.procs", AtFlags::empty()).unwrap(); // a real one goes with its folder
        remove(&top).unwrap();
        assert!(!top.exists());
        remove(&top).unwrap();
        assert!(members(&top).is_empty());
    }
}
