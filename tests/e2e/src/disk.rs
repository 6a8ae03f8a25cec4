//! A disk below the state folder of an instance that can be full.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::instance::Instance;
use crate::kernel;
use crate::tools::Tool;

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
