//! An instance: one whole Sampan with its own state, distributions and engine.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::distro::Guid;

/// Where instances keep what must survive a reboot, unless `SAMPAN_STATE_DIR` says otherwise.
pub const STATE_BASE: &str = "/var/lib/sampan";
/// Where instances keep sockets and records of what runs, unless `SAMPAN_RUN_DIR` says otherwise.
pub const RUN_BASE: &str = "/run/sampan";
/// The instance that is meant when none is named.
pub const DEFAULT_NAME: &str = "default";
/// The longest path the kernel accepts for a unix socket (`sun_path` less the closing zero, unix(7)).
pub const SOCKET_PATH_MAX: usize = 107;

/// Why a name or a folder can't make an instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// The name breaks the rule for instance names.
    #[error(
        "`{0}` is no instance name: use 1 to 24 of a-z, 0-9, '-' and '_', beginning with a letter or digit"
    )]
    Name(String),
    /// A moved folder was given as a relative path.
    #[error("{variable} is `{value}`, which is not an absolute path")]
    Relative {
        /// The environment variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// A moved folder goes through its parent: such a path has more than one spelling, and so more than one identity.
    #[error("{variable} is `{value}`: give the path without `..`")]
    Parent {
        /// The environment variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// The run folder's path leaves no room for the sockets below it.
    #[error(
        "the run folder {0} is too long a path: sockets below it may have at most 107 bytes; choose a shorter SAMPAN_RUN_DIR"
    )]
    TooLong(PathBuf),
}

/// The name and the two folders of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    name: String,
    state: PathBuf,
    run: PathBuf,
}

