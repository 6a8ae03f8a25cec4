//! Cgroups as a distribution sees them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use sampan_model::guest::CgroupView;
use sampan_sys::mount;

use crate::filesystems::QUIET;

/// The inner cgroup, one folder per hierarchy.
pub(super) fn folders(view: &CgroupView) -> Vec<&Path> {
    match view {
        CgroupView::V1 { hierarchies } => hierarchies.iter().map(|h| h.path.as_path()).collect(),
        CgroupView::V2 { path } => vec![path],
    }
}

/// Mounts the view on `/sys/fs/cgroup`: what is at its root is the distribution's own cgroup.
pub(super) fn mount(view: &CgroupView) -> anyhow::Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    let CgroupView::V1 { hierarchies } = view else {
        mount::mount_fs("cgroup2", "cgroup2", top, QUIET, "")?;
        return Ok(());
    };
    mount::mount_tmpfs(top, "mode=0755")?;
    for hierarchy in hierarchies {
        let at = top.join(&hierarchy.folder);
        fs::create_dir(&at).with_context(|| format!("cannot make {}", at.display()))?;
        if hierarchy.options.is_empty() {
            mount::mount_fs("cgroup2", "cgroup2", &at, QUIET, "")?;
            continue;
        }
        mount::mount_fs("cgroup", "cgroup", &at, QUIET, &hierarchy.options)?;
        // `cpu,cpuacct` is also found as `cpu` and as `cpuacct`.
        for name in hierarchy.folder.split(',').filter(|name| *name != hierarchy.folder) {
            let link = top.join(name);
            std::os::unix::fs::symlink(&hierarchy.folder, &link)
                .with_context(|| format!("cannot link {}", link.display()))?;
        }
    }
    Ok(())
}
