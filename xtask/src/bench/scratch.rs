//! The one folder in which benches make everything.
//!
//! It has a fixed place and a lock, so that a bench which was killed is tidied up by the next one: the lock is free, so
//! nobody works in the folder, so all that is in it is left over.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::ours;

/// On a disk, as an engine's data is; `/tmp` may be memory.
const FOLDER: &str = "/var/tmp/sampan-bench";

#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Takes the folder for this process, free of what an earlier bench left.
    pub(crate) fn take(program: &Path) -> Result<Self> {
        if fs::metadata("/proc/self").context("cannot look at /proc/self")?.uid() != 0 {
            bail!("the bench makes namespaces and mounts: run it as root");
        }
        let folder = PathBuf::from(FOLDER);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {FOLDER}"))?;
        let lock = File::create(folder.join("lock")).with_context(|| format!("cannot lock {FOLDER}"))?;
        if lock.try_lock().is_err() {
            bail!("another bench runs in {FOLDER}");
        }
        let scratch = Self { folder, _lock: lock };
        if ours::exists_in(&scratch.folder) {
            println!("bench: removing what an earlier bench left");
            ours::reset(program, &scratch.folder)?;
        }
        scratch.clear()?;
        Ok(scratch)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder, and says so if that is not possible.
    pub(crate) fn remove(self) -> Result<()> {
        self.clear()?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("cannot remove {FOLDER}"))
    }

    /// Empties the folder but for the lock. Refuses while an instance is in it, whose files are needed to remove the rest
    /// of it, and while something is mounted in it: deleting would reach through.
    fn clear(&self) -> Result<()> {
        if ours::exists_in(&self.folder) {
            bail!(
                "the bench's instance is still there, in {FOLDER}: the next bench tries again to remove it"
            );
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
        if let Some(point) = mount_below(&mounts, &self.folder) {
            bail!("{point} is still mounted: unmount it (umount {point}), then run the bench again");
        }
        for entry in fs::read_dir(&self.folder).with_context(|| format!("cannot list {FOLDER}"))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_name() == "lock" {
                continue;
            }
            let removed =
                if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    /// On the way out after an error. What cannot be removed now is removed by the next bench.
    fn drop(&mut self) {
        if self.folder.exists()
            && let Err(error) = self.clear()
        {
            eprintln!("bench: {error:#}");
        }
    }
}

/// The first mount point below `folder` in the text of a mountinfo.
fn mount_below<'a>(mountinfo: &'a str, folder: &Path) -> Option<&'a str> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .find(|point| Path::new(point).starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mounts_below_a_folder_only() {
        let mounts = "1 0 8:1 / / rw - ext4 a rw\n2 1 0:5 / /var/tmp/sampan-bench2 rw - tmpfs t rw\n";
        assert_eq!(mount_below(mounts, Path::new(FOLDER)), None);
        let mounts = format!("{mounts}3 1 7:0 / {FOLDER}/bare/proc rw - proc p rw\n");
        assert_eq!(mount_below(&mounts, Path::new(FOLDER)), Some("/var/tmp/sampan-bench/bare/proc"));
    }
}
