//! Folders of the host in the hub, where the engine sees them.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Stat, fstat, stat};
use sampan_model::guest::{Answer, ShareSpec, SharedFolder};
use sampan_model::views;
use sampan_sys::mount::{self, Propagation};

use crate::filesystems::{host_folder, make_folder};
use crate::{attach, verb};

/// Copies of mounts of the host, attached nowhere yet.
pub(crate) struct Taken {
    trees: Vec<(SharedFolder, OwnedFd)>,
    warnings: Vec<String>,
}

/// Shows folders in a hub that stands.
pub(crate) fn run(spec: &ShareSpec) -> anyhow::Result<Answer> {
    let taken = take(&spec.folders);
    attach::enter_hub(&spec.hub)?;
    Ok(Answer::Shared { warnings: taken.show(&Path::new(views::VIEWS).join(views::HOST))? })
}

/// Copies `folders`, while the host's tree is at hand.
pub(crate) fn take(folders: &[SharedFolder]) -> Taken {
    let mut taken = Taken { trees: Vec::new(), warnings: Vec::new() };
    for folder in folders {
        // What the host unmounts leaves the view; what it mounts arrives in it, and in whatever has a copy of the view.
        match host_folder(&folder.from, true) {
            Ok(tree) => taken.trees.push((folder.clone(), tree)),
            Err(error) => taken.warnings.push(warning(&folder.from, &error)),
        }
    }
    taken
}

impl Taken {
    /// Mounts them at their own paths below `view`; the answer are warnings. One that can't be mounted is one of them:
    /// containers that use it are refused, everything else works.
    pub(crate) fn show(self, view: &Path) -> anyhow::Result<Vec<String>> {
        make_folder(view)?;
        let mut warnings = self.warnings;
        for (folder, tree) in self.trees {
            if let Err(error) = show_one(&view.join(&folder.name), &tree) {
                warnings.push(warning(&folder.from, &error));
            }
        }
        Ok(warnings)
    }
}

fn show_one(at: &Path, tree: &OwnedFd) -> anyhow::Result<()> {
    if let Ok(shown) = stat(at) {
        // There already: since a former start, or in a folder around it.
        if is_alive(&shown) && same_file(&shown, &fstat(tree)?) {
            return Ok(());
        }
        if !is_alive(&shown) {
            // Deleted on the host, and made anew there. Nothing can be mounted above a deleted folder.
            mount::unmount(at, true)?;
        }
    }
    make_folder(at)?;
    mount::attach(tree, at)?;
    mount::set_propagation(at, Propagation::Shared, true)?;
    Ok(())
}

/// The number of a deleted file may be another one's by now.
fn is_alive(file: &Stat) -> bool {
    file.st_nlink > 0
}

fn same_file(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn warning(folder: &Path, error: &anyhow::Error) -> String {
    format!("the shared folder {} is not there for containers: {}", folder.display(), verb::chain(error))
}
