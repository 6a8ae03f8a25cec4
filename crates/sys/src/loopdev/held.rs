//! Images that stay attached until they are let go of, whoever attached them: the device carries its owner's name, so
//! that it is found again when nothing else is left that knows of it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::ioctl::{LO_FLAGS_PARTSCAN, clear, status};
use super::{FileId, LoopError, SETTLE, attach_locked, bound_to, indexes, open_node, pause};
use crate::error::{Context, Result, SysError};

/// An image that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `/dev/loopN`.
    pub path: PathBuf,
    /// N.
    pub index: u32,
    /// The image.
    pub file: FileId,
}

/// Attaches an image, or finds the device it was attached to for `owner`, a name of up to 63 bytes. The device may have
/// partitions; it is read-only when the image can't be written to.
pub fn hold(image: &Path, owner: &str) -> std::result::Result<Held, LoopError> {
    const WHAT: &str = "attach";
    let open = |access| rustix::fs::open(image, access | OFlags::CLOEXEC, Mode::empty());
    let file = match open(OFlags::RDWR) {
        Err(Errno::ROFS | Errno::PERM) => open(OFlags::RDONLY),
        other => other,
    };
    let file = file.on(WHAT, image)?;
    let id = FileId::of(&file).on(WHAT, image)?;
    if let Some(found) = held(owner).into_iter().find(|held| held.file == id) {
        return Ok(found);
    }
    let deadline = Instant::now() + SETTLE;
    // With the lock held too: a device made by another program may not have it.
    while !lock(&file, image)? || indexes().into_iter().any(|index| bound_to(index, id).is_some()) {
        if Instant::now() >= deadline {
            return Err(LoopError::ImageInUse { image: image.to_owned() });
        }
        pause();
    }
    let device = attach_locked(&file, image, owner.as_bytes(), LO_FLAGS_PARTSCAN, true)?;
    Ok(Held { path: device.path, index: device.index, file: id })
}

/// All that `owner` holds.
pub fn held(owner: &str) -> Vec<Held> {
    indexes().into_iter().filter_map(|index| held_by(owner, index)).collect()
}

/// Detaches the device, and waits until it is free. `false`: it or a partition of it is still in use somewhere when the time
/// is over.
pub fn let_go(device: &Held, owner: &str, timeout: Duration) -> Result<bool> {
    const WHAT: &str = "detach";
    let deadline = Instant::now() + timeout;
    loop {
        if held_by(owner, device.index).as_ref() != Some(device) {
            return Ok(true);
        }
        // Exclusive: refused as long as it is mounted, in whatever namespace. Without, what is mounted would be cleared
        // later, at a time that nobody knows.
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::open(&device.path, flags, Mode::empty()) {
            Ok(fd) => match clear(&fd) {
                Ok(()) | Err(Errno::NXIO) => {}
                Err(errno) => return Err(SysError::new(WHAT, &device.path, errno)),
            },
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(SysError::new(WHAT, &device.path, errno)),
        }
        if Instant::now() >= deadline {
            return Ok(held_by(owner, device.index).as_ref() != Some(device));
        }
        pause();
    }
}

fn held_by(owner: &str, index: u32) -> Option<Held> {
    let (path, fd) = open_node(index, OFlags::RDONLY).ok()?;
    let info = status(&fd).ok()?;
    let file = FileId::new(info.device(), info.inode());
    (info.name() == owner.as_bytes()).then_some(Held { path, index, file })
}

/// Takes the image's lock, unless somebody has it.
fn lock(file: &OwnedFd, image: &Path) -> Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(SysError::new("lock", image, errno)),
    }
}
