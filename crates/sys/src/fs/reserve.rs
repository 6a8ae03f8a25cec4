//! Room that is held ready for the one file that has to be written although the disk is full.

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::atomic::{sync_folder, write_all, write_atomic};
use crate::error::{Context, Result};

/// How much is asked for at once, in bytes: the last bit of room is not lost because there is no more.
const STEP: usize = 4096;

/// Makes the file `reserve` hold `bytes` bytes of room, or as many as there are. Its content means nothing.
pub fn hold_reserve(reserve: &Path, bytes: u64) -> Result<()> {
    const WHAT: &str = "hold room in";
    let held = std::fs::symlink_metadata(reserve).map_or(0, |meta| meta.len());
    if held >= bytes {
        return Ok(());
    }
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let file = rustix::fs::open(reserve, flags, Mode::from_raw_mode(0o600)).on(WHAT, reserve)?;
    // Written, and not only asked for: then it can be written again without any more room.
    let mut filled = held;
    while filled < bytes {
        match rustix::io::retry_on_intr(|| rustix::io::write(&file, &[0; STEP])) {
            Ok(written) => filled += written as u64,
            Err(Errno::NOSPC | Errno::DQUOT) => break,
            Err(errno) => return Err(errno).on(WHAT, reserve),
        }
    }
    rustix::fs::fsync(&file).on(WHAT, reserve)
}

/// As [`write_atomic`], in the room that `reserve` holds: it becomes the file.
pub fn write_from_reserve(reserve: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    const WHAT: &str = "write";
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(reserve, flags, Mode::empty()).on("open", reserve)?;
    let written = write_all(&file, bytes, path).and_then(|()| rustix::fs::fsync(&file).on(WHAT, path));
    if let Err(error) = written {
        // A file system that writes nothing in place (btrfs) needs the room elsewhere.
        rustix::fs::unlink(reserve).on("remove", reserve)?;
        let full = matches!(error.errno(), Errno::NOSPC | Errno::DQUOT);
        return if full { write_atomic(path, bytes, mode) } else { Err(error) };
    }
    rustix::fs::ftruncate(&file, bytes.len() as u64).on(WHAT, path)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).on("set the access rights of", path)?;
    rustix::fs::fsync(&file).on(WHAT, path)?;
    rustix::fs::rename(reserve, path).on("replace", path)?;
    sync_folder(path)
}
