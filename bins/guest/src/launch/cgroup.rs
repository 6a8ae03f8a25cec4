//! Moving the new PID 1 into its cgroups, and mounting them inside.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::mount::MountFlags;
use sampan_model::guest::CgroupView;
use sampan_sys::mount;

const MOUNT_FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The `cgroup.procs` files of the inner cgroup, one per hierarchy.
pub(super) struct Joining(Vec<(PathBuf, File)>);

impl Joining {
    pub(super) fn open(view: &CgroupView) -> anyhow::Result<Self> {
        let paths: Vec<&Path> = match view {
            CgroupView::V1 { hierarchies } => hierarchies.iter().map(|h| h.path.as_path()).collect(),
            CgroupView::V2 { path } => vec![path],
        };
        paths
            .into_iter()
            .map(|path| {
                let procs = path.join("cgroup.procs");
                let file = File::options().write(true).open(&procs);
                file.with_context(|| format!("cannot open {}", procs.display())).map(|file| (procs, file))
            })
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    pub(super) fn join(&self, pid: i32) -> anyhow::Result<()> {
        for (path, file) in &self.0 {
            let mut file = file;
            file.write_all(pid.to_string().as_bytes())
                .with_context(|| format!("cannot join the cgroup {}", path.display()))?;
        }
        Ok(())
    }
}

/// Mounts the view on `/sys/fs/cgroup`: what is at its root is the distribution's own cgroup.
pub(super) fn mount(view: &CgroupView) -> anyhow::Result<()> {
    let top = Path::new("/sys/fs/cgroup");
    let CgroupView::V1 { hierarchies } = view else {
        mount::mount_fs("cgroup2", "cgroup2", top, MOUNT_FLAGS, "")?;
        return Ok(());
    };
    mount::mount_tmpfs(top, "mode=0755")?;
    for hierarchy in hierarchies {
        let at = top.join(&hierarchy.folder);
        fs::create_dir(&at).with_context(|| format!("cannot make {}", at.display()))?;
        if hierarchy.options.is_empty() {
            mount::mount_fs("cgroup2", "cgroup2", &at, MOUNT_FLAGS, "")?;
            continue;
        }
        mount::mount_fs("cgroup", "cgroup", &at, MOUNT_FLAGS, &hierarchy.options)?;
        // `cpu,cpuacct` is also found as `cpu` and as `cpuacct`.
        for name in hierarchy.folder.split(',').filter(|name| *name != hierarchy.folder) {
            let link = top.join(name);
            std::os::unix::fs::symlink(&hierarchy.folder, &link)
                .with_context(|| format!("cannot link {}", link.display()))?;
        }
    }
    Ok(())
}
