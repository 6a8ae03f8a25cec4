//! Moving a new PID 1 into its cgroups.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The `cgroup.procs` files of the inner cgroup, one per hierarchy.
pub(crate) struct Joining(Vec<(PathBuf, File)>);

impl Joining {
    /// Opens those of the cgroups with these folders.
    pub(crate) fn open<'a>(folders: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<Self> {
        folders
            .into_iter()
            .map(|folder| {
                let procs = folder.join("cgroup.procs");
                let file = File::options().write(true).open(&procs);
                file.with_context(|| format!("cannot open {}", procs.display())).map(|file| (procs, file))
            })
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Moves the process `pid`.
    pub(crate) fn join(&self, pid: i32) -> anyhow::Result<()> {
        for (path, file) in &self.0 {
            let mut file = file;
            file.write_all(pid.to_string().as_bytes())
                .with_context(|| format!("cannot join the cgroup {}", path.display()))?;
        }
        Ok(())
    }
}
