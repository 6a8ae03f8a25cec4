//! Memory, processors and swap of all distributions together, as `.wslconfig` says. What it does not say is not limited.

use std::path::Path;

use sampan_backend::error::chain;

use crate::cgroup::{CgroupError, Host, set as write};
use crate::wslconfig::HostConfig;

/// Length of the period that a share of processors is measured in, in microseconds (the kernel's default).
const PERIOD: u64 = 100_000;

/// Sets the limits of `.wslconfig` on the instance's cgroup; what could not be set, one sentence each.
pub(crate) fn set(cgroups: &Host, instance: &str) -> Vec<String> {
    of_file(&HostConfig::read(), cgroups, instance)
}

fn of_file(file: &HostConfig, cgroups: &Host, instance: &str) -> Vec<String> {
    let limits = [
        ("wsl2.memory", "memory", memory as Setter),
        ("wsl2.swap", "memory", swap),
        ("wsl2.processors", "cpu", processors),
    ];
    let mut unset = Vec::new();
    for (key, controller, setter) in limits {
        if !file.sets(key) {
            continue;
        }
        let done = match cgroups.with_controller(instance, controller) {
            Ok(Some(cgroup)) => setter(file, &cgroup).map_err(|error| chain(&error)),
            Ok(None) => Err(format!("this machine has no cgroup controller `{controller}`")),
            Err(error) => Err(chain(&error)),
        };
        if let Err(why) = done {
            unset.push(format!("{key} of .wslconfig has no effect: {why}"));
        }
    }
    unset
}

type Setter = fn(&HostConfig, &Path) -> Result<(), CgroupError>;

fn memory(file: &HostConfig, cgroup: &Path) -> Result<(), CgroupError> {
    let limit = file.values.memory.to_string();
    if cgroup.join("memory.max").exists() {
        return write(&cgroup.join("memory.max"), &limit);
    }
    // The limit of both together may not be below that of memory alone, at no time in between.
    let both = cgroup.join("memory.memsw.limit_in_bytes");
    if both.exists() {
        write(&both, "-1")?;
    }
    write(&cgroup.join("memory.limit_in_bytes"), &limit)
}

fn swap(file: &HostConfig, cgroup: &Path) -> Result<(), CgroupError> {
    let unified = cgroup.join("memory.swap.max");
    if unified.exists() {
        return write(&unified, &file.values.swap.to_string());
    }
    // Version 1 limits memory and swap together: without a limit of memory there is none of swap.
    let memory = if file.sets("wsl2.memory") { file.values.memory } else { 0 };
    if memory == 0 {
        let source = std::io::Error::other("on this machine it needs wsl2.memory beside it");
        return Err(CgroupError::Set { path: cgroup.join("memory.memsw.limit_in_bytes"), source });
    }
    let both = memory.saturating_add(file.values.swap);
    write(&cgroup.join("memory.memsw.limit_in_bytes"), &both.to_string())
}

fn processors(file: &HostConfig, cgroup: &Path) -> Result<(), CgroupError> {
    let quota = u64::from(file.values.processors) * PERIOD;
    if cgroup.join("cpu.max").exists() {
        return write(&cgroup.join("cpu.max"), &format!("{quota} {PERIOD}"));
    }
    write(&cgroup.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
    write(&cgroup.join("cpu.cfs_quota_us"), &quota.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::wslconfig::tests::HOST;

    fn file(text: &str) -> HostConfig {
        HostConfig::of(text.as_bytes(), "/w", &HOST)
    }

    /// A hierarchy of plain files with an instance's cgroup in it.
    fn hierarchy(files: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
        let top = tempfile::tempdir().unwrap();
        let cgroup = top.path().join("i");
        fs::create_dir(&cgroup).unwrap();
        for name in files {
            sampan_sys::fs::write_atomic(&cgroup.join(name), b"", 0o600).unwrap();
        }
        (top, cgroup)
    }

    #[test]
    fn version_1_limits_memory_with_swap() {
        let (top, cgroup) = hierarchy(&["memory.memsw.limit_in_bytes"]);
        let host = Host::V1(vec![("memory".to_owned(), top.path().to_owned())]);
        let unset = of_file(&file("[wsl2]\nmemory=1GB\nswap=512MB\nprocessors=2\n"), &host, "i");
        let read = |name: &str| fs::read_to_string(cgroup.join(name)).unwrap();
        assert_eq!(read("memory.limit_in_bytes"), (1u64 << 30).to_string());
        assert_eq!(read("memory.memsw.limit_in_bytes"), (3u64 << 29).to_string());
        assert_eq!(
            unset,
            ["wsl2.processors of .wslconfig has no effect: this machine has no cgroup controller `cpu`"]
        );
        let alone = of_file(&file("[wsl2]\nswap=0\n"), &host, "i");
        assert!(alone[0].contains("needs wsl2.memory"), "{alone:?}");
    }

    #[test]
    fn processors_become_a_share_of_time() {
        let (_top, cgroup) = hierarchy(&["cpu.max"]);
        processors(&file("[wsl2]\nprocessors=3\n"), &cgroup).unwrap();
        assert_eq!(fs::read_to_string(cgroup.join("cpu.max")).unwrap(), "300000 100000");
    }

    #[test]
    fn nothing_set_nothing_limited() {
        let (top, cgroup) = hierarchy(&[]);
        let host = Host::V1(vec![("memory,cpu".to_owned(), top.path().to_owned())]);
        assert!(of_file(&file("[general]\ninstanceIdleTimeout=1\n"), &host, "i").is_empty());
        assert_eq!(fs::read_dir(cgroup).unwrap().count(), 0);
    }
}
