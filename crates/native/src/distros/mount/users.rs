//! Who uses a mounted disk.

use std::fs;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use sampan_sys::mount::mountinfo;

use crate::cgroup::{self, user_folder};
use crate::distro::Running;
use crate::platform::Native;

/// The device of a file system: major and minor number.
pub(super) type Number = (u32, u32);

/// A process of a user's distribution that works in the file system or has something of it open, in words.
pub(super) fn with_open_files(native: &Native, device: Number) -> Option<String> {
    find(native, |pid| has_open(pid, device))
}

/// A process of a user's distribution that sees the file system mounted, in words: of interest once it is unmounted where
/// it was mounted for all.
pub(super) fn with_mounts(native: &Native, device: Number) -> Option<String> {
    find(native, |pid| has_open(pid, device)).or_else(|| find(native, |pid| has_mounted(pid, device)))
}

fn find(native: &Native, uses: impl Fn(i32) -> bool) -> Option<String> {
    let host = cgroup::Host::detect().ok()?;
    let instance = native.instance.cgroup();
    let running = Running::all(&native.instance);
    running.iter().filter(|running| running.is_user_s()).find_map(|running| {
        let members = host.members(&instance, Some(&user_folder(running.guid()))).ok()?;
        let pid = members.into_iter().find(|pid| uses(*pid))?;
        let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(format!("used by {} (process {}) in {}", program.trim(), inner_number(pid), running.name()))
    })
}

/// Whether a process works in it, runs a program of it, or has a file of it open or mapped.
fn has_open(pid: i32, device: Number) -> bool {
    let folder = format!("/proc/{pid}");
    let folder = Path::new(&folder);
    let open = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut links = ["cwd", "root", "exe"].map(|name| folder.join(name)).into_iter().chain(open);
    links.any(|link| is_on(&link, device)) || is_mapped(&folder.join("maps"), device)
}

/// Does not wait for a file system that does not answer.
fn is_on(link: &Path, device: Number) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    statx(CWD, link, flags, StatxFlags::empty()).is_ok_and(|found| {
        // The device itself may be open, too.
        (found.stx_dev_major, found.stx_dev_minor) == device
            || (found.stx_rdev_major, found.stx_rdev_minor) == device
    })
}

/// `address rights offset major:minor inode path`, the numbers hexadecimal (proc(5)).
fn is_mapped(maps: &Path, device: Number) -> bool {
    let number = format!("{:02x}:{:02x}", device.0, device.1);
    let text = fs::read(maps).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().any(|line| line.split(' ').nth(3) == Some(&number))
}

fn has_mounted(pid: i32, device: Number) -> bool {
    let table = mountinfo(Some(pid)).unwrap_or_default();
    table.iter().any(|entry| (entry.major, entry.minor) == device)
}

/// The number of a process in the innermost of its pid namespaces, which is the one that its user sees.
fn inner_number(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.and_then(|numbers| numbers.split_whitespace().last()).map_or_else(|| pid.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn this_process_uses_the_disk_of_its_program() {
        let me = std::process::id().cast_signed();
        let device = fs::metadata("/proc/self/exe").unwrap().dev();
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        assert!(has_open(me, device));
        assert!(!has_open(me, (4095, 1)) && !has_mounted(me, (4095, 1)));
        assert_eq!(inner_number(me), me.to_string());
    }
}
