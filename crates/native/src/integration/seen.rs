//! Whether anything that integration depends on has changed in a distribution.

use std::fs::File;
use std::path::Path;

use sampan_model::registry::Entry;
use sampan_sys::fs::{OFlags, open_in_root};

use crate::platform::Native;
use crate::stamp::Stamp;

/// Who its users are, and where somebody may have put a `docker`.
const FILES: [&str; 9] = [
    "etc/passwd",
    "etc/group",
    "etc/wsl.conf",
    "usr/local/sbin/docker",
    "usr/local/bin/docker",
    "usr/sbin/docker",
    "usr/bin/docker",
    "sbin/docker",
    "bin/docker",
];

/// What was seen of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    files: Vec<Option<Stamp>>,
    default_uid: u32,
}

impl Native {
    /// What there is to be seen of a distribution now; none: its disk is not there, or hangs.
    pub(crate) fn seen(&self, entry: &Entry) -> Option<Seen> {
        let default_uid = entry.default_uid;
        let look = move |root: File| {
            let files = FILES.iter().map(|path| stamp(&root, path)).collect();
            Seen { files, default_uid }
        };
        self.look(&entry.guid, look)
    }
}

fn stamp(root: &File, path: &str) -> Option<Stamp> {
    let found = open_in_root(root, Path::new(path), OFlags::PATH).ok()?;
    Stamp::of_file(&File::from(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        assert_eq!(stamp(&root, "passwd"), None);
        let write = |text: &str| {
            sampan_sys::fs::write_atomic(&folder.path().join("passwd"), text.as_bytes(), 0o644).unwrap();
            stamp(&root, "passwd").unwrap()
        };
        let one = write("one");
        assert_eq!(stamp(&root, "passwd"), Some(one));
        assert_ne!(write("two"), one);
    }
}
