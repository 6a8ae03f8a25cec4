//! `/etc/wsl.conf`: what a distribution says about itself.

use serde::{Deserialize, Serialize};

use super::syntax::BadLines;
use super::value::{Entry, Key, Milliseconds, Slot, accepted, key};
use super::{ConfigFile, Parsed, Warning};

/// Where the file is in a distribution.
pub const PATH: &str = "/etc/wsl.conf";

/// Everything that `/etc/wsl.conf` can say. Keys and defaults are WSL's but for `interop.appendWindowsPath`,
/// which is off, and for the section `sampan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WslConf {
    /// `[automount]`
    pub automount: Automount,
    /// `[filesystem]`
    pub filesystem: Filesystem,
    /// `[interop]`
    pub interop: Interop,
    /// `[network]`
    pub network: Network,
    /// `[user]`
    pub user: User,
    /// `[boot]`
    pub boot: Boot,
    /// `[time]`
    pub time: Time,
    /// `[fileServer]`
    pub file_server: FileServer,
    /// `[gpu]`
    pub gpu: Gpu,
    /// `[general]`
    pub general: General,
    /// `[sampan]`
    pub sampan: Sampan,
}

/// Folders of the host, mounts of the distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Automount {
    /// Whether the host's folders are mounted at the start.
    pub enabled: bool,
    /// Where they and the shared folder `wsl` are mounted; always with a slash at its end.
    pub root: String,
    /// Mount options for them, separated by commas.
    pub options: Option<String>,
    /// Whether `mount -a` runs at the start.
    pub mount_fs_tab: bool,
    /// Whether the folder of the GPU libraries is made known to the dynamic loader.
    pub ldconfig: bool,
    /// The cgroup hierarchy that was asked for.
    pub cgroups: CgroupVersion,
}

/// A cgroup hierarchy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CgroupVersion {
    /// One per controller.
    V1,
    /// The unified one.
    #[default]
    V2,
}

/// What holds for files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filesystem {
    /// The umask of sessions.
    pub umask: i32,
}

/// Programs of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Interop {
    /// Whether they can be started from inside.
    pub enabled: bool,
    /// Whether the host's `PATH` is appended to that of sessions.
    pub append_windows_path: bool,
}

/// Files about the network, and the name in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    /// Whether `/etc/hosts` is written.
    pub generate_hosts: bool,
    /// Whether `/etc/resolv.conf` is a link to a generated file.
    pub generate_resolv_conf: bool,
    /// The host name as it was written, not yet checked; none for the host's.
    pub hostname: Option<String>,
}

/// Users.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// The name of the default user. It goes before the one in the registry.
    pub default: Option<String>,
}

/// What runs at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Boot {
    /// A command for `/bin/sh -c`, run as root and not waited for.
    pub command: Option<String>,
    /// Whether the distribution's `/sbin/init` is its init.
    pub systemd: bool,
    /// How long systemd may take to start and to power off.
    pub init_timeout: Milliseconds,
    /// Whether systemd is kept from changing `binfmt_misc`.
    pub protect_binfmt: bool,
}

/// The clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Time {
    /// Whether the time zone follows the host's.
    pub use_windows_timezone: bool,
}

/// The server that shows the distribution's files to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileServer {
    /// Whether it runs.
    pub enabled: bool,
    /// Where it logs to.
    pub log_file: Option<String>,
    /// How much it logs, from 1 (critical) to 5 (verbose).
    pub log_level: i32,
    /// Whether the log is emptied at the start.
    pub log_truncate: bool,
}

/// The graphics processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gpu {
    /// Whether it is passed through.
    pub enabled: bool,
    /// Whether its libraries are in the path of the dynamic loader.
    pub append_lib_path: bool,
}

/// The rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct General {
    /// Whether graphical programs can show windows.
    pub gui_applications: bool,
}

/// What only Sampan knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sampan {
    /// Whether the distribution asks to run without a user namespace. The host decides.
    pub privileged: bool,
    /// Whether it has a network namespace of its own.
    pub private_network: bool,
}

impl Default for Automount {
    fn default() -> Self {
        Self {
            enabled: true,
            root: "/mnt/".to_owned(),
            options: None,
            mount_fs_tab: true,
            ldconfig: true,
            cgroups: CgroupVersion::V2,
        }
    }
}

impl Default for Filesystem {
    fn default() -> Self {
        Self { umask: 0o022 }
    }
}

impl Default for Interop {
    fn default() -> Self {
        Self { enabled: true, append_windows_path: false }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { generate_hosts: true, generate_resolv_conf: true, hostname: None }
    }
}

impl Default for Boot {
    fn default() -> Self {
        Self { command: None, systemd: false, init_timeout: Milliseconds(10_000), protect_binfmt: true }
    }
}

impl Default for Time {
    fn default() -> Self {
        Self { use_windows_timezone: true }
    }
}

impl Default for FileServer {
    fn default() -> Self {
        Self { enabled: true, log_file: None, log_level: 4, log_truncate: true }
    }
}

impl Default for Gpu {
    fn default() -> Self {
        Self { enabled: true, append_lib_path: true }
    }
}

impl Default for General {
    fn default() -> Self {
        Self { gui_applications: true }
    }
}

impl Slot for CgroupVersion {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        entry.choose(&[("v1", Self::V1), ("v2", Self::V2)], self)
    }

    fn write(&self) -> String {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
        .to_owned()
    }
}

impl WslConf {
    /// Reads the bytes of the file; none for one that is missing.
    pub fn parse(input: &[u8]) -> Parsed<Self> {
        super::parse(input, PATH, &())
    }

