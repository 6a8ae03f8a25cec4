//! Loop devices: an image file as a block device.
//!
//! An attached image carries an exclusive flock that belongs to the device, not to a process: it is taken on
//! the descriptor the kernel keeps. So an image cannot be attached twice, which would destroy its contents,
//! and the lock ends with the attachment even if the attaching process is long gone. Devices clear themselves
//! when the last user goes, but for those that are held: these stay until they are let go of.

mod held;
mod ioctl;

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use held::{Held, held, hold, let_go};
use ioctl::{LO_FLAGS_AUTOCLEAR, LoopInfo, configure, free_index, status};
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, makedev};
use rustix::io::Errno;

use crate::error::{Context, SysError};

const LOOP_MAJOR: u32 = 7;
/// Other programs take free devices, too: between asking for a number and using it, it may be gone.
const ATTEMPTS: u32 = 64;
/// A lock without a device is seen while a device is being set up or torn down, which takes milliseconds.
const SETTLE: Duration = Duration::from_millis(100);

/// Why an image has no loop device.
#[derive(Debug, thiserror::Error)]
pub enum LoopError {
    /// Somebody holds the image's lock without it being attached, or it is attached in another way
    /// (read-only, in part).
    #[error("the image {} is in use by another program", image.display())]
    ImageInUse {
        /// The image.
        image: PathBuf,
    },
    /// A system call failed.
    #[error(transparent)]
    Sys(#[from] SysError),
}

/// An attached image. The device lives as long as `fd` or a mount of it.
#[derive(Debug)]
pub struct LoopDevice {
    /// `/dev/loopN`.
    pub path: PathBuf,
    /// N.
    pub index: u32,
    /// Whether the image's pages are cached once (direct I/O), not a second time below the device.
    pub direct_io: bool,
    /// Hold it until the device is mounted.
    pub fd: OwnedFd,
}

impl LoopDevice {
    /// Lets the image be read through the host's page cache, `read_ahead` bytes at a time.
    ///
    /// Its pages are then there twice, above and below the device; for that the ones below outlive the device, and the
    /// next attachment finds them in memory.
    pub fn read_through_cache(&mut self, read_ahead: u32) -> Result<(), SysError> {
        ioctl::set_direct(&self.fd, false)
            .and_then(|()| ioctl::set_read_ahead(&self.fd, read_ahead / 512))
            .on("tune", &self.path)?;
        self.direct_io = false;
        Ok(())
    }
}

/// Attaches an image, or finds the device it is attached to.
pub fn attach(image: &Path) -> Result<LoopDevice, LoopError> {
    attach_reading(image, true)
}

/// As [`attach`]; a new device goes through the host's page cache until [`bypass_cache`].
pub fn attach_cached(image: &Path) -> Result<LoopDevice, LoopError> {
    attach_reading(image, false)
}

/// From here on the devices of an image cache nothing below themselves. What was written before is on the disk then.
pub fn bypass_cache(image: &Path) -> Result<(), SysError> {
    let file = rustix::fs::open(image, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).on("find", image)?;
    let identity = FileId::of(&file).on("find", image)?;
    for index in indexes() {
        let Some((device, _)) = bound_to(index, identity) else { continue };
        match ioctl::set_direct(&device.fd, true) {
            // File systems without direct I/O refuse it.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(SysError::new("tune", &device.path, errno)),
        }
    }
    Ok(())
}

fn attach_reading(image: &Path, direct: bool) -> Result<LoopDevice, LoopError> {
    const WHAT: &str = "attach";
    let file = rustix::fs::open(image, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).on(WHAT, image)?;
    let identity = FileId::of(&file).on(WHAT, image)?;
    let deadline = Instant::now() + SETTLE;
    loop {
        let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Looked for even with the lock held: a device made by another program may not have it.
        for index in indexes() {
            let Some((device, info)) = bound_to(index, identity) else { continue };
            if info.is_partial() {
                return Err(LoopError::ImageInUse { image: image.to_owned() });
            }
            return Ok(device);
        }
        match lock {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => pause(),
            Err(Errno::WOULDBLOCK) => return Err(LoopError::ImageInUse { image: image.to_owned() }),
            Err(errno) => return Err(SysError::new("lock", image, errno).into()),
        }
    }
    // The name is for the eyes of `losetup` only.
    Ok(attach_locked(&file, image, image.as_os_str().as_bytes(), LO_FLAGS_AUTOCLEAR, direct)?)
}

/// The devices an image is attached to, recognised by the image's identity, whatever its name was then.
pub fn loops_of(image: &Path) -> Result<Vec<u32>, SysError> {
    let file = rustix::fs::open(image, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).on("find", image)?;
    let identity = FileId::of(&file).on("find", image)?;
    Ok(indexes().into_iter().filter(|index| bound_to(*index, identity).is_some()).collect())
}

/// Waits until no device has the image; `false` when the time is over. The kernel has no event for it.
pub fn wait_free(image: &Path, timeout: Duration) -> Result<bool, SysError> {
    let deadline = Instant::now() + timeout;
    loop {
        if loops_of(image)?.is_empty() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "the kernel tells nobody when a loop device is cleared")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// What the kernel remembers of the file behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// Major number of the device that its file system is on.
    pub major: u32,
    /// Minor number of that.
    pub minor: u32,
    /// Inode number.
    pub inode: u64,
}

impl FileId {
    fn of(file: &OwnedFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Self::new(stat.st_dev, stat.st_ino))
    }

