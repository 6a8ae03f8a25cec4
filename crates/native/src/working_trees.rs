//! The working trees that are shared with containers, as they are remembered from one start to the next.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::document::{self, DocumentError};
use sampan_model::instance::Instance;
use sampan_model::working_tree::{WorkingTrees, may_be_shared};
use sampan_sys::{Errno, SysError};

/// Why a working tree is not shared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkingTreeError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the list of working trees {path} cannot be used")]
    Document { path: PathBuf, source: DocumentError },
    #[error("the list of working trees is not changed")]
    Write(#[source] SysError),
    #[error("`{0}` is no folder that can be shared as a working tree")]
    Unfit(PathBuf),
}

impl Explain for WorkingTreeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Write(error) if matches!(error.errno(), Errno::NOSPC | Errno::DQUOT) => ErrorCode::DiskFull,
            Self::Write(_) => ErrorCode::Failed,
            Self::Read { .. } | Self::Document { .. } => ErrorCode::State,
            Self::Unfit(_) => ErrorCode::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { path, .. } => format!("check the disk and the permissions of {}", path.display()),
            Self::Document { source: DocumentError::Newer { .. }, .. } => {
                "install the newer Sampan again; this one leaves the file as it is".to_owned()
            }
            Self::Document { path, .. } => {
                format!(
                    "correct {0}, or remove it: trees are added anew when they are worked in",
                    path.display()
                )
            }
            Self::Write(_) => "free some space on the disk of the state folder and try again".to_owned(),
            Self::Unfit(_) => {
                "`filesharingDirectories` in settings.json shares any folder but `/`".to_owned()
            }
        })
    }
}

/// Those that are remembered; none where there never was one.
pub(crate) fn load(instance: &Instance) -> Result<WorkingTrees, WorkingTreeError> {
    let path = instance.working_trees();
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(WorkingTrees::default()),
        Err(source) => return Err(WorkingTreeError::Read { path, source }),
    };
    document::parse(&text).map_err(|source| WorkingTreeError::Document { path, source })
}

/// Remembers `tree`, unless it is within one that is remembered. One writer at a time.
pub(crate) fn remember(instance: &Instance, tree: &Path) -> Result<(), WorkingTreeError> {
    // Its own path, and still a folder: what is recorded is mounted at each start, by root.
    if !may_be_shared(tree) || !tree.is_dir() || !fs::canonicalize(tree).is_ok_and(|real| real == tree) {
        return Err(WorkingTreeError::Unfit(tree.to_owned()));
    }
    let mut trees = load(instance)?;
    if trees.working_trees.iter().any(|known| tree.starts_with(known)) {
        return Ok(());
    }
    trees.add(tree.to_owned());
    let text = document::render(&trees);
    sampan_sys::fs::write_atomic(&instance.working_trees(), text.as_bytes(), 0o600)
        .map_err(WorkingTreeError::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_remembered_once_and_a_damaged_list_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let instance = Instance::new("t", &base.join("state"), Path::new("/run/x")).unwrap();
        fs::create_dir_all(instance.state()).unwrap();
        let tree = base.join("project");
        fs::create_dir_all(tree.join("src")).unwrap();
        for part in [&tree, &tree.join("src"), &tree] {
            remember(&instance, part).unwrap();
        }
        assert_eq!(load(&instance).unwrap().working_trees, std::slice::from_ref(&tree));

        std::os::unix::fs::symlink("/srv", base.join("link")).unwrap();
        for unfit in
            [base.join("link"), base.join("none"), base.join("project/../project"), "/etc/ssl".into()]
        {
            let refused = remember(&instance, &unfit);
            assert!(matches!(refused, Err(WorkingTreeError::Unfit(_))), "{}", unfit.display());
        }

        sampan_sys::fs::write_atomic(&instance.working_trees(), b"{\"schemaVer", 0o600).unwrap();
        assert!(matches!(remember(&instance, &base.join("project")), Err(WorkingTreeError::Document { .. })));
        assert_eq!(fs::read(instance.working_trees()).unwrap(), b"{\"schemaVer");
    }
}
