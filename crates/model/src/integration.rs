//! WSL integration: `docker` and its socket in the user's distributions.
//!
//! The service keeps one folder per instance that the engine sees as [`PLACE`]: the list of those who have a socket
//! ([`Askers`]), and for each distribution a folder with the socket. The distribution sees that folder, read-only, at the
//! same place. What it asks for is then known by the socket it came through.

pub mod group;
pub mod journal;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::distro::{Guid, is_internal};
use crate::document::Document;
use crate::registry::{Entry, Phase, Registry};
use crate::settings::Settings;

/// The folder of all askers in the engine, and in a distribution the folder of its own.
pub const PLACE: &str = "/run/sampan/integration";

/// `docker` in a distribution without one of its own.
pub const PROGRAM: &str = "/usr/bin/docker";

/// Name of the Docker socket in a distribution's folder.
pub const SOCKET: &str = "docker.sock";

/// Name of the socket on which a distribution answers a [`PathQuestion`], in the folder of all askers.
pub fn path_socket(guid: &Guid) -> String {
    format!("{guid}.paths")
}

/// What is the same to everybody on this kernel.
pub const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Who has a socket at the engine. Written whole by the service, watched by the engine's proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Askers {
    /// The distributions.
    pub distributions: Vec<Asker>,
}

impl Document for Askers {
    const FILE: &'static str = "askers.json";
    const SCHEMA: u64 = 1;
}

/// A distribution that has a socket at the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asker {
    /// Its identity, which is also the name of its folder and of its view ([`crate::views`]).
    pub guid: Guid,
    /// Its name, for messages.
    pub name: String,
    /// Owner of its socket: its root, as an id of the host.
    pub uid: u32,
    /// Group of its socket: its group `docker`, as an id of the host.
    pub gid: u32,
}

/// What `docker` in a distribution says when it can't reach the engine: a file of the distribution's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Whether it is to work there.
    pub switch: Switch,
    /// What the engine is about.
    pub engine: EngineNotice,
    /// The distribution's name.
    pub name: String,
    /// Its version: 1 or 2.
    pub version: u8,
}

impl Document for Notice {
    const FILE: &'static str = "notice.json";
    const SCHEMA: u64 = 1;
}

/// What the engine is about, as far as it concerns a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EngineNotice {
    /// It runs.
    Running,
    /// It is being started: waiting helps.
    Starting,
    /// It does not run.
    Stopped,
}

/// The question, on a distribution's path socket, where a path of its own leads: one packet of JSON. It is asked by the
/// engine's proxy and answered by the distribution's server, which sees the tree as its users do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathQuestion {
    /// An absolute path, in the distribution.
    pub path: PathBuf,
}

/// The answer to a [`PathQuestion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathAnswer {
    /// Below it the distribution has the folders of the host (`host`) and the one that all distributions share (`wsl`):
    /// `automount.root` of its `wsl.conf`.
    pub automount: PathBuf,
    /// Where the path leads.
    pub place: PathPlace,
}

/// Where a path of a distribution leads. It is what the distribution says, and no more: whoever uses it looks whether the
/// file is the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum PathPlace {
    /// On the distribution's own root file system, with the path in that.
    Root(FoundPath),
    /// In a folder of the host, with the path on the host.
    Host(FoundPath),
    /// In the folder that all distributions share (`/mnt/wsl`), with the path as if that were `/`.
    Shared(FoundPath),
    /// The socket that this distribution's docker uses.
    Socket,
    /// The kernel's own, the same everywhere: `/proc`, `/sys`, `/dev`.
    Kernel {
        /// The path without detours.
        path: PathBuf,
    },
    /// On something that the distribution itself has mounted, which nobody outside sees.
    Foreign {
        /// Where it is mounted.
        mount: PathBuf,
        /// Its kind, e.g. `tmpfs`.
        kind: String,
    },
    /// It can't be looked at.
    Failed {
        /// Why.
        message: String,
    },
}

/// A file or folder as the distribution sees it, and what was asked for below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundPath {
    /// What exists: absolute, without links.
    pub path: PathBuf,
    /// What does not exist below it, as it was asked; empty: all does.
    pub missing: PathBuf,
    /// The device of `path`, as `st_dev` has it (stat(2)).
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}