    fn new(device: u64, inode: u64) -> Self {
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device), inode }
    }
}

fn attach_locked(
    file: &OwnedFd,
    image: &Path,
    name: &[u8],
    flags: u32,
    direct: bool,
) -> Result<LoopDevice, SysError> {
    const WHAT: &str = "attach";
    let control = rustix::fs::open("/dev/loop-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .on("open", "/dev/loop-control")?;
    let mut last = Errno::BUSY;
    for _ in 0..ATTEMPTS {
        let index = free_index(&control).on("find a free loop device for", image)?;
        let (path, fd) = open_node(index, OFlags::RDWR)?;
        let configured = match configure(&fd, file, name, flags, direct) {
            // File systems without direct I/O refuse it, on some kernels by failing.
            Err(Errno::INVAL) if direct => configure(&fd, file, name, flags, false),
            other => other,
        };
        match configured {
            Ok(()) => {
                let direct_io = status(&fd).on(WHAT, image)?.is_direct();
                return Ok(LoopDevice { path, index, direct_io, fd });
            }
            Err(errno @ Errno::BUSY) => last = errno,
            Err(errno) => return Err(SysError::new(WHAT, image, errno).because(path.display().to_string())),
        }
    }
    Err(SysError::new(WHAT, image, last).because("every free loop device was taken by others"))
}

/// Numbers of the devices that have a file.
fn indexes() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/sys/block") else { return Vec::new() };
    let number = |name: &str| name.strip_prefix("loop")?.parse::<u32>().ok();
    let mut indexes: Vec<u32> = entries
        .filter_map(|entry| number(entry.ok()?.file_name().to_str()?))
        .filter(|index| Path::new(&format!("/sys/block/loop{index}/loop")).is_dir())
        .collect();
    indexes.sort_unstable();
    indexes
}

/// The device, if it has that file. Once it is open it can no longer clear itself, so the answer stays true.
fn bound_to(index: u32, identity: FileId) -> Option<(LoopDevice, LoopInfo)> {
    // Read-only: an open for writing would tell the host's udev of a change that is none.
    let (path, fd) = open_node(index, OFlags::RDONLY).ok()?;
    let info = status(&fd).ok()?;
    let same = FileId::new(info.device(), info.inode()) == identity;
    same.then(|| (LoopDevice { path, index, direct_io: info.is_direct(), fd }, info))
}

/// Opens `/dev/loopN`, making the node where nothing else does (no udev, no devtmpfs).
fn open_node(index: u32, access: OFlags) -> Result<(PathBuf, OwnedFd), SysError> {
    let path = PathBuf::from(format!("/dev/loop{index}"));
    let open = || rustix::fs::open(&path, access | OFlags::CLOEXEC, Mode::empty());
    let fd = match open() {
        Err(Errno::NOENT) => {
            let device = makedev(LOOP_MAJOR, index);
            match rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::from_raw_mode(0o660), device) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(errno) => return Err(SysError::new("create", &path, errno)),
            }
        }
        other => other,
    };
    Ok((path.clone(), fd.on("open", &path)?))
}
