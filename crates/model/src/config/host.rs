//! `.wslconfig`: what holds for all distributions of a user.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::syntax::BadLines;
use super::value::{Entry, Key, Milliseconds, Slot, key};
use super::{ConfigFile, Parsed, Warning};

mod without_effect;

pub use without_effect::WithoutEffect;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What `wsl2.swap` is until it is worked out of the memory. `-1` in the file is the same.
const SWAP_OF_MEMORY: u64 = u64::MAX;

/// What the limits of `.wslconfig` depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// All memory of the host, in bytes.
    pub memory_bytes: u64,
    /// How many logical processors it has.
    pub processors: u32,
}

/// Everything that `.wslconfig` can say. Keys and defaults are WSL's.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a configuration file, each free of the others"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WslConfig {
    /// The memory of all distributions together, in bytes: half of the host's, at least 256 MiB, at most all.
    pub memory: u64,
    /// How many logical processors they may use: all.
    pub processors: u32,
    /// Swap in bytes: a quarter of the memory, up to the next GiB; 0 for none.
    pub swap: u64,
    /// Where swap is kept; empty for the usual place.
    pub swap_file: String,
    /// How distributions reach the network.
    pub networking_mode: NetworkingMode,
    /// Whether ports of distributions are open on the host's loopback address.
    pub localhost_forwarding: bool,
    /// Whether names are resolved by the host.
    pub dns_tunneling: bool,
    /// The name server that distributions see when names are resolved by the host; none when they are not.
    pub dns_tunneling_ip_address: Option<Ipv4Addr>,
    /// Whether sessions get the host's proxy.
    pub auto_proxy: bool,
    /// Ports that are not shared with the host in mirrored mode.
    pub ignored_ports: BTreeSet<u16>,
    /// Whether distributions can run virtual machines.
    pub nested_virtualization: bool,
    /// How long all of it runs on when no distribution does.
    pub vm_idle_timeout: Milliseconds,
    /// How long a distribution runs on without a session; none if the file does not say. WSL then waits 15 s.
    pub instance_idle_timeout: Option<Milliseconds>,
    /// How long the kernel may take to start.
    pub kernel_boot_timeout: Milliseconds,
    /// How long a distribution may take to start.
    pub distribution_start_timeout: Milliseconds,
    /// How long a disk may take to appear.
    pub mount_device_timeout: Milliseconds,
    /// Whether everything is off that could keep distributions from starting.
    pub safe_mode: bool,
    /// The largest size of a new disk, in bytes.
    pub default_vhd_size: u64,
    /// The folder in which new distributions are made; empty for the usual place.
    pub distribution_install_path: String,
    /// Where memory dumps of crashed programs go; empty for the usual place.
    pub crash_dump_folder: String,
    /// How many of them are kept; negative for none.
    pub max_crash_dump_count: i32,
    /// How memory that is only cache is given back.
    pub auto_memory_reclaim: MemoryReclaim,
    /// Whether new disks are sparse.
    pub sparse_vhd: bool,
    /// Whether each distribution has a cgroup of its own.
    pub isolate_distro_cgroup: bool,
    /// What has nothing to act on outside Windows.
    pub without_effect: WithoutEffect,
}

/// How distributions reach the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkingMode {
    /// Not at all.
    None,
    /// Behind address translation.
    #[default]
    Nat,
    /// Through a switch of the host.
    Bridged,
    /// With the host's own interfaces.
    Mirrored,
    /// Through a network stack in user space; once called `VirtioProxy`.
    Consomme,
}

/// How memory that is only cache is given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemoryReclaim {
    /// Not at all.
    Disabled,
    /// Bit by bit.
    Gradual,
    /// All at once, when idle.
    #[default]
    DropCache,
}

impl Slot for NetworkingMode {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        let choices = [
            ("Bridged", Self::Bridged),
            ("Consomme", Self::Consomme),
            ("Mirrored", Self::Mirrored),
            ("Nat", Self::Nat),
            ("None", Self::None),
            ("VirtioProxy", Self::Consomme),
        ];
        entry.choose(&choices, self)
    }

    fn write(&self) -> String {
        format!("{self:?}")
    }
}

impl Slot for MemoryReclaim {
    fn read(&mut self, entry: &mut Entry<'_>) -> bool {
        let choices =
            [("Disabled", Self::Disabled), ("DropCache", Self::DropCache), ("Gradual", Self::Gradual)];
        entry.choose(&choices, self)
    }

    fn write(&self) -> String {
        format!("{self:?}")
    }
}

