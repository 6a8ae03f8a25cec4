//! The folders of WSL integration: made on the host's side, seen inside.

use std::os::fd::OwnedFd;
use std::path::Path;

use sampan_model::docker_cli;
use sampan_model::guest::IntegrationSpec;
use sampan_model::integration::PLACE;
use sampan_sys::mount::{self, MountAttrFlags};

use super::folders::place;
use crate::filesystems::host_folder;
use crate::verb;

/// Nothing in them is the distribution's to change. Their ids are not shifted: the socket has its owner already, and all
/// else is nobody's inside, and for everybody to read.
const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV);

/// Copies of the folders, attached nowhere yet, and where they belong. One that can't be had is no reason not to start.
pub(super) fn open(spec: &IntegrationSpec, warnings: &mut Vec<String>) -> Vec<(OwnedFd, &'static str)> {
    let mut trees = Vec::new();
    // Without an engine there is no CLI yet.
    let tools = [(&spec.cli, docker_cli::PLACE), (&spec.bin, docker_cli::SHIM_PLACE)]
        .into_iter()
        .filter(|(from, _)| from.is_dir());
    for (from, to) in std::iter::once((&spec.folder, PLACE)).chain(tools) {
        match tree(from) {
            Ok(tree) => trees.push((tree, to)),
            Err(error) => warnings.push(format!("{to} is missing: {}", verb::chain(&error))),
        }
    }
    trees
}

/// Attaches them.
pub(super) fn mount(trees: &[(OwnedFd, &'static str)], warnings: &mut Vec<String>) {
    for (tree, to) in trees {
        place(tree, Path::new(to), warnings);
    }
}

fn tree(from: &Path) -> anyhow::Result<OwnedFd> {
    let tree = host_folder(from, false)?;
    mount::set_tree_attributes(&tree, ATTRIBUTES, false)?;
    Ok(tree)
}
