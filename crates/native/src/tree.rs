//! Root file systems as trees of files: copying one exactly, how much it takes, and removing one.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::guest::{ConfineSpec, ConfinedRoot, ConfinedTree};
use sampan_sys::mount;

use crate::tools::guest::Guest;
use crate::tools::{Tool, ToolError, find_confined};

/// A million files on a slow disk.
const LIMIT: Duration = Duration::from_hours(12);

/// A program of a service that was killed may write for a moment after the service that follows has started.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Why a tree was not removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoveError {
    #[error("something is mounted at {at}, inside of what is to be removed")]
    Mounted { at: PathBuf },
    #[error("cannot remove {path}")]
    Tool { path: PathBuf, source: ToolError },
}

impl Explain for RemoveError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Mounted { .. } => ErrorCode::Busy,
            Self::Tool { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Mounted { at } => Some(format!("`umount {}`, then try again", at.display())),
            Self::Tool { source, .. } => source.hint(),
        }
    }
}

/// Copies all of a root file system into an empty one: owners, permissions, times, links of both kinds, devices, sockets,
/// access lists, extended attributes, and holes. What was copied is on the disk then.
pub(crate) fn copy(guest: &Guest, from: ConfinedRoot, to: ConfinedRoot) -> Result<(), ToolError> {
    let cp = find_confined("cp").ok_or_else(|| ToolError::Missing { program: "cp".to_owned() })?;
    let trees = vec![
        ConfinedTree { at: PathBuf::from("/source"), root: from, writable: false },
        ConfinedTree { at: PathBuf::from("/target"), root: to, writable: true },
    ];
    let tool = guest
        .confine("cp", &ConfineSpec { trees, input: None }, LIMIT)
        .arg(cp)
        // By itself `--archive` says nothing of attributes that it could not keep.
        .args(["--archive", "--preserve=xattr", "--sparse=always", "--one-file-system"])
        .args(["--no-target-directory", "/source", "/target"]);
    tool.output().map(drop)
}

/// Bytes that the files below a folder take on its file system. What can't be looked at counts nothing: it is for
/// progress.
pub(crate) fn used_bytes(folder: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(folder) else { return 0 };
    let (mut bytes, mut linked, mut folders) = (0, HashSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != top.dev() || (!meta.is_dir() && meta.nlink() > 1 && !linked.insert(meta.ino())) {
                continue;
            }
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

/// Removes a tree of any depth; that it is not there is no failure. Nothing is removed of one in which something is
/// mounted.
pub(crate) fn remove(path: &Path) -> Result<(), RemoveError> {
    let table = mount::mountinfo(None).unwrap_or_default();
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(mounted) = table.into_iter().find(|mount| mount.mount_point.starts_with(&real)) {
        return Err(RemoveError::Mounted { at: mounted.mount_point });
    }
    let failed = |source| RemoveError::Tool { path: path.to_owned(), source };
    let mut attempts = 1;
    loop {
        let rm = Tool::new("rm", LIMIT).map_err(failed)?;
        match rm.args(["--recursive", "--force", "--one-file-system", "--"]).arg(path).output() {
            Err(error) if attempts < ATTEMPTS && is_refilled(&error) => {
                attempts += 1;
                std::thread::park_timeout(PAUSE);
            }
            removed => return removed.map(drop).map_err(failed),
        }
    }
}

fn is_refilled(error: &ToolError) -> bool {
    let ToolError::Failed { stderr, .. } = error else { return false };
    !stderr.is_empty() && stderr.iter().all(|line| line.ends_with("Directory not empty"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn hard_links_count_once_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        sampan_sys::fs::write_atomic(&file, &vec![1; 100_000], 0o600).unwrap();
        let alone = used_bytes(folder.path());
        assert!((100_000..150_000).contains(&alone), "{alone}");
        fs::hard_link(&file, folder.path().join("link")).unwrap();
        symlink("/usr", folder.path().join("usr")).unwrap();
        assert_eq!(used_bytes(folder.path()), alone);
        assert_eq!(used_bytes(Path::new("/no/such/folder")), 0);
    }

    #[test]
    fn trees_deeper_than_there_are_descriptors_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        let mut path = top.clone();
        // As deep as paths go; a hostile archive makes such.
        while path.as_os_str().len() < 4000 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        File::create(path.join("f")).unwrap();
        symlink("/etc", top.join("etc")).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists() && Path::new("/etc").exists());
        remove(&top).unwrap();
    }

    #[test]
    fn what_is_mounted_somewhere_inside_is_not_touched() {
        // Mounted on every Linux, and nothing in it can be removed.
        let error = remove(Path::new("/proc")).unwrap_err();
        assert!(matches!(&error, RemoveError::Mounted { .. }), "{error:?}");
        assert_eq!(error.code(), ErrorCode::Busy);
    }
}
