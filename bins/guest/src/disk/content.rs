//! Which file system is on a device, by the mark that each kind leaves at a place of its own.
//!
//! Places and marks: Linux `include/uapi/linux/magic.h` and the on-disk format documents in `Documentation/filesystems`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;

/// Where, and what.
type Mark = (u64, &'static [u8]);

/// Name of the kernel's driver, and the marks that a device of it has.
const KINDS: [(&str, &[Mark]); 11] = [
    // That driver mounts all three generations.
    ("ext4", &[(1024 + 0x38, &[0x53, 0xef])]),
    ("xfs", &[(0, b"XFSB")]),
    ("btrfs", &[(0x1_0040, b"_BHRfS_M")]),
    ("f2fs", &[(1024, &[0x10, 0x20, 0xf5, 0xf2])]),
    ("squashfs", &[(0, b"hsqs")]),
    ("erofs", &[(1024, &[0xe2, 0xe1, 0xf5, 0xe0])]),
    ("exfat", &[(3, b"EXFAT   "), (510, &[0x55, 0xaa])]),
    ("ntfs3", &[(3, b"NTFS    "), (510, &[0x55, 0xaa])]),
    ("vfat", &[(82, b"FAT32   "), (510, &[0x55, 0xaa])]),
    // Of FAT12 and FAT16.
    ("vfat", &[(54, b"FAT1"), (510, &[0x55, 0xaa])]),
    ("iso9660", &[(32_769, b"CD001")]),
];

/// The file system on `device`; none: no known one.
pub(super) fn detect(device: &Path) -> anyhow::Result<Option<&'static str>> {
    let cannot = || "it cannot be read";
    let file = File::open(device).with_context(cannot)?;
    for (name, marks) in KINDS {
        let mut all = true;
        for (at, mark) in marks {
            all = all && has(&file, *at, mark).with_context(cannot)?;
        }
        if all {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether `mark` is there; a device may be too small to have it.
fn has(file: &File, at: u64, mark: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; mark.len()];
    match file.read_exact_at(&mut found, at) {
        Ok(()) => Ok(found == mark),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(marks: &[Mark], size: u64) -> Option<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let file = File::create(&path).unwrap();
        for (at, mark) in marks {
            file.write_all_at(mark, *at).unwrap();
        }
        file.set_len(size).unwrap();
        detect(&path).unwrap()
    }

    #[test]
    fn each_kind_is_told_by_its_marks() {
        for (name, marks) in KINDS {
            assert_eq!(detected(marks, 1 << 20), Some(name));
        }
    }

    #[test]
    fn what_has_no_mark_is_nothing() {
        assert_eq!(detected(&[], 1 << 20), None);
        assert_eq!(detected(&[], 0), None);
        // Only the end of a boot sector, as every partition table has it.
        assert_eq!(detected(&[(510, &[0x55, 0xaa])], 512), None);
        assert_eq!(detected(&[(54, b"FAT1")], 1 << 20), None);
    }
}