/// Whether `docker` is to work in a distribution, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Switch {
    /// By the user's list.
    Chosen,
    /// Because it is the default distribution.
    Default,
    /// Nobody asked for it.
    Off,
    /// It is asked for, and a distribution of version 1 cannot have it.
    VersionOne,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        matches!(self, Self::Chosen | Self::Default)
    }
}

/// What is asked for with integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// How it is everywhere.
    List,
    /// Let `docker` work in a distribution, or no longer.
    Switch {
        /// Its name.
        name: String,
        /// Which.
        on: bool,
    },
    /// Let `docker` work in whichever is the default distribution, or no longer.
    Default {
        /// Which.
        on: bool,
    },
    /// Make everything anew in a distribution in which it is on.
    Repair {
        /// Its name.
        name: String,
    },
}

/// How integration is in one distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether `docker` is to work there.
    pub switch: Switch,
    /// Whether it does.
    pub state: State,
    /// What else is to be known of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether `docker` works in a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It is not to.
    Off,
    /// Its files are written when the distribution is started.
    Preparing,
    /// It does.
    Ready,
    /// It does as soon as the distribution runs.
    DistributionStopped,
    /// Something is in the way.
    Failed,
}

impl State {
    /// As users read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::DistributionStopped => "distribution stopped",
            Self::Failed => "failed",
        }
    }
}

/// The users' whole distributions, and whether `docker` is to work in each.
pub fn switches<'a>(settings: &Settings, registry: &'a Registry) -> Vec<(&'a Entry, Switch)> {
    let installed = registry
        .distributions
        .iter()
        .filter(|entry| !is_internal(&entry.name) && entry.phase == Phase::Installed);
    installed.map(|entry| (entry, switch(settings, registry, entry))).collect()
}

/// The names in `integratedWslDistros` that no distribution has: misspelled ones, or of distributions to come.
pub fn unknown_names<'a>(settings: &'a Settings, registry: &Registry) -> Vec<&'a str> {
    let names = settings.integrated_wsl_distros.iter().map(String::as_str);
    names.filter(|name| registry.find(name).is_none()).collect()
}

fn switch(settings: &Settings, registry: &Registry, entry: &Entry) -> Switch {
    let is_default = registry.default == Some(entry.guid);
    let listed = settings.integrated_wsl_distros.iter().any(|name| name.eq_ignore_ascii_case(&entry.name));
    match (listed, is_default && settings.enable_integration_with_default_wsl_distro) {
        (false, false) => Switch::Off,
        _ if entry.version != 2 => Switch::VersionOne,
        (true, _) => Switch::Chosen,
        (false, true) => Switch::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_distribution_has_is_unknown() {
        let mut registry = Registry::default();
        registry.distributions.push(Entry::new(Guid::from_random([1; 16]), "Debian", 2));
        let names = ["debian", "Ubuntu"].map(str::to_owned).to_vec();
        let settings = Settings { integrated_wsl_distros: names, ..Settings::default() };
        assert_eq!(unknown_names(&settings, &registry), ["Ubuntu"]);
    }

    #[test]
    fn switches_follow_list_default_and_version() {
        let entry = |seed, name: &str, version| Entry::new(Guid::from_random([seed; 16]), name, version);
        let mut registry = Registry {
            distributions: vec![
                entry(1, "docker-desktop", 2),
                entry(2, "a", 2),
                entry(3, "B", 2),
                entry(4, "one", 1),
                Entry { phase: Phase::Installing, ..entry(5, "new", 2) },
            ],
            ..Registry::default()
        };
        registry.default = Some(registry.distributions[1].guid);
        let named = |settings: &Settings| -> Vec<(String, Switch)> {
            let all = switches(settings, &registry);
            all.into_iter().map(|(entry, switch)| (entry.name.clone(), switch)).collect()
        };
        let told = |a, b, one| vec![("a".to_owned(), a), ("B".to_owned(), b), ("one".to_owned(), one)];
        assert_eq!(named(&Settings::default()), told(Switch::Default, Switch::Off, Switch::Off));
        let settings = Settings {
            enable_integration_with_default_wsl_distro: false,
            integrated_wsl_distros: vec!["b".to_owned(), "one".to_owned(), "gone".to_owned()],
            ..Settings::default()
        };
        assert_eq!(named(&settings), told(Switch::Off, Switch::Chosen, Switch::VersionOne));
    }
}
