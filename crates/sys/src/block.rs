//! Block devices: their partitions, and whether they are in use.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Context, Result, SysError, last_errno};

/// Tells the kernel of partition `number` of a whole disk, from byte `start` on, `length` bytes long (multiples of 512): for
/// tables that it does not read by itself.
pub fn add_partition(disk: &Path, number: u32, start: u64, length: u64) -> Result<()> {
    const BLKPG: libc::Ioctl = 0x1269;
    const ADD_PARTITION: libc::c_int = 1;
    const WHAT: &str = "make a partition of";
    /// `struct blkpg_ioctl_arg`.
    #[repr(C)]
    struct Request {
        op: libc::c_int,
        flags: libc::c_int,
        length: libc::c_int,
        partition: *mut Partition,
    }
    /// `struct blkpg_partition`.
    #[repr(C)]
    struct Partition {
        start: i64,
        length: i64,
        number: libc::c_int,
        names: [u8; 128],
    }
    const _: () = assert!(size_of::<Partition>() == 152);
    let invalid = || SysError::new(WHAT, disk, Errno::INVAL);
    let mut partition = Partition {
        start: i64::try_from(start).map_err(|_| invalid())?,
        length: i64::try_from(length).map_err(|_| invalid())?,
        number: libc::c_int::try_from(number).map_err(|_| invalid())?,
        names: [0; 128],
    };
    let size = libc::c_int::try_from(size_of::<Partition>()).expect("152 bytes");
    let mut request = Request { op: ADD_PARTITION, flags: 0, length: size, partition: &raw mut partition };
    let fd = open(disk, OFlags::empty()).on(WHAT, disk)?;
    // SAFETY: the request reads a blkpg_ioctl_arg and the blkpg_partition it points to; both outlive the call.
    match unsafe { libc::ioctl(fd.as_raw_fd(), BLKPG, &raw mut request) } {
        0 => Ok(()),
        _ => Err(SysError::new(WHAT, disk, last_errno())),
    }
}

/// Whether a block device, or a partition of it, belongs to somebody: it is mounted in some namespace, or part of something
/// else. That it is merely open is no use.
pub fn is_claimed(device: &Path) -> Result<bool> {
    match open(device, OFlags::EXCL) {
        Ok(_) => Ok(false),
        Err(Errno::BUSY) => Ok(true),
        Err(errno) => Err(errno).on("open", device),
    }
}

/// Waits until a block device belongs to nobody; `false` when the time is over. The kernel has no event for it.
pub fn wait_unclaimed(device: &Path, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    while is_claimed(device)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        pause();
    }
    Ok(true)
}

#[expect(clippy::disallowed_methods, reason = "the kernel tells nobody when a device is free")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

fn open(device: &Path, flags: OFlags) -> std::result::Result<OwnedFd, Errno> {
    rustix::fs::open(device, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty())
}
