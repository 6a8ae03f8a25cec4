//! `wsl --mount`: disks of the user's in every distribution, and disks that are damaged.

mod damaged;
mod disks;
mod lasting;
mod sharing;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::Output;
use sampan_e2e::{disk, files, kernel, roots};
use serde_json::Value;

pub(crate) fn cases() -> Vec<Case> {
    [disks::cases(), words::cases(), sharing::cases(), lasting::cases(), damaged::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// An instance with a running distribution `d`, and `p` without a user namespace.
fn instance() -> Instance {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    instance.import("p", &roots::small(), 2);
    instance.sampan(&["distro", "set", "p", "--privileged", "--yes"]).expect(0);
    for name in ["d", "p"] {
        instance.inside(name, "true").expect(0);
    }
    instance
}

/// A folder for disks where what is left of them is found.
fn folder(instance: &Instance) -> PathBuf {
    let folder = instance.identity().state_base().join("disks");
    files::make_folder(&folder);
    folder
}

/// An image with an ext4 file system in each of two partitions.
fn partitioned(instance: &Instance, name: &str) -> PathBuf {
    disk::partitioned(&folder(instance).join(name))
}

/// An image with one ext4 file system.
fn plain(instance: &Instance, name: &str) -> PathBuf {
    disk::formatted(&folder(instance).join(name))
}

/// `wsl --mount DISK` with more words.
fn mount(instance: &Instance, disk: &Path, more: &[&str]) -> Output {
    instance.wsl_tool(&["--mount"]).arg(disk).args(more).run()
}

fn unmount(instance: &Instance, disk: &Path) -> Output {
    instance.wsl_tool(&["--unmount"]).arg(disk).run()
}

/// The name that a disk gets by itself.
fn name_of(disk: &Path, partition: Option<u32>) -> String {
    let name: String = disk.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = &name[name.len().saturating_sub(200)..];
    partition.map_or_else(|| name.to_owned(), |partition| format!("{name}p{partition}"))
}

/// Type and options of what is on top at `/mnt/wsl/NAME`.
#[track_caller]
fn seen(instance: &Instance, distribution: &str, name: &str) -> Option<(String, String)> {
    let at = format!("/mnt/wsl/{name}");
    let table = instance.inside(distribution, "cat /proc/mounts").ok();
    let found =
        table.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>()).find(|line| line[1] == at);
    found.map(|line| (line[2].to_owned(), line[3].to_owned()))
}

/// The record of attached disks; null when there is none.
fn record(instance: &Instance) -> Value {
    let text = fs::read(instance.place().disks_record()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Requires that no disk is attached.
#[track_caller]
fn assert_nothing_attached(instance: &Instance) {
    assert_eq!(record(instance), Value::Null);
    assert_eq!(kernel::loops_below(&folder(instance)), []);
    for name in ["d", "p"] {
        let table = instance.inside(name, "cat /proc/mounts").ok();
        assert!(!table.contains("/mnt/wsl/"), "{name}: {table}");
    }
}
