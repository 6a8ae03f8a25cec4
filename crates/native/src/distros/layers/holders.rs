//! Which containers use a disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sampan_model::distro::ENGINE;
use sampan_model::instance::Instance;
use sampan_sys::{loopdev, mount};

use crate::cgroup;
use crate::distro::Running;

/// Major number of loop devices (Linux, `Documentation/admin-guide/devices.txt`).
const LOOP_MAJOR: u32 = 7;

/// How many digits of a container's id are shown: as many as `docker ps` shows.
const DIGITS: usize = 12;

/// The containers that have something of the file system in `image` mounted, by the kernel's word: short ids, or
/// `process N` for one that belongs to no container. The engine's own view of it, which comes and goes with the hub's, does
/// not count.
pub(super) fn containers(instance: &Instance, image: &Path) -> Vec<String> {
    let devices = loopdev::loops_of(image).unwrap_or_default();
    let running = Running::all(instance);
    let engine = running.iter().find(|running| running.name().eq_ignore_ascii_case(ENGINE));
    let (Some(engine), false, Ok(host)) = (engine, devices.is_empty(), cgroup::Host::detect()) else {
        return Vec::new();
    };
    let members = host.members(&instance.cgroup(), Some(ENGINE)).unwrap_or_default();
    let mut seen: BTreeSet<_> = namespace(engine.process().pid).into_iter().collect();
    let mut found = BTreeSet::new();
    for pid in members {
        if !namespace(pid).is_some_and(|namespace| seen.insert(namespace)) {
            continue;
        }
        let table = mount::mountinfo(Some(pid)).unwrap_or_default();
        if table.iter().any(|entry| entry.major == LOOP_MAJOR && devices.contains(&entry.minor)) {
            let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            found.insert(container(&cgroups).unwrap_or_else(|| format!("process {pid}")));
        }
    }
    found.into_iter().collect()
}

/// The mount namespace of a process.
fn namespace(pid: i32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// The container whose cgroups a process is in: a folder that is called by its id of 64 digits, alone or as systemd writes it
/// (`docker-<id>.scope`).
fn container(cgroups: &str) -> Option<String> {
    let names = cgroups.lines().flat_map(|line| line.split('/'));
    let ids = names.map(|name| {
        name.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope")).unwrap_or(name)
    });
    let is_id = |id: &&str| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ids.into_iter().find(is_id).map(|id| id[..DIGITS].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_cgroup() {
        let id = "0123456789ab".to_owned() + &"c".repeat(52);
        for text in [
            format!("12:cpu:/t/docker-desktop/docker/{id}\n0::/t/docker-desktop\n"),
            format!("0::/t/docker-desktop/docker/{id}/init\n"),
            format!("0::/system.slice/docker-{id}.scope\n"),
        ] {
            assert_eq!(container(&text).as_deref(), Some("0123456789ab"), "{text}");
        }
        for text in ["", "0::/\n", "0::/docker/0123456789ab\n", &format!("0::/docker/{}\n", "x".repeat(64))] {
            assert_eq!(container(text), None, "{text}");
        }
    }
}
