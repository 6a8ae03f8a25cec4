//! The loop driver's ioctls.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

use crate::error::last_errno;

const LOOP_CLR_FD: libc::Ioctl = 0x4C01;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
const LOOP_SET_DIRECT_IO: libc::Ioctl = 0x4C08;
const BLKRASET: libc::Ioctl = 0x1262;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
const LO_FLAGS_READ_ONLY: u32 = 1;
/// The device clears itself at its last close.
pub(super) const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// The device may have partitions; the kernel looks for those it can read.
pub(super) const LO_FLAGS_PARTSCAN: u32 = 8;
const LO_FLAGS_DIRECT_IO: u32 = 16;
const BLOCK_SIZE: u32 = 512;

/// `struct loop_info64`. *Four* u32 stand before the names: with three the flags are lost without an error,
/// and with them the device's clearing of itself.
#[repr(C)]
pub(super) struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo>() == 232 && size_of::<LoopConfig>() == 304);
const _: () = assert!(std::mem::offset_of!(LoopInfo, flags) == 52);

impl LoopInfo {
    const EMPTY: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };

    /// Device number of the file system the image is on.
    pub(super) fn device(&self) -> u64 {
        self.device
    }

    /// Inode number of the image.
    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    /// The name it was given by [`configure`].
    pub(super) fn name(&self) -> &[u8] {
        let end = self.file_name.iter().position(|byte| *byte == 0).unwrap_or(self.file_name.len());
        &self.file_name[..end]
    }

    pub(super) fn is_direct(&self) -> bool {
        self.flags & LO_FLAGS_DIRECT_IO != 0
    }

    /// Whether less than the whole image can be written through the device.
    pub(super) fn is_partial(&self) -> bool {
        self.offset != 0 || self.size_limit != 0 || self.flags & LO_FLAGS_READ_ONLY != 0
    }
}

/// Number of a device without a file; it may get one before the caller comes to it.
pub(super) fn free_index(control: &OwnedFd) -> Result<u32, Errno> {
    // SAFETY: this request has no argument and returns a number.
    let index = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(index).map_err(|_| last_errno())
}

/// Gives the device its file and a name of up to 63 bytes, with all settings in one step.
pub(super) fn configure(
    device: &OwnedFd,
    file: &OwnedFd,
    name: &[u8],
    flags: u32,
    direct: bool,
) -> Result<(), Errno> {
    let flags = flags | if direct { LO_FLAGS_DIRECT_IO } else { 0 };
    let mut info = LoopInfo { flags, ..LoopInfo::EMPTY };
    // The last byte stays the end of the string.
    for (to, from) in info.file_name[..63].iter_mut().zip(name) {
        *to = *from;
    }
    let fd = file.as_raw_fd().cast_unsigned();
    let config = LoopConfig { fd, block_size: BLOCK_SIZE, info, reserved: [0; 8] };
    // SAFETY: the request reads a loop_config, which `config` is (sizes asserted above).
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Switches direct I/O.
pub(super) fn set_direct(device: &OwnedFd, direct: bool) -> Result<(), Errno> {
    // SAFETY: this request takes a number and touches no memory of this process.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_DIRECT_IO, libc::c_ulong::from(direct)) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Sets how far ahead is read, in sectors of 512 bytes.
pub(super) fn set_read_ahead(device: &OwnedFd, sectors: u32) -> Result<(), Errno> {
    // SAFETY: this request takes a number and touches no memory of this process.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), BLKRASET, libc::c_ulong::from(sectors)) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Takes its file from the device: at once, or when the last of several has closed it.
pub(super) fn clear(device: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: this request has no argument.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// What the device is bound to; ENXIO if to nothing.
pub(super) fn status(device: &OwnedFd) -> Result<LoopInfo, Errno> {
    let mut info = LoopInfo::EMPTY;
    // SAFETY: the request writes a loop_info64, which `info` is (size asserted above).
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, &raw mut info) };
    if result == 0 { Ok(info) } else { Err(last_errno()) }
}
