//! Numbers of the refused calls, by architecture: `arch/*/entry/syscalls/*.tbl` and `scripts/syscall.tbl` of Linux.

/// The refused calls of an architecture.
pub(super) struct Calls {
    /// `AUDIT_ARCH_*` of linux/audit.h.
    pub(super) architecture: u32,
    /// They answer EPERM.
    pub(super) forbidden: &'static [u32],
    /// They answer ENOSYS.
    pub(super) absent: &'static [u32],
    /// Numbers from here on belong to another ABI.
    pub(super) foreign_from: Option<u32>,
}

#[cfg(target_arch = "x86_64")]
pub(super) const CALLS: &[Calls] = &[
    Calls {
        architecture: 0xC000_003E,
        forbidden: &[
            246, // kexec_load
            320, // kexec_file_load
            174, // create_module
            175, // init_module
            313, // finit_module
            176, // delete_module
            167, // swapon
            168, // swapoff
            164, // settimeofday
            227, // clock_settime
            305, // clock_adjtime
            159, // adjtimex
            304, // open_by_handle_at
            321, // bpf
            298, // perf_event_open
            163, // acct
            179, // quotactl
            443, // quotactl_fd
            172, // iopl
            173, // ioperm
            103, // syslog
            180, // nfsservctl
            212, // lookup_dcookie
        ],
        absent: &[
            248, // add_key
            249, // request_key
            250, // keyctl
        ],
        // x32
        foreign_from: Some(0x4000_0000),
    },
    Calls {
        architecture: 0x4000_0003,
        forbidden: &[
            283, // kexec_load
            127, // create_module
            128, // init_module
            350, // finit_module
            129, // delete_module
            87,  // swapon
            115, // swapoff
            25,  // stime
            79,  // settimeofday
            264, // clock_settime
            404, // clock_settime64
            343, // clock_adjtime
            405, // clock_adjtime64
            124, // adjtimex
            342, // open_by_handle_at
            357, // bpf
            336, // perf_event_open
            51,  // acct
            131, // quotactl
            443, // quotactl_fd
            110, // iopl
            101, // ioperm
            103, // syslog
            169, // nfsservctl
            253, // lookup_dcookie
        ],
        absent: &[
            286, // add_key
            287, // request_key
            288, // keyctl
        ],
        foreign_from: None,
    },
];

#[cfg(target_arch = "aarch64")]
pub(super) const CALLS: &[Calls] = &[
    Calls {
        architecture: 0xC000_00B7,
        forbidden: &[
            104, // kexec_load
            294, // kexec_file_load
            105, // init_module
            273, // finit_module
            106, // delete_module
            224, // swapon
            225, // swapoff
            170, // settimeofday
            112, // clock_settime
            266, // clock_adjtime
            171, // adjtimex
            265, // open_by_handle_at
            280, // bpf
            241, // perf_event_open
            89,  // acct
            60,  // quotactl
            443, // quotactl_fd
            116, // syslog
            42,  // nfsservctl
            18,  // lookup_dcookie
        ],
        absent: &[
            217, // add_key
            218, // request_key
            219, // keyctl
        ],
        foreign_from: None,
    },
    Calls {
        architecture: 0x4000_0028,
        forbidden: &[
            347, // kexec_load
            401, // kexec_file_load
            128, // init_module
            379, // finit_module
            129, // delete_module
            87,  // swapon
            115, // swapoff
            79,  // settimeofday
            262, // clock_settime
            404, // clock_settime64
            372, // clock_adjtime
            405, // clock_adjtime64
            124, // adjtimex
            371, // open_by_handle_at
            386, // bpf
            364, // perf_event_open
            51,  // acct
            131, // quotactl
            443, // quotactl_fd
            103, // syslog
            169, // nfsservctl
            249, // lookup_dcookie
        ],
        absent: &[
            309, // add_key
            310, // request_key
            311, // keyctl
        ],
        foreign_from: None,
    },
];
