//! The tools that a distribution's users have: `wslpath` and `wslinfo`, this same program under another name.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use sampan_model::wsl::info::{self, Info};
use sampan_model::wsl::path::{self, MountTable, Place};
use sampan_model::wsl::tool::Answer;
use serde::{Deserialize, Serialize};

/// Their names.
pub(crate) const TOOLS: [&str; 2] = ["wslpath", "wslinfo"];
/// Where [`Facts`] are.
pub(crate) const FACTS: &str = "/run/sampan/distribution.json";

/// What a distribution knows about itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) name: String,
    /// 1 or 2.
    pub(crate) version: u8,
    #[serde(default)]
    pub(crate) in_host_network: bool,
}

/// Runs the tool called `name`.
pub(crate) fn run(name: &str, arguments: &[OsString]) -> ExitCode {
    let facts =
        fs::read(FACTS).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let answer = if name == "wslinfo" { wslinfo(arguments, &facts) } else { wslpath(arguments, &facts) };
    let written = std::io::stdout().write_all(&answer.stdout);
    let _ = std::io::stderr().write_all(&answer.stderr);
    if written.is_err() { ExitCode::FAILURE } else { ExitCode::from(answer.code) }
}

fn wslpath(arguments: &[OsString], facts: &Facts) -> Answer {
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(error) => return Answer::failure(format!("wslpath: the working directory: {error}")),
    };
    let mounts = MountTable::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default());
    let place = Place { mounts: &mounts, distribution: &facts.name, cwd: &cwd };
    path::run(arguments, place, |path| fs::canonicalize(path))
}

fn wslinfo(arguments: &[OsString], facts: &Facts) -> Answer {
    let second = facts.version != 1;
    let networking_mode = || match has_network() {
        _ if facts.in_host_network => "mirrored",
        true => "nat",
        false => "none",
    };
    let info = Info {
        networking_mode: second.then(networking_mode),
        // The kernel is what distributions of version 2 share, so its boot is their machine.
        vm_id: second.then(boot_id).flatten(),
        version: env!("CARGO_PKG_VERSION"),
    };
    info::run(arguments, &info)
}

/// Whether there is a way out. Bridges of docker are in the network too, and lead nowhere.
fn has_network() -> bool {
    let devices = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = devices.lines().filter_map(|line| line.split_once(':'));
    names.into_iter().any(|(name, _)| name.trim() == "eth0")
}

fn boot_id() -> Option<sampan_model::distro::Guid> {
    fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).ok()?.trim().parse().ok()
}