    /// Turns off what can keep a distribution from starting, as `wsl2.safeMode` asks for.
    pub fn enter_safe_mode(&mut self) {
        self.automount.enabled = false;
        self.automount.ldconfig = false;
        self.automount.mount_fs_tab = false;
        self.boot.command = None;
        self.boot.systemd = false;
        self.network.generate_hosts = false;
        self.network.generate_resolv_conf = false;
        self.file_server.enabled = false;
        self.gpu.append_lib_path = false;
        self.gpu.enabled = false;
        self.interop.append_windows_path = false;
        self.interop.enabled = false;
        self.time.use_windows_timezone = false;
    }
}

impl ConfigFile for WslConf {
    type Host = ();
    const BAD_LINES: BadLines = BadLines::Stop;
    const KEYS: &'static [Key<Self>] = &[
        key(&["automount.enabled"], |c| &mut c.automount.enabled),
        key(&["automount.root"], |c| &mut c.automount.root),
        key(&["automount.options"], |c| &mut c.automount.options),
        key(&["automount.mountFsTab"], |c| &mut c.automount.mount_fs_tab),
        key(&["automount.ldconfig"], |c| &mut c.automount.ldconfig),
        key(&["automount.cgroups"], |c| &mut c.automount.cgroups),
        // Files from before WSL lost it still have it.
        accepted(&["automount.crossDistro"]),
        key(&["filesystem.umask"], |c| &mut c.filesystem.umask),
        key(&["interop.enabled"], |c| &mut c.interop.enabled),
        key(&["interop.appendWindowsPath"], |c| &mut c.interop.append_windows_path),
        key(&["network.generateHosts"], |c| &mut c.network.generate_hosts),
        key(&["network.generateResolvConf"], |c| &mut c.network.generate_resolv_conf),
        key(&["network.hostname"], |c| &mut c.network.hostname),
        key(&["user.default"], |c| &mut c.user.default),
        key(&["boot.command"], |c| &mut c.boot.command),
        key(&["boot.systemd"], |c| &mut c.boot.systemd),
        key(&["boot.initTimeout"], |c| &mut c.boot.init_timeout),
        key(&["boot.protectBinfmt"], |c| &mut c.boot.protect_binfmt),
        key(&["time.useWindowsTimezone"], |c| &mut c.time.use_windows_timezone),
        key(&["fileServer.enabled"], |c| &mut c.file_server.enabled),
        key(&["fileServer.logFile"], |c| &mut c.file_server.log_file),
        key(&["fileServer.logLevel"], |c| &mut c.file_server.log_level),
        key(&["fileServer.logTruncate"], |c| &mut c.file_server.log_truncate),
        key(&["gpu.enabled"], |c| &mut c.gpu.enabled),
        key(&["gpu.appendLibPath"], |c| &mut c.gpu.append_lib_path),
        key(&["general.guiApplications"], |c| &mut c.general.gui_applications),
        key(&["sampan.privileged"], |c| &mut c.sampan.privileged),
        key(&["sampan.privateNetwork"], |c| &mut c.sampan.private_network),
    ];

    fn unresolved() -> Self {
        Self::default()
    }

    fn resolve(&mut self, (): &(), _: &mut Vec<Warning>) {
        if !self.automount.root.ends_with('/') {
            self.automount.root.push('/');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_says_the_defaults() {
        let parsed = WslConf::parse(b"");
        assert_eq!(parsed, Parsed { config: WslConf::default(), warnings: Vec::new(), stopped_at: None });
        let values: Vec<String> = WslConf::KEYS
            .iter()
            .filter_map(|key| Some((key.names[0], crate::config::get(&parsed.config, key.names[0])?)))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            values.join(" "),
            "automount.enabled=true automount.root=/mnt/ automount.options= automount.mountFsTab=true \
             automount.ldconfig=true automount.cgroups=v2 filesystem.umask=18 interop.enabled=true \
             interop.appendWindowsPath=false network.generateHosts=true network.generateResolvConf=true \
             network.hostname= user.default= boot.command= boot.systemd=false boot.initTimeout=10000 \
             boot.protectBinfmt=true time.useWindowsTimezone=true fileServer.enabled=true \
             fileServer.logFile= fileServer.logLevel=4 fileServer.logTruncate=true gpu.enabled=true \
             gpu.appendLibPath=true general.guiApplications=true sampan.privileged=false \
             sampan.privateNetwork=false"
        );
    }

    #[test]
    fn our_own_keys_and_a_lost_one_give_no_warning() {
        let parsed = WslConf::parse(
            b"[sampan]\nprivileged=true\nprivateNetwork=1\n[automount]\ncrossDistro=whatever\nroot=/host",
        );
        assert_eq!(parsed.warnings, []);
        assert_eq!(parsed.config.sampan, Sampan { privileged: true, private_network: true });
        assert_eq!(parsed.config.automount.root, "/host/");
    }

    #[test]
    fn safe_mode_leaves_nothing_that_runs_or_mounts() {
        let mut conf = WslConf::parse(b"[boot]\nsystemd=true\ncommand=x\n[user]\ndefault=ann").config;
        conf.enter_safe_mode();
        assert_eq!((conf.boot.systemd, conf.boot.command, conf.automount.enabled), (false, None, false));
        assert_eq!(conf.user.default.as_deref(), Some("ann"));
    }

    #[test]
    fn it_goes_over_a_socket_unchanged() {
        let conf = WslConf::parse(b"[network]\nhostname=h\n[automount]\ncgroups=v1").config;
        let json = serde_json::to_string(&conf).unwrap();
        assert_eq!(serde_json::from_str::<WslConf>(&json).unwrap(), conf);
        assert_eq!(serde_json::from_str::<WslConf>("{}").unwrap(), WslConf::default());
    }
}
