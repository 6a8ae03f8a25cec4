//! Files that are never seen half written.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Result, SysError};

/// Writes the whole file: afterwards, and after a crash at any time, `path` has the old contents or the new,
/// with exactly the rights `mode`.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temp = TempFile::written(path, bytes, mode)?;
    rustix::fs::fsync(&temp).on("write", path)?;
    temp.rename_to(path)?;
    sync_folder(path)
}

/// As [`write_atomic`] for whoever reads it while this machine runs: nobody sees it half written, whatever process dies.
/// After a crash of the machine it may be empty, so it is for what means nothing then, and does not wait for the disk.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    TempFile::written(path, bytes, mode)?.rename_to(path)
}

/// Writes all of it into `file`, which is to become `path`.
pub(super) fn write_all(file: impl AsFd, bytes: &[u8], path: &Path) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest)).on("write", path)?;
        rest = &rest[written..];
    }
    Ok(())
}

/// Makes lasting which file `path` is.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder_fd = rustix::fs::open(folder, flags, Mode::empty()).on("open", folder)?;
    rustix::fs::fsync(folder_fd).on("make lasting what was written to", folder)
}

/// A new file next to the one it is to become; removed on drop unless it was renamed.
pub(super) struct TempFile {
    fd: OwnedFd,
    path: Option<PathBuf>,
}

impl TempFile {
    pub(super) fn new(target: &Path, mode: u32) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = target
            .file_name()
            .ok_or_else(|| SysError::new("write", target, Errno::INVAL).because("the path names no file"))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let mut temp = std::ffi::OsString::from(".");
            temp.push(name);
            temp.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
            let path = folder_of(target).join(temp);
            let fd = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
                // Left over by a crashed process that had this number.
                Err(Errno::EXIST) => continue,
                other => other.on("create", &path)?,
            };
            let file = Self { fd, path: Some(path) };
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).on("set the access rights of", target)?;
            return Ok(file);
        }
    }

    fn written(target: &Path, bytes: &[u8], mode: u32) -> Result<Self> {
        let temp = Self::new(target, mode)?;
        write_all(&temp, bytes, target)?;
        Ok(temp)
    }

    fn rename_to(mut self, target: &Path) -> Result<()> {
        let path = self.path.as_ref().expect("a file is renamed once");
        rustix::fs::rename(path, target).on("replace", target)?;
        self.path = None;
        Ok(())
    }
}

impl AsFd for TempFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = rustix::fs::unlink(path); // nobody to tell, and a later run takes another name
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