impl Instance {
    /// Makes the instance `name` below the base folders `state_base` and `run_base`.
    pub fn new(name: &str, state_base: &Path, run_base: &Path) -> Result<Self, InstanceError> {
        let first_ok = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let all_ok =
            name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        if !first_ok || !all_ok || name.len() > 24 {
            return Err(InstanceError::Name(name.to_owned()));
        }
        for (variable, base) in [("SAMPAN_STATE_DIR", state_base), ("SAMPAN_RUN_DIR", run_base)] {
            let value = || base.display().to_string();
            if !base.is_absolute() {
                return Err(InstanceError::Relative { variable, value: value() });
            }
            if base.components().any(|part| part == Component::ParentDir) {
                return Err(InstanceError::Parent { variable, value: value() });
            }
        }
        // Through its components: `/a/./b//` and `/a/b` are one folder and must be one identity.
        let below = |base: &Path| base.components().collect::<PathBuf>().join(name);
        let instance = Self { name: name.to_owned(), state: below(state_base), run: below(run_base) };
        let longest = instance.distro_run(&Guid::NIL).join("control.sock");
        if longest.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(InstanceError::TooLong(instance.run));
        }
        Ok(instance)
    }

    /// Makes the instance from the command line's name (if given) and the environment, read through `lookup`.
    pub fn from_env(
        name: Option<&str>,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, InstanceError> {
        let set = |key: &str| lookup(key).filter(|value| !value.is_empty());
        let base = |key, fallback: &str| PathBuf::from(set(key).unwrap_or_else(|| fallback.into()));
        // A name that is no text is a wrong name, not a missing one.
        let name = name.map(str::to_owned);
        let name = name.or_else(|| set("SAMPAN_INSTANCE").map(|name| name.to_string_lossy().into_owned()));
        Self::new(
            name.as_deref().unwrap_or(DEFAULT_NAME),
            &base("SAMPAN_STATE_DIR", STATE_BASE),
            &base("SAMPAN_RUN_DIR", RUN_BASE),
        )
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of what survives a reboot.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The folder of sockets and records of what runs.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Eight hex digits that tell this state folder from every other one on the machine.
    ///
    /// Names of kernel objects carry it, so that two instances of one name in different folders never meet.
    pub fn id(&self) -> String {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a, 64 bits: stable across versions and machines
        for byte in self.state.as_os_str().as_encoded_bytes() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{:08x}", (hash ^ (hash >> 32)) & 0xffff_ffff)
    }

    /// The name of the instance's cgroup.
    pub fn cgroup(&self) -> String {
        format!("sampan-{}-{}", self.name, self.id())
    }

    /// The host's end of the instance's veth pair.
    pub fn link(&self) -> String {
        format!("smpn{}", self.id())
    }

    /// The instance's nft table (family `inet`).
    pub fn nft_table(&self) -> String {
        format!("sampan_{}", self.id())
    }

    /// What sockets of published ports are marked with (`SO_MARK`), so that the rules of this instance know its own.
    pub fn port_mark(&self) -> u32 {
        let id = u32::from_str_radix(&self.id(), 16).expect("eight digits");
        // Few bits, and none of the lowest, which others use: a mark also stands in rules for routes.
        0x5300_0000 | (id & 0xffff)
    }

    /// The docker context that leads to this instance.
    pub fn docker_context(&self) -> String {
        if self.name == DEFAULT_NAME { "sampan".to_owned() } else { format!("sampan-{}", self.name) }
    }

    /// Held (flock) by the service for as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }
    /// The user's settings.
    pub fn settings(&self) -> PathBuf {
        self.state.join("settings.json")
    }
    /// The folders of the host in which Sampan was used ([`crate::working_tree`]).
    pub fn working_trees(&self) -> PathBuf {
        self.state.join("working-trees.json")
    }
    /// The installed distributions.
    pub fn registry(&self) -> PathBuf {
        self.state.join("registry.json")
    }
    /// Room for the registry when its disk is full; the content means nothing.
    pub fn registry_reserve(&self) -> PathBuf {
        self.state.join("registry.reserve")
    }
    /// One folder per distribution.
    pub fn distros(&self) -> PathBuf {
        self.state.join("distros")
    }
    /// The network that the instance had last, and takes again when it is free.
    pub fn last_network(&self) -> PathBuf {
        self.state.join("last-network.json")
    }
    /// The folder of the distribution (or disk generation) `guid`.
    pub fn distro(&self, guid: &Guid) -> PathBuf {
        self.distros().join(guid.to_string())
    }
    /// Engine images built on this machine.
    pub fn cache(&self) -> PathBuf {
        self.state.join("cache")
    }
    /// The Docker CLI of the engine image, with the libraries it needs.
    pub fn cli(&self) -> PathBuf {
        self.state.join("cli")
    }
    /// A folder with nothing but the `docker` of distributions, as they see it ([`crate::docker_cli::SHIM_PLACE`]).
    pub fn shim(&self) -> PathBuf {
        self.state.join("shim")
    }
    /// What integration has changed in the distribution `guid` ([`crate::integration::journal`]).
    pub fn integration_journal(&self, guid: &Guid) -> PathBuf {
        self.state.join("integration").join(format!("{guid}.json"))
    }
    /// One log file per unit.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
    /// The log file of `unit`.
    pub fn log(&self, unit: &str) -> PathBuf {
        self.logs().join(format!("{unit}.log"))
    }
    /// The service's API.
    pub fn api_socket(&self) -> PathBuf {
        self.run.join("sampan.sock")
    }
    /// What `wsl` talks to: requests with descriptors.
    pub fn distros_socket(&self) -> PathBuf {
        self.run.join("distros.sock")
    }
    /// The Docker API for programs of the host.
    pub fn docker_socket(&self) -> PathBuf {
        self.run.join("docker.sock")
    }
    /// The folder of WSL integration ([`crate::integration`]).
    pub fn integration(&self) -> PathBuf {
        self.run.join("integration")
    }
    /// Record of the hub's process.
    pub fn hub_record(&self) -> PathBuf {
        self.run.join("hub.json")
    }
    /// Record of the gateway's process.
    pub fn gateway_record(&self) -> PathBuf {
        self.run.join("gateway.json")
    }
    /// Where the gateway is told of another duty; root only.
    pub fn gateway_control(&self) -> PathBuf {
        self.run.join("gateway.sock")
    }
    /// Record of what the network set-up changed on the host.
    pub fn network_record(&self) -> PathBuf {
        self.run.join("network.json")
    }
    /// Record of the disks that the user mounted.
    pub fn disks_record(&self) -> PathBuf {
        self.run.join("disks.json")
    }
    /// What becomes PID 1 of distributions, and nothing else.
    pub fn programs(&self) -> PathBuf {
        self.run.join("programs")
    }
    /// Sockets and the record of the running distribution `guid`.
    pub fn distro_run(&self, guid: &Guid) -> PathBuf {
        self.run.join("distros").join(guid.to_string())
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn the_default_instance_lives_in_the_usual_folders() {
        let instance = Instance::from_env(None, none).unwrap();
        assert_eq!(instance.docker_socket(), Path::new("/run/sampan/default/docker.sock"));
        assert_eq!(instance.registry(), Path::new("/var/lib/sampan/default/registry.json"));
        assert_eq!(instance.docker_context(), "sampan");
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let env = |key: &str| match key {
            "SAMPAN_INSTANCE" => Some("two".into()),
            "SAMPAN_STATE_DIR" => Some("/data".into()),
            _ => None,
        };
        assert_eq!(Instance::from_env(None, env).unwrap().state(), Path::new("/data/two"));
        assert_eq!(Instance::from_env(Some("one"), env).unwrap().state(), Path::new("/data/one"));
    }

    #[test]
    fn bad_names_and_folders_are_refused() {
        for bad in ["", ".", "..", "a/b", "A", "-x", "name with blank", "a234567890123456789012345"] {
            assert!(Instance::from_env(Some(bad), none).is_err(), "{bad:?}");
        }
        assert!(Instance::new("x", Path::new("rel"), Path::new("/run")).is_err());
        let deep = format!("/{}", "d".repeat(60));
        assert!(matches!(
            Instance::new("x", Path::new("/s"), Path::new(&deep)),
            Err(InstanceError::TooLong(_))
        ));
    }

    #[test]
    fn what_is_no_text_never_means_the_default() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
        let folder = Instance::from_env(None, |key| (key == "SAMPAN_STATE_DIR").then(|| bytes(b"/d\xff")));
        assert!(folder.unwrap().state().starts_with(bytes(b"/d\xff")));
        assert!(Instance::from_env(None, |key| (key == "SAMPAN_INSTANCE").then(|| bytes(b"a\xff"))).is_err());
    }

    #[test]
    fn kernel_names_differ_by_state_folder_and_fit() {
        let a = Instance::new("default", Path::new("/a"), Path::new("/r")).unwrap();
        let b = Instance::new("default", Path::new("/b"), Path::new("/r")).unwrap();
        assert_ne!(a.id(), b.id());
        let same = Instance::new("default", Path::new("//a/./"), Path::new("/r")).unwrap();
        assert_eq!(a.id(), same.id());
        assert!(Instance::new("default", Path::new("/x/../a"), Path::new("/r")).is_err());
        assert!(a.link().len() <= 15, "IFNAMSIZ");
    }
}
