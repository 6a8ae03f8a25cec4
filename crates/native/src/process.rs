//! Processes that outlive the service: found again by identity, never by number alone.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use sampan_model::guest::ProcessId;
use sampan_sys::SysError;
use sampan_sys::process::{self, ProcessRecord, Signal};

/// The kernel needs this long at most to take a killed process apart, unless it hangs in a driver.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Opens the process if it still is the one that was recorded.
pub(crate) fn open(id: &ProcessId) -> Result<Option<OwnedFd>, SysError> {
    ProcessRecord { pid: id.pid, start_time: id.start_time, boot_id: id.boot_id.clone() }.open()
}

/// Kills a process and waits until it is gone, with its pid namespace if it is the first of one. False: it is stuck.
pub(crate) fn kill(pidfd: &OwnedFd) -> Result<bool, SysError> {
    process::pidfd_send_signal(pidfd, Signal::KILL)?;
    process::wait_exit(pidfd, Some(KILL_LIMIT))
}

/// Kills processes that nothing but a cgroup tells of, and waits until they are gone. False: one is stuck.
pub(crate) fn kill_all(pids: &[i32]) -> Result<bool, SysError> {
    let mut ended = true;
    // All are opened first: PID 1 of a namespace takes the others with it, and their numbers may be given away.
    let opened: Vec<OwnedFd> = pids.iter().filter_map(|pid| process::pidfd_open(*pid).ok()).collect();
    for pidfd in &opened {
        ended &= kill(pidfd)?;
    }
    Ok(ended)
}

/// Reads a record of what runs. One that can't be read is as good as none: what it named is looked for by other means.
pub(crate) fn read_record<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Writes a record of what runs.
pub(crate) fn write_record<T: serde::Serialize>(path: &Path, record: &T) -> Result<(), SysError> {
    let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
    sampan_sys::fs::write_atomic(path, &text, 0o600)
}
