//! Settings of `.wslconfig` that only Windows, or a virtual machine, can follow.

use serde::{Deserialize, Serialize};

use crate::config::value::Milliseconds;

/// Read, checked, edited and shown like all others, so that a file can be shared with Windows. Empty texts
/// are none.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a configuration file, each free of the others"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WithoutEffect {
    /// Path of a kernel.
    pub kernel: String,
    /// Path of a disk with its modules.
    pub kernel_modules: String,
    /// What is added to its command line.
    pub kernel_command_line: String,
    /// Modules to load, separated by commas.
    pub load_kernel_modules: String,
    /// Whether tun, `ip_tables` and `br_netfilter` are loaded.
    pub load_default_kernel_modules: bool,
    /// The switch of the bridged mode.
    pub vm_switch: String,
    /// The hardware address in the bridged mode, not checked.
    pub mac_address: String,
    /// Whether the address comes from DHCP in the bridged mode.
    pub dhcp: bool,
    /// How long that may take.
    pub dhcp_timeout: Milliseconds,
    /// Whether IPv6 is on in the bridged mode.
    pub ipv6: bool,
    /// Whether the name server is the address translation.
    pub dns_proxy: bool,
    /// Whether the host's firewall filters distributions.
    pub firewall: bool,
    /// Whether graphical programs can show windows.
    pub gui_applications: bool,
    /// Whether the graphics processor is passed through.
    pub gpu_support: bool,
    /// Path of a disk with the system distribution.
    pub system_distro: String,
    /// Whether the kernel's messages have a window.
    pub debug_console: bool,
    /// Where the kernel's messages are written.
    pub debug_console_log_file: String,
    /// Whether the kernel's first messages are kept.
    pub early_boot_logging: bool,
    /// The port of the kernel's debugger; 0 for none.
    pub kernel_debug_port: i32,
    /// Whether usage is reported.
    pub telemetry: bool,
    /// Whether virtio devices are used.
    pub virtio: bool,
    /// Whether files are shared by 9p over virtio.
    pub virtio9p: bool,
    /// Whether files are shared by virtiofs.
    pub virtiofs: bool,
    /// Whether files of the host can be reached.
    pub host_file_system_access: bool,
    /// Whether the processor's counters can be read.
    pub hardware_performance_counters: bool,
    /// Whether unknown DNS records are ignored.
    pub best_effort_dns_parsing: bool,
    /// How long the start waits for the host's proxy.
    pub initial_auto_proxy_timeout: Milliseconds,
    /// Whether the host's own addresses reach it in mirrored mode.
    pub host_address_loopback: bool,
    /// Whether a conversion of the version logs more.
    pub set_version_debug: bool,
    /// Size of the bounce buffer, in bytes; 0 for the kernel's.
    pub swiotlb: u64,
    /// Whether shared folders are one device.
    pub virtio_fs_aggregate_shares: bool,
}

impl Default for WithoutEffect {
    fn default() -> Self {
        Self {
            kernel: String::new(),
            kernel_modules: String::new(),
            kernel_command_line: String::new(),
            load_kernel_modules: String::new(),
            load_default_kernel_modules: true,
            vm_switch: String::new(),
            mac_address: String::new(),
            dhcp: true,
            dhcp_timeout: Milliseconds(5_000),
            ipv6: false,
            dns_proxy: true,
            firewall: true,
            gui_applications: true,
            gpu_support: true,
            system_distro: String::new(),
            debug_console: false,
            debug_console_log_file: String::new(),
            early_boot_logging: false,
            kernel_debug_port: 0,
            telemetry: false,
            virtio: true,
            virtio9p: false,
            virtiofs: false,
            host_file_system_access: true,
            hardware_performance_counters: true,
            best_effort_dns_parsing: false,
            initial_auto_proxy_timeout: Milliseconds(1_000),
            host_address_loopback: false,
            set_version_debug: false,
            swiotlb: 0,
            virtio_fs_aggregate_shares: true,
        }
    }
}

impl WithoutEffect {
    pub(super) fn enter_safe_mode(&mut self) {
        self.kernel.clear();
        self.kernel_modules.clear();
        self.gpu_support = false;
        self.gui_applications = false;
        self.hardware_performance_counters = false;
        self.host_file_system_access = false;
        self.virtio = false;
    }
}
