//! What is in a file that should be a disk with ext4, told by its first bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sampan_model::size;

/// Why a file is no disk with ext4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("is empty")]
    Empty,
    #[error("is an archive ({0}), not a disk")]
    Archive(&'static str),
    #[error("is a disk in the format {0}")]
    Format(&'static str),
    #[error("has a table of partitions, where the file system should begin")]
    Partitions,
    #[error("has the file system {0}, not ext4")]
    FileSystem(&'static str),
    #[error("is cut off: {} of {} are there", size::human(*is), size::human(*should))]
    CutOff { is: u64, should: u64 },
    #[error("has no file system that is known here")]
    Unknown,
}

/// What other files begin with: where, which bytes, and what they are.
const SIGNATURES: [(u64, &[u8], Flaw); 15] = [
    // Documentation of each format: qcow2 (QEMU docs/interop/qcow2.rst), VMDK (Virtual Disk Format 5.0), VDI (VirtualBox
    // VDICore.h), XFS (Algorithms & Data Structures, "Superblocks"), Btrfs (btrfs-ondisk, "Superblock"), squashfs, ISO 9660.
    (0, b"QFI\xfb", Flaw::Format("qcow2")),
    (0, b"KDMV", Flaw::Format("vmdk")),
    (0, b"# Disk DescriptorFile", Flaw::Format("vmdk")),
    (0x40, b"\x7f\x10\xda\xbe", Flaw::Format("vdi")),
    (0, b"XFSB", Flaw::FileSystem("XFS")),
    (0x1_0040, b"_BHRfS_M", Flaw::FileSystem("Btrfs")),
    (0, b"hsqs", Flaw::FileSystem("squashfs")),
    (0x8001, b"CD001", Flaw::FileSystem("ISO 9660")),
    (3, b"NTFS    ", Flaw::FileSystem("NTFS")),
    (257, b"ustar", Flaw::Archive("tar")),
    (0, b"\x1f\x8b", Flaw::Archive("gzip")),
    (0, b"\xfd7zXZ\0", Flaw::Archive("xz")),
    (0, b"\x28\xb5\x2f\xfd", Flaw::Archive("zstd")),
    (0, b"BZh", Flaw::Archive("bzip2")),
    // UEFI Specification 2.10, §5.3.2.
    (512, b"EFI PART", Flaw::Partitions),
];

/// Of the superblock of ext4 (Linux, `Documentation/filesystems/ext4/super.rst`): where it begins, and in it, in bytes,
/// `s_blocks_count_lo`, `s_log_block_size`, `s_magic`, `s_feature_incompat` and `s_blocks_count_hi`.
const SUPERBLOCK: u64 = 1024;
const BLOCKS_LOW: usize = 0x04;
const LOG_BLOCK_SIZE: usize = 0x18;
const MAGIC: usize = 0x38;
const INCOMPAT: usize = 0x60;
const BLOCKS_HIGH: usize = 0x150;

/// Bit of `s_feature_incompat`: block numbers have 64 bits.
const INCOMPAT_64BIT: u32 = 0x80;

/// What is wrong with a raw disk; none: its first bytes say that it is whole and has ext4 (or one of its forerunners).
pub(crate) fn flaw(file: &File) -> io::Result<Option<Flaw>> {
    let is = file.metadata()?.len();
    if is == 0 {
        return Ok(Some(Flaw::Empty));
    }
    if let Some(should) = ext4_size(file)? {
        return Ok((is < should).then_some(Flaw::CutOff { is, should }));
    }
    for (offset, signature, flaw) in SIGNATURES {
        if has(file, offset, signature)? {
            return Ok(Some(flaw));
        }
    }
    // The signature of a boot record, which a partition's own first sector may have as well.
    Ok(Some(if has(file, 510, b"\x55\xaa")? { Flaw::Partitions } else { Flaw::Unknown }))
}

/// How many bytes the superblock says that its file system has; none: there is none.
fn ext4_size(file: &File) -> io::Result<Option<u64>> {
    let mut bytes = [0; 1024];
    match file.read_exact_at(&mut bytes, SUPERBLOCK) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if bytes[MAGIC..MAGIC + 2] != [0x53, 0xef] {
        return Ok(None);
    }
    let high = if word(INCOMPAT) & INCOMPAT_64BIT == 0 { 0 } else { word(BLOCKS_HIGH) };
    let blocks = u64::from(word(BLOCKS_LOW)) | u64::from(high) << 32;
    // 1 KiB to 64 KiB; what says otherwise is damaged, which the kernel finds out.
    let block = 1024_u64.checked_shl(word(LOG_BLOCK_SIZE).min(6)).unwrap_or(0);
    Ok(Some(blocks.saturating_mul(block)))
}

fn has(file: &File, offset: u64, signature: &[u8]) -> io::Result<bool> {
    let mut bytes = vec![0; signature.len()];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes == signature),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::format;

    #[test]
    fn what_is_no_disk_is_called_by_its_name() {
        let told = |offset: u64, bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, offset).unwrap();
            flaw(&file).unwrap().unwrap().to_string()
        };
        assert_eq!(flaw(&tempfile::tempfile().unwrap()).unwrap(), Some(Flaw::Empty));
        for (offset, bytes, flaw) in SIGNATURES {
            assert_eq!(told(offset, bytes), flaw.to_string());
        }
        assert_eq!(told(510, b"\x55\xaa"), Flaw::Partitions.to_string());
        assert_eq!(told(0, b"hello"), "has no file system that is known here");
        assert_eq!(told(1 << 20, b"hello"), "has no file system that is known here");
    }

    #[test]
    fn a_disk_is_whole_or_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let disk = format(&folder.path().join("ext4.img"), 64 << 20).unwrap();
        assert_eq!(flaw(&disk).unwrap(), None);
        disk.set_len(16 << 20).unwrap();
        assert_eq!(flaw(&disk).unwrap().unwrap().to_string(), "is cut off: 16 MiB of 64 MiB are there");
        // More blocks (of 1 KiB) than 32 bits can count.
        disk.write_all_at(&[1], SUPERBLOCK + BLOCKS_HIGH as u64).unwrap();
        let should = (1024 << 32) + (64 << 20);
        assert_eq!(flaw(&disk).unwrap(), Some(Flaw::CutOff { is: 16 << 20, should }));
    }
}
