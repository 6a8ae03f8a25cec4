//! Kernel objects that can stay behind: cgroups, loop devices, mounts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files;

/// One line of a `mountinfo` (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The whole line.
    pub line: String,
    /// Where it is mounted.
    pub at: PathBuf,
    /// Type of the file system.
    pub kind: String,
    /// The device or its stand-in.
    pub source: String,
}

/// The mounts that process `pid` sees.
pub fn mounts(pid: &str) -> Vec<Mount> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    Some(Mount {
        line: line.to_owned(),
        at: PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " ")),
        kind: right.next()?.to_owned(),
        source: right.next()?.to_owned(),
    })
}

/// Loop devices and their backing files, for those below `folder`.
pub fn loops_below(folder: &Path) -> Vec<(String, PathBuf)> {
    let attached = |block: &PathBuf| {
        let file = fs::read_to_string(block.join("loop/backing_file")).ok()?;
        let name = block.file_name()?.to_string_lossy().into_owned();
        Some((name, PathBuf::from(file.trim_end())))
    };
    files::entries(Path::new("/sys/block"))
        .iter()
        .filter_map(attached)
        .filter(|(_, file)| file.starts_with(folder))
        .collect()
}

/// The folders of every cgroup called `name`, in all hierarchies.
pub fn cgroups(name: &str) -> Vec<PathBuf> {
    let hierarchies = mounts("self").into_iter().filter(|mount| mount.kind.starts_with("cgroup"));
    let mut found: Vec<PathBuf> = hierarchies.flat_map(|mount| below(&mount.at, &|n| n == name)).collect();
    found.sort();
    found.dedup();
    found
}

/// All folders below (and with) `folder` whose name is wanted.
pub fn below(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        if folder.file_name().is_some_and(|name| wanted(&name.to_string_lossy())) {
            found.push(folder.clone());
        }
        let inner = fs::read_dir(&folder).into_iter().flatten().flatten();
        todo.extend(inner.filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    found
}

/// The processes in the cgroup `folder` and in those below it.
pub fn cgroup_members(folder: &Path) -> Vec<i32> {
    below(folder, &|_| true)
        .iter()
        .flat_map(|folder| {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>()
        })
        .collect()
}
