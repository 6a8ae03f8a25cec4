//! The program that is `docker` in distributions, in a folder of its own.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::files::FilesError;
use crate::stamp::Stamp;

/// Its name where Sampan is installed: beside `sampan-guest`.
pub(super) const PROGRAM: &str = "sampan-docker";

/// Its name in the folder that distributions see.
const DOCKER: &str = "docker";

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Shim {
    /// The program and its copy when they were last compared, and were the same.
    same: Mutex<Option<[Stamp; 2]>>,
}

impl Shim {
    /// Makes `folder` hold a copy of the program `from`, unless it does; the copy.
    pub(super) fn place(&self, from: &Path, folder: &Path) -> Result<PathBuf, FilesError> {
        let to = folder.join(DOCKER);
        // Before they are read: a change in between is seen the next time.
        let stamps = || Some([Stamp::of(from)?, Stamp::of_itself(&to)?]);
        let mut same = self.same.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps();
        if now.is_some() && *same == now {
            return Ok(to);
        }
        *same = copy(from, &to)
            .map_err(|source| FilesError::Shim { from: from.to_owned(), to: to.clone(), source })?
            .then_some(now)
            .flatten();
        Ok(to)
    }
}

/// Makes `to` a copy of the program `from`. Whether it was one.
fn copy(from: &Path, to: &Path) -> std::io::Result<bool> {
    let program = fs::read(from)?;
    // Compared whole: whoever runs it inside trusts it.
    let there = fs::symlink_metadata(to).ok().filter(fs::Metadata::is_file);
    let is_right = there.is_some_and(|meta| meta.permissions().mode() & 0o7777 == 0o755)
        && fs::read(to).is_ok_and(|copy| copy == program);
    if !is_right {
        if let Some(folder) = to.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        sampan_sys::fs::write_atomic(to, &program, 0o755).map_err(|error| error.errno())?;
    }
    Ok(is_right)
}

#[cfg(test)]
mod tests {
    use sampan_backend::Explain;

    use super::*;

    fn write(path: &Path, text: &str) {
        sampan_sys::fs::write_atomic(path, text.as_bytes(), 0o755).unwrap();
    }

    #[test]
    fn the_shim_is_placed_and_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let (from, shim) = (folder.path().join(PROGRAM), folder.path().join("state/shim"));
        let placed = Shim::default();
        let place = || placed.place(&from, &shim);
        let missing = place().unwrap_err();
        assert!(missing.hint().is_some_and(|hint| hint.contains("install Sampan again")), "{missing}");
        write(&from, "one");
        let docker = place().unwrap();
        assert_eq!(docker, shim.join("docker"));
        let seen = || {
            let mode = fs::metadata(&docker).unwrap().permissions().mode() & 0o7777;
            (fs::read_to_string(&docker).unwrap(), mode)
        };
        assert_eq!(seen(), ("one".to_owned(), 0o755));
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&docker).unwrap());
        let first = inode();
        place().unwrap();
        assert_eq!(inode(), first, "it was right");
        for spoil in [&(|| write(&from, "two")) as &dyn Fn(), &|| write(&docker, "tampered with"), &|| {
            fs::set_permissions(&docker, fs::Permissions::from_mode(0o644)).unwrap();
        }] {
            spoil();
            place().unwrap();
            assert_eq!(seen(), ("two".to_owned(), 0o755));
        }
        assert_eq!(fs::read_dir(&shim).unwrap().count(), 1);
    }
}
