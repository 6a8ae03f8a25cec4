//! Disks of tests: one below the state folder of an instance that can be full, and images with file systems.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::instance::Instance;
use crate::kernel;
use crate::tools::Tool;

/// Where the partitions of [`partitioned`] begin, and how long they are, in bytes.
pub const PARTITIONS: [(u64, u64); 2] = [(1 << 20, 16 << 20), (20 << 20, 16 << 20)];

/// How large the disk is, in MiB; the file behind it is sparse.
const SIZE: u64 = 8000;

/// An ext4 file system that holds the whole state of an instance, and little room beside a ballast.
#[derive(Debug)]
pub struct FullDisk {
    ballast: PathBuf,
}

impl FullDisk {
    /// Puts the state folder of `instance` on a disk with `mebibytes` of room. It is unmounted with the instance.
    #[track_caller]
    pub fn below(instance: &Instance, mebibytes: u64) -> Self {
        let file = instance.identity().root.join("full-disk.img");
        let at = instance.identity().state_base();
        let made = File::create(&file).and_then(|file| file.set_len(SIZE << 20));
        assert!(made.is_ok(), "cannot make {}: {made:?}", file.display());
        Tool::new("mke2fs").args(["-q", "-t", "ext4", "-m", "0"]).arg(&file).run().ok();
        Tool::new("mount").args(["-o", "loop"]).arg(&file).arg(&at).run().ok();

        let free = Tool::new("df").args(["--output=avail", "-B1M"]).arg(&at).run().ok();
        let free: u64 =
            free.lines().last().and_then(|line| line.trim().parse().ok()).expect("df prints a number");
        let disk = Self { ballast: at.join("ballast") };
        let length = format!("{}MiB", free - mebibytes);
        Tool::new("fallocate").args(["-l", &length]).arg(&disk.ballast).run().ok();
        disk
    }

    /// Makes room, while the disk is in use.
    #[track_caller]
    pub fn make_room(&self) {
        let removed = fs::remove_file(&self.ballast);
        assert!(removed.is_ok(), "cannot remove {}: {removed:?}", self.ballast.display());
    }
}

/// Unmounts what a test mounted at `at`, if it did.
pub fn unmount(at: &Path) {
    if kernel::mounts("self").iter().any(|mount| mount.at == at) {
        Tool::new("umount").arg(at).run();
    }
}

/// A sparse image of zeroes at `path`, which is returned.
#[track_caller]
pub fn empty(path: &Path) -> PathBuf {
    let made = File::create(path).and_then(|file| file.set_len(40 << 20));
    assert!(made.is_ok(), "cannot make {}: {made:?}", path.display());
    path.to_owned()
}

/// An image with one ext4 file system.
#[track_caller]
pub fn formatted(path: &Path) -> PathBuf {
    let image = empty(path);
    Tool::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&image).run().ok();
    image
}

/// An image with an ext4 file system in each of two partitions.
#[track_caller]
pub fn partitioned(path: &Path) -> PathBuf {
    let image = empty(path);
    // A boot record with two Linux partitions (UEFI Specification 2.10, §5.2.1).
    let mut record = [0; 512];
    for (slot, (start, length)) in record[446..].chunks_exact_mut(16).zip(PARTITIONS) {
        slot[4] = 0x83;
        for (bytes, value) in slot[8..].chunks_exact_mut(4).zip([start, length]) {
            let sectors = u32::try_from(value / 512).expect("the image is small");
            bytes.copy_from_slice(&sectors.to_le_bytes());
        }
    }
    record[510..].copy_from_slice(&[0x55, 0xaa]);
    let written = File::options().write(true).open(&image).and_then(|file| file.write_all_at(&record, 0));
    assert!(written.is_ok(), "cannot write {}: {written:?}", image.display());
    for number in [1, 2] {
        format_partition(&image, number, "ext4");
    }
    image
}

/// Makes a new file system in partition `number` (from 1) of [`partitioned`].
#[track_caller]
pub fn format_partition(image: &Path, number: usize, fstype: &str) {
    let (start, length) = PARTITIONS[number - 1];
    let offset = format!("offset={start}");
    Tool::new("mke2fs")
        .args(["-q", "-F", "-t", fstype, "-E", &offset])
        .arg(image)
        .arg(format!("{}K", length / 1024))
        .run()
        .ok();
}