impl WslConfig {
    /// Reads the bytes of the file; none for one that is missing. `path` stands in the warnings.
    pub fn parse(input: &[u8], path: &str, host: &HostFacts) -> Parsed<Self> {
        super::parse(input, path, host)
    }

    fn enter_safe_mode(&mut self) {
        self.swap = 0;
        self.networking_mode = NetworkingMode::None;
        self.dns_tunneling = false;
        self.auto_proxy = false;
        self.nested_virtualization = false;
        self.without_effect.enter_safe_mode();
    }

    /// Drops what the networking mode has no use for.
    fn fit_network(&mut self) {
        use NetworkingMode::{Consomme, Mirrored, Nat};
        let tunnels = matches!(self.networking_mode, Nat | Mirrored | Consomme);
        self.dns_tunneling &= tunnels && self.dns_tunneling_ip_address.is_some();
        if !self.dns_tunneling {
            self.dns_tunneling_ip_address = None;
            self.without_effect.best_effort_dns_parsing = false;
        }
        if self.networking_mode != Mirrored {
            self.ignored_ports.clear();
            self.without_effect.host_address_loopback = false;
        }
    }
}

impl ConfigFile for WslConfig {
    type Host = HostFacts;
    const BAD_LINES: BadLines = BadLines::Skip;
    const KEYS: &'static [Key<Self>] = &[
        key(&["wsl2.memory"], |c| &mut c.memory),
        key(&["wsl2.processors"], |c| &mut c.processors),
        key(&["wsl2.swap"], |c| &mut c.swap),
        key(&["wsl2.swapFile"], |c| &mut c.swap_file),
        key(&["wsl2.networkingMode", "experimental.networkingMode"], |c| &mut c.networking_mode),
        key(&["wsl2.localhostForwarding"], |c| &mut c.localhost_forwarding),
        key(&["wsl2.dnsTunneling", "experimental.dnsTunneling"], |c| &mut c.dns_tunneling),
        key(&["experimental.dnsTunnelingIpAddress"], |c| &mut c.dns_tunneling_ip_address),
        key(&["wsl2.autoProxy", "experimental.autoProxy"], |c| &mut c.auto_proxy),
        key(&["experimental.ignoredPorts"], |c| &mut c.ignored_ports),
        key(&["wsl2.nestedVirtualization"], |c| &mut c.nested_virtualization),
        key(&["wsl2.vmIdleTimeout"], |c| &mut c.vm_idle_timeout),
        key(&["general.instanceIdleTimeout"], |c| &mut c.instance_idle_timeout),
        key(&["wsl2.kernelBootTimeout"], |c| &mut c.kernel_boot_timeout),
        key(&["wsl2.distributionStartTimeout"], |c| &mut c.distribution_start_timeout),
        key(&["wsl2.mountDeviceTimeout"], |c| &mut c.mount_device_timeout),
        key(&["wsl2.safeMode"], |c| &mut c.safe_mode),
        key(&["wsl2.defaultVhdSize"], |c| &mut c.default_vhd_size),
        key(&["general.distributionInstallPath"], |c| &mut c.distribution_install_path),
        key(&["wsl2.crashDumpFolder"], |c| &mut c.crash_dump_folder),
        key(&["wsl2.maxCrashDumpCount"], |c| &mut c.max_crash_dump_count),
        key(&["experimental.autoMemoryReclaim"], |c| &mut c.auto_memory_reclaim),
        key(&["experimental.sparseVhd"], |c| &mut c.sparse_vhd),
        key(&["wsl2.isolateDistroCgroup"], |c| &mut c.isolate_distro_cgroup),
        key(&["wsl2.kernel"], |c| &mut c.without_effect.kernel),
        key(&["wsl2.kernelModules"], |c| &mut c.without_effect.kernel_modules),
        key(&["wsl2.kernelCommandLine"], |c| &mut c.without_effect.kernel_command_line),
        key(&["wsl2.loadKernelModules"], |c| &mut c.without_effect.load_kernel_modules),
        key(&["wsl2.loadDefaultKernelModules"], |c| &mut c.without_effect.load_default_kernel_modules),
        key(&["wsl2.vmSwitch"], |c| &mut c.without_effect.vm_switch),
        key(&["wsl2.macAddress"], |c| &mut c.without_effect.mac_address),
        key(&["wsl2.dhcp"], |c| &mut c.without_effect.dhcp),
        key(&["wsl2.dhcpTimeout"], |c| &mut c.without_effect.dhcp_timeout),
        key(&["wsl2.ipv6"], |c| &mut c.without_effect.ipv6),
        key(&["wsl2.dnsProxy"], |c| &mut c.without_effect.dns_proxy),
        key(&["wsl2.firewall", "experimental.firewall"], |c| &mut c.without_effect.firewall),
        key(&["wsl2.guiApplications"], |c| &mut c.without_effect.gui_applications),
        key(&["wsl2.gpuSupport"], |c| &mut c.without_effect.gpu_support),
        key(&["wsl2.systemDistro"], |c| &mut c.without_effect.system_distro),
        key(&["wsl2.debugConsole"], |c| &mut c.without_effect.debug_console),
        key(&["wsl2.debugConsoleLogFile"], |c| &mut c.without_effect.debug_console_log_file),
        key(&["wsl2.earlyBootLogging"], |c| &mut c.without_effect.early_boot_logging),
        key(&["wsl2.kernelDebugPort"], |c| &mut c.without_effect.kernel_debug_port),
        key(&["wsl2.telemetry"], |c| &mut c.without_effect.telemetry),
        key(&["wsl2.virtio"], |c| &mut c.without_effect.virtio),
        key(&["wsl2.virtio9p"], |c| &mut c.without_effect.virtio9p),
        key(&["wsl2.virtiofs"], |c| &mut c.without_effect.virtiofs),
        key(&["wsl2.hostFileSystemAccess"], |c| &mut c.without_effect.host_file_system_access),
        key(&["wsl2.hardwarePerformanceCounters"], |c| &mut c.without_effect.hardware_performance_counters),
        key(&["experimental.bestEffortDnsParsing"], |c| &mut c.without_effect.best_effort_dns_parsing),
        key(&["experimental.initialAutoProxyTimeout"], |c| &mut c.without_effect.initial_auto_proxy_timeout),
        key(&["experimental.hostAddressLoopback"], |c| &mut c.without_effect.host_address_loopback),
        key(&["experimental.setVersionDebug"], |c| &mut c.without_effect.set_version_debug),
        key(&["experimental.swiotlb"], |c| &mut c.without_effect.swiotlb),
        key(&["experimental.virtioFsAggregateShares"], |c| &mut c.without_effect.virtio_fs_aggregate_shares),
    ];

    fn unresolved() -> Self {
        Self {
            memory: 0,
            processors: 0,
            swap: SWAP_OF_MEMORY,
            swap_file: String::new(),
            networking_mode: NetworkingMode::default(),
            localhost_forwarding: true,
            dns_tunneling: true,
            // Not in 127.0.0.0/8, so that containers can use it too.
            dns_tunneling_ip_address: Some(Ipv4Addr::new(10, 255, 255, 254)),
            auto_proxy: true,
            ignored_ports: BTreeSet::new(),
            nested_virtualization: true,
            vm_idle_timeout: Milliseconds(60_000),
            instance_idle_timeout: None,
            kernel_boot_timeout: Milliseconds(30_000),
            distribution_start_timeout: Milliseconds(60_000),
            mount_device_timeout: Milliseconds(5_000),
            safe_mode: false,
            default_vhd_size: 1 << 40,
            distribution_install_path: String::new(),
            crash_dump_folder: String::new(),
            max_crash_dump_count: 10,
            auto_memory_reclaim: MemoryReclaim::default(),
            sparse_vhd: false,
            isolate_distro_cgroup: true,
            without_effect: WithoutEffect::default(),
        }
    }

    fn resolve(&mut self, host: &HostFacts, warnings: &mut Vec<Warning>) {
        let mut warn = |message| warnings.push(Warning { line: None, message });
        if self.processors == 0 {
            self.processors = host.processors;
        } else if self.processors > host.processors {
            warn(format!(
                "wsl2.processors cannot exceed the number of logical processors on the system ({} > {})",
                self.processors, host.processors
            ));
            self.processors = host.processors;
        }
        self.memory = match self.memory {
            0 => host.memory_bytes / 2,
            wanted => wanted.max(256 * MIB).min(host.memory_bytes),
        };
        if self.swap == SWAP_OF_MEMORY {
            self.swap = (self.memory / 4).div_ceil(GIB) * GIB;
        }
        if self.safe_mode {
            warn("SAFE MODE ENABLED - many features will be disabled".to_owned());
            self.enter_safe_mode();
        }
        self.fit_network();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostFacts = HostFacts { memory_bytes: 10 * GIB, processors: 8 };

    fn read(input: &str) -> Parsed<WslConfig> {
        WslConfig::parse(input.as_bytes(), "F", &HOST)
    }

    #[test]
    fn a_missing_file_says_the_defaults() {
        let parsed = read("");
        assert_eq!((parsed.warnings.len(), parsed.stopped_at), (0, None));
        let values: Vec<String> = WslConfig::KEYS
            .iter()
            .map(|key| (key.names[0], crate::config::get(&parsed.config, key.names[0]).unwrap()))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            values.join(" "),
            "wsl2.memory=5368709120 wsl2.processors=8 wsl2.swap=2147483648 wsl2.networkingMode=Nat \
             wsl2.localhostForwarding=true wsl2.dnsTunneling=true \
             experimental.dnsTunnelingIpAddress=10.255.255.254 wsl2.autoProxy=true \
             wsl2.nestedVirtualization=true wsl2.vmIdleTimeout=60000 wsl2.kernelBootTimeout=30000 \
             wsl2.distributionStartTimeout=60000 wsl2.mountDeviceTimeout=5000 wsl2.safeMode=false \
             wsl2.defaultVhdSize=1099511627776 wsl2.maxCrashDumpCount=10 \
             experimental.autoMemoryReclaim=DropCache experimental.sparseVhd=false \
             wsl2.isolateDistroCgroup=true wsl2.loadDefaultKernelModules=true wsl2.dhcp=true \
             wsl2.dhcpTimeout=5000 wsl2.ipv6=false wsl2.dnsProxy=true wsl2.firewall=true \
             wsl2.guiApplications=true wsl2.gpuSupport=true wsl2.debugConsole=false \
             wsl2.earlyBootLogging=false wsl2.kernelDebugPort=0 wsl2.telemetry=false wsl2.virtio=true \
             wsl2.virtio9p=false wsl2.virtiofs=false wsl2.hostFileSystemAccess=true \
             wsl2.hardwarePerformanceCounters=true experimental.bestEffortDnsParsing=false \
             experimental.initialAutoProxyTimeout=1000 experimental.hostAddressLoopback=false \
             experimental.setVersionDebug=false experimental.swiotlb=0 \
             experimental.virtioFsAggregateShares=true"
        );
    }

    #[test]
    fn swap_follows_the_memory_unless_it_is_given() {
        assert_eq!(read("[wsl2]\nmemory=4GB").config.swap, GIB);
        assert_eq!(read("[wsl2]\nmemory=4097MB").config.swap, 2 * GIB);
        assert_eq!(read("[wsl2]\nmemory=4GB\nswap=1").config.swap, 1);
    }

    #[test]
    fn a_host_with_little_memory_gives_no_more_than_it_has() {
        let host = HostFacts { memory_bytes: 100 * MIB, processors: 1 };
        assert_eq!(WslConfig::parse(b"[wsl2]\nmemory=1", "F", &host).config.memory, 100 * MIB);
    }

    #[test]
    fn safe_mode_is_said_and_done() {
        let parsed = read("[wsl2]\nsafeMode=true\nnetworkingMode=mirrored\nswap=1GB\nkernel=k");
        let said: Vec<&str> = parsed.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(said, ["SAFE MODE ENABLED - many features will be disabled"]);
        let config = parsed.config;
        assert_eq!((config.networking_mode, config.swap), (NetworkingMode::None, 0));
        assert_eq!((config.auto_proxy, config.dns_tunneling_ip_address), (false, None));
        assert_eq!(config.without_effect.kernel, "");
    }

    #[test]
    fn ports_are_ignored_in_mirrored_mode_only() {
        let ports = "[experimental]\nignoredPorts=1,0,2\nhostAddressLoopback=true\n";
        let config = read(ports).config;
        assert!(config.ignored_ports.is_empty() && !config.without_effect.host_address_loopback);
        let parsed = read(&format!("[wsl2]\nnetworkingMode=Mirrored\n{ports}"));
        assert!(parsed.config.ignored_ports.iter().eq(&[1, 2]));
        assert!(parsed.config.without_effect.host_address_loopback);
        assert_eq!(
            parsed.warnings[0].message,
            "Invalid integer value '1,0,2' for key 'experimental.ignoredPorts' in F:4"
        );
    }

    #[test]
    fn the_old_name_of_a_mode_still_counts() {
        let config = read("[experimental]\nnetworkingMode=virtioproxy").config;
        assert_eq!(config.networking_mode, NetworkingMode::Consomme);
    }
}
