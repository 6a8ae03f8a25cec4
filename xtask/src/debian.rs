//! The Debian root file system that tests boot, made once for all test programs of a run.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::tools;

/// The variable by which tests find it.
pub(crate) const VARIABLE: &str = "SAMPAN_TEST_DEBIAN";

/// A tarball of Debian with systemd. Dropped, one that was built is removed.
#[derive(Debug)]
pub(crate) struct Debian {
    tar: PathBuf,
    _folder: Option<TempDir>,
}

impl Debian {
    /// The one that the caller named in [`VARIABLE`], or one built below `target`, which has to be a folder on a disk.
    ///
    /// # Errors
    /// `target` can't be written to, or the build failed: it needs root and a Debian mirror.
    pub(crate) fn take(given: Option<OsString>, root: &Path, target: &Path) -> Result<Self> {
        if let Some(given) = given {
            return Ok(Self { tar: given.into(), _folder: None });
        }
        let folder = tempfile::Builder::new()
            .prefix("debian-")
            // apt gives up its privileges to download.
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(target)
            .with_context(|| format!("cannot make a folder in {}", target.display()))?;
        let tar = folder.path().join("debian.tar");
        let mut build = tools::command(root.join("scripts/debian-root"), root);
        build.arg(&tar).env("TMPDIR", folder.path());
        if !tools::succeeds(&mut build)? {
            bail!("scripts/debian-root failed, see above");
        }
        Ok(Self { tar, _folder: Some(folder) })
    }

    pub(crate) fn tar(&self) -> &Path {
        &self.tar
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A tree whose `scripts/debian-root` is this.
    fn tree(script: &str) -> TempDir {
        let root = TempDir::new().unwrap();
        fs::create_dir(root.path().join("scripts")).unwrap();
        // A link to a program: a script that was just written might still be open elsewhere when it is started.
        std::os::unix::fs::symlink(script, root.path().join("scripts/debian-root")).unwrap();
        root
    }

    #[test]
    fn a_given_one_is_taken_and_left() {
        let root = tree("/bin/false");
        let given = root.path().join("given.tar");
        fs::File::create(&given).unwrap();
        let debian = Debian::take(Some(given.clone().into()), root.path(), root.path()).unwrap();
        assert_eq!(debian.tar(), given);
        drop(debian);
        assert!(given.exists());
    }

    #[test]
    fn one_that_was_built_is_removed() {
        let (root, target) = (tree("/bin/touch"), TempDir::new().unwrap());
        let debian = Debian::take(None, root.path(), target.path()).unwrap();
        assert!(debian.tar().is_file());
        drop(debian);
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_build_that_fails_is_an_error_and_leaves_nothing() {
        let (root, target) = (tree("/bin/false"), TempDir::new().unwrap());
        let error = Debian::take(None, root.path(), target.path()).unwrap_err();
        assert!(error.to_string().contains("scripts/debian-root"), "{error}");
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }
}
