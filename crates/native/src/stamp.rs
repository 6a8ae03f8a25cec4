//! Whether a file is the one it was.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file, and in which state. A file that is replaced has another inode, one that is edited another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    mode: u32,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that `path` leads to.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(Self::from)
    }

    /// Of `path` itself, even if that is a link.
    pub(crate) fn of_itself(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path).ok().map(Self::from)
    }

    /// Of what was opened.
    pub(crate) fn of_file(file: &File) -> Option<Self> {
        file.metadata().ok().map(Self::from)
    }
}

impl From<Metadata> for Stamp {
    fn from(meta: Metadata) -> Self {
        Self {
            file: (meta.dev(), meta.ino()),
            mode: meta.mode(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}
