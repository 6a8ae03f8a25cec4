//! Machines that differ from this one: how the host's mounts are shared, and which cgroups it has.

use std::sync::Arc;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::netns::Netns;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("machines::a_shared_root_keeps_all_its_mounts", shared_root),
        Case::new("machines::the_unified_cgroup_hierarchy_alone_will_do", unified_cgroups),
    ]
}

/// The mounts as the machine's own programs see them, without numbers that only count.
#[track_caller]
fn mounts(machine: &Netns) -> Vec<String> {
    let table = machine.tool("cat", &["/proc/self/mountinfo"]).run().ok();
    let mut lines: Vec<String> =
        table.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

/// systemd shares `/`: a mount that stays in the host's peer group would be seen there, and taken down there.
fn shared_root() {
    let machine = Arc::new(Netns::with_mounts("mount --make-rshared /"));
    let before = mounts(&machine);
    let instance = Instance::started_on(&machine);
    assert_eq!(mounts(&machine), before, "while the engine runs");
    instance.need_busybox();
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
    instance.sampan(&["stop"]).ok();
    assert_eq!(mounts(&machine), before, "after the stop");
}

fn unified_cgroups() {
    let machine =
        Arc::new(Netns::with_mounts("umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup"));
    let instance = Instance::started_on(&machine);
    instance.need_busybox();
    let version = instance.docker(&["info", "--format", "{{.CgroupVersion}}"]).ok();
    assert_eq!(version, "2");
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
    let own = instance.docker(&["run", "--rm", "e2e/busybox", "cat", "/proc/self/cgroup"]).ok();
    assert!(own.lines().any(|line| line == "0::/"), "a container sees itself as the root: {own}");
}
