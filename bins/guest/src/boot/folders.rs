//! Where the host's folders and the folder of all distributions are inside.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sampan_model::config::distro::WslConf;
use sampan_sys::mount;

use super::outside::Outside;
use crate::filesystems::make_folder;
use crate::{hub, verb};

/// Mounts them and says what is where: outside, inside. One that can't be mounted is no reason not to start.
pub(super) fn mount(
    outside: &Outside,
    conf: &WslConf,
    warnings: &mut Vec<String>,
) -> Vec<(PathBuf, PathBuf)> {
    let root = Path::new("/").join(&conf.automount.root);
    if let Some(wsl) = &outside.wsl {
        place(wsl, &root.join(hub::WSL), warnings);
    }
    if !conf.automount.enabled {
        return Vec::new();
    }
    let mut folders = Vec::new();
    for (folder, tree) in &outside.folders {
        let to = root.join("host").join(&folder.name);
        if place(tree, &to, warnings) {
            folders.push((folder.from.clone(), to));
        }
    }
    folders
}

/// Mounts a tree at a folder, which is made; whether it is there.
pub(super) fn place(tree: &OwnedFd, to: &Path, warnings: &mut Vec<String>) -> bool {
    let placed = make_folder(to).and_then(|()| Ok(mount::attach(tree, to)?));
    if let Err(error) = &placed {
        warnings.push(format!("{} is missing: {}", to.display(), verb::chain(error)));
    }
    placed.is_ok()
}
