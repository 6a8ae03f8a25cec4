//! What an instance leaves behind: nothing, when it has been stopped and reset.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::instance::{Identity, Instance};
use crate::netns;
use crate::processes::{self, Process};
use crate::tools::Tool;
use crate::{files, kernel, waiting};

const NAMESPACES: [&str; 6] = ["net", "mnt", "pid", "uts", "ipc", "cgroup"];

/// What a running instance holds that has no name to look for later.
#[derive(Debug)]
pub struct Traces {
    identity: Identity,
    processes: Vec<Process>,
    namespaces: BTreeSet<String>,
}

impl Traces {
    /// Notes what the running instance holds.
    pub fn of(instance: &Instance) -> Self {
        let processes = instance.processes();
        let ours = namespaces(&Process { pid: processes::me(), start_time: 0 });
        let started_in = instance.identity().netns.as_deref().and_then(link);
        let namespaces = processes
            .iter()
            .flat_map(namespaces)
            .filter(|namespace| !ours.contains(namespace) && Some(namespace) != started_in.as_ref())
            .collect();
        Self { identity: instance.identity().clone(), processes, namespaces }
    }

    /// How many namespaces were seen.
    pub fn namespace_count(&self) -> usize {
        self.namespaces.len()
    }

    /// Requires that nothing of the instance is left.
    #[track_caller]
    pub fn assert_gone(&self) {
        // The kernel ends what a namespace held a moment after its last process.
        let mut left = Vec::new();
        waiting::holds_within(std::time::Duration::from_secs(20), || {
            left = self.left();
            left.is_empty()
        });
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    fn left(&self) -> Vec<String> {
        let mut left = remains(&self.identity);
        let alive = self.processes.iter().filter(|process| process.is_alive());
        left.extend(alive.map(|process| format!("process {} {:?}", process.pid, process.command_line())));
        for process in processes::all() {
            let held = namespaces(&process).into_iter().filter(|ns| self.namespaces.contains(ns));
            left.extend(held.map(|ns| format!("namespace {ns} of process {}", process.pid)));
            let open = files::entries(Path::new(&format!("/proc/{}/fd", process.pid)));
            let open = open.iter().filter_map(|path| link(path)).filter(|to| self.namespaces.contains(to));
            left.extend(open.map(|ns| format!("namespace {ns} open in process {}", process.pid)));
        }
        for mount in
            processes::one_per_mount_namespace().iter().flat_map(|p| kernel::mounts(&p.pid.to_string()))
        {
            if self.namespaces.iter().any(|ns| mount.line.contains(ns.as_str())) {
                left.push(format!("namespace kept by the mount {}", mount.line));
            }
        }
        left
    }
}

/// Everything of the instance that can be found without having known it before.
pub fn remains(identity: &Identity) -> Vec<String> {
    let mut left: Vec<String> = processes(identity)
        .into_iter()
        .map(|(process, why)| format!("process {} {:?}: {why}", process.pid, process.command_line()))
        .collect();
    left.extend(mounts(identity));
    left.extend(
        loops(identity).into_iter().map(|(name, file)| format!("loop device {name} of {}", file.display())),
    );
    left.extend(cgroups(identity).into_iter().map(|folder| format!("cgroup {}", folder.display())));
    if has_link(identity) {
        left.push(format!("network device {}", identity.place.link()));
    }
    if has_table(identity) {
        left.push(format!("nft table {}", identity.place.nft_table()));
    }
    for folder in [identity.place.state(), identity.place.run()] {
        if fs::symlink_metadata(folder).is_ok() {
            left.push(format!("folder {} with {:?}", folder.display(), files::names(folder)));
        }
    }
    let temporary = files::names(&identity.temporary());
    if !temporary.is_empty() {
        left.push(format!("temporary files {temporary:?}"));
    }
    let id = identity.place.id();
    let named = |name: &String| name.contains(identity.place.name()) || name.contains(&id);
    for folder in ["/tmp", "/run", "/run/netns", "/dev/shm", "/var/tmp"] {
        left.extend(
            files::names(Path::new(folder)).into_iter().filter(named).map(|n| format!("{folder}/{n}")),
        );
    }
    left
}

/// The instance's processes, each with the reason why it is taken for one.
pub fn processes(identity: &Identity) -> Vec<(Process, String)> {
    let mut found: BTreeMap<Process, String> = BTreeMap::new();
    let folders = [identity.root.clone(), identity.run_base.clone()];
    let needles: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    for process in processes::all() {
        if process.pid != processes::me()
            && let Some(why) = mention(process.pid, &needles)
        {
            found.insert(process, why);
        }
    }
    for folder in cgroups(identity) {
        let members = kernel::cgroup_members(&folder).into_iter().filter_map(Process::find);
        for member in members.filter(Process::is_alive) {
            found.entry(member).or_insert_with(|| format!("is in the cgroup {}", folder.display()));
        }
    }
    for record in records(identity) {
        let value = fs::read(&record).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(process) = value.as_ref().and_then(processes::described_in)
            && process.is_alive()
        {
            found.entry(process).or_insert_with(|| format!("is described in {}", record.display()));
        }
    }
    found.into_iter().collect()
}

/// The records of processes in the run folder.
fn records(identity: &Identity) -> Vec<PathBuf> {
    let distros = files::entries(&identity.place.run().join("distros"));
    let records = distros.into_iter().map(|folder| folder.join("record.json"));
    records.chain([identity.place.hub_record()]).collect()
}

/// Where process `pid` names one of `needles`.
fn mention(pid: i32, needles: &[String]) -> Option<String> {
    let named = |text: &str| needles.iter().any(|needle| text.contains(needle.as_str()));
    for file in ["cmdline", "environ"] {
        let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        if named(&String::from_utf8_lossy(&content)) {
            return Some(format!("its {file} names our folder"));
        }
    }
    for file in ["exe", "cwd", "root"] {
        if link(Path::new(&format!("/proc/{pid}/{file}"))).is_some_and(|to| named(&to)) {
            return Some(format!("its {file} is in our folder"));
        }
    }
    None
}

/// Mounts that come from the instance's folders or disks, in any mount namespace.
pub fn mounts(identity: &Identity) -> Vec<String> {
    let devices: Vec<String> = loops(identity).iter().map(|(name, _)| format!("/dev/{name}")).collect();
    let folders = [identity.root.display().to_string(), identity.run_base.display().to_string()];
    // A disk that a test put below the state folder is the test's, not the instance's.
    let own = identity.state_base();
    let mut found = BTreeSet::new();
    for process in processes::one_per_mount_namespace() {
        for mount in kernel::mounts(&process.pid.to_string()) {
            let ours = folders.iter().any(|folder| mount.line.contains(folder.as_str()))
                || devices.contains(&mount.source);
            if ours && mount.at != own {
                found.insert(format!("mount seen by process {}: {}", process.pid, mount.line));
            }
        }
    }
    found.into_iter().collect()
}

/// Loop devices on the instance's files.
pub fn loops(identity: &Identity) -> Vec<(String, PathBuf)> {
    kernel::loops_below(&identity.state_base())
}

/// The instance's cgroups.
pub fn cgroups(identity: &Identity) -> Vec<PathBuf> {
    kernel::cgroups(&identity.place.cgroup())
}

/// Whether the host's end of the instance's network is there.
pub fn has_link(identity: &Identity) -> bool {
    in_its_network(identity, "ip", &["link", "show", "dev", &identity.place.link()])
        .is_some_and(|output| output.code() == Some(0))
}

/// Whether the instance's nft table is there.
pub fn has_table(identity: &Identity) -> bool {
    in_its_network(identity, "nft", &["list", "tables"])
        .is_some_and(|output| output.text().contains(&identity.place.nft_table()))
}

/// Runs a program in the network namespace the instance was started in, unless that is gone.
pub fn in_its_network(identity: &Identity, program: &str, args: &[&str]) -> Option<crate::tools::Output> {
    let tool = Tool::new(program).args(args);
    match &identity.netns {
        Some(netns) if fs::symlink_metadata(netns).is_err() => None,
        Some(netns) => Some(tool.under(netns::wrapper(netns, None)).run()),
        None => Some(tool.run()),
    }
}

fn namespaces(process: &Process) -> Vec<String> {
    NAMESPACES.iter().filter_map(|kind| process.namespace(kind)).collect()
}

fn link(path: &Path) -> Option<String> {
    Some(fs::read_link(path).ok()?.to_string_lossy().into_owned())
}
