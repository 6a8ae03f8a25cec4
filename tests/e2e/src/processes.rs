//! Processes, by identity: a number and the moment it began.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use crate::{files, waiting};

/// A process that survives the reuse of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it began, in clock ticks since boot.
    pub start_time: u64,
}

impl Process {
    /// The process that has the number `pid` now.
    pub fn find(pid: i32) -> Option<Self> {
        Some(Self { pid, start_time: Stat::of(pid)?.start_time })
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.start_time == self.start_time && stat.state != 'Z')
    }

    /// Kills it (signal 9), unless it has ended.
    pub fn kill(&self) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        // Identity is checked after the descriptor is there, so that a reused number is never hit.
        if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
            && self.is_alive()
        {
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }

    /// Kills it and waits for its end.
    #[track_caller]
    pub fn kill_and_wait(&self) {
        self.kill();
        waiting::until(&format!("process {} has ended", self.pid), || !self.is_alive());
    }

    /// Its name, as the kernel has it.
    pub fn name(&self) -> String {
        Stat::of(self.pid).map(|stat| stat.name).unwrap_or_default()
    }

    /// Its command line.
    pub fn command_line(&self) -> Vec<String> {
        let raw = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let text = String::from_utf8_lossy(&raw);
        text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
    }

    /// Its children and theirs.
    pub fn descendants(&self) -> Vec<Self> {
        let all: Vec<(Self, i32)> =
            all().iter().filter_map(|p| Some((*p, Stat::of(p.pid)?.parent))).collect();
        let mut found = vec![*self];
        let mut next = 0;
        while next < found.len() {
            let parent = found[next].pid;
            found.extend(all.iter().filter(|(_, p)| *p == parent).map(|(process, _)| *process));
            next += 1;
        }
        found.split_off(1)
    }

    /// The inode of its namespace of `kind` (`net`, `mnt` …).
    pub fn namespace(&self, kind: &str) -> Option<String> {
        let link = fs::read_link(format!("/proc/{}/ns/{kind}", self.pid)).ok()?;
        Some(link.to_string_lossy().into_owned())
    }
}

struct Stat {
    name: String,
    state: char,
    parent: i32,
    start_time: u64,
}

impl Stat {
    /// Reads `/proc/PID/stat`: the name stands in brackets and may itself hold blanks and brackets (proc(5)).
    fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        Some(Self {
            name: head.split_once('(')?.1.to_owned(),
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Every process of the machine.
pub fn all() -> Vec<Process> {
    files::names(Path::new("/proc"))
        .iter()
        .filter_map(|name| Process::find(name.parse().ok()?))
        .filter(Process::is_alive)
        .collect()
}

/// One process of each mount namespace.
pub fn one_per_mount_namespace() -> Vec<Process> {
    let mut seen = BTreeSet::new();
    all().into_iter().filter(|p| p.namespace("mnt").is_some_and(|ns| seen.insert(ns))).collect()
}

/// The first object in `value` that describes a process (`pid` and `startTime`), however deep.
pub fn described_in(value: &Value) -> Option<Process> {
    if let (Some(pid), Some(start_time)) = (value["pid"].as_i64(), value["startTime"].as_u64()) {
        return Some(Process { pid: i32::try_from(pid).ok()?, start_time });
    }
    match value {
        Value::Object(map) => map.values().find_map(described_in),
        Value::Array(list) => list.iter().find_map(described_in),
        _ => None,
    }
}

/// The number of the test program itself.
pub fn me() -> i32 {
    i32::try_from(std::process::id()).expect("process numbers are small")
}
