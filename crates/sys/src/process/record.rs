//! The identity of a process that survives the process that noted it.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::exit::pidfd_open;
use crate::error::{Context, Result, SysError};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A process for ever: numbers are used again, but not at the same time of the same boot. Valid in the pid
/// namespace it was made in; needs `/proc` of that namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Its number.
    pub pid: i32,
    /// Its start in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// The boot it belongs to.
    pub boot_id: String,
}

impl ProcessRecord {
    /// The record of a process. It is the meant one if the caller is its parent and has not reaped it, or is
    /// itself.
    pub fn of(pid: i32) -> Result<Self> {
        let stat = read_stat(pid)?
            .ok_or_else(|| SysError::new("identify", format!("process {pid}"), Errno::SRCH))?;
        Ok(Self { pid, start_time: stat.start_time, boot_id: boot_id()? })
    }

    /// Opens the process; `None` when it has ended (also when nobody has reaped it yet) or its number belongs
    /// to another one.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        if boot_id()? != self.boot_id {
            return Ok(None);
        }
        // First the descriptor, then the comparison: if the start time fits now, the descriptor means that
        // process.
        let pidfd = match pidfd_open(self.pid) {
            Ok(pidfd) => pidfd,
            // EINVAL: the number now belongs to a thread that is no process.
            Err(error) if matches!(error.errno(), Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error),
        };
        let same = read_stat(self.pid)?.is_some_and(|stat| !stat.dead && stat.start_time == self.start_time);
        Ok(same.then_some(pidfd))
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    dead: bool,
    start_time: u64,
}

fn boot_id() -> Result<String> {
    Ok(std::fs::read_to_string(BOOT_ID).on("read", BOOT_ID)?.trim_end().to_owned())
}

fn read_stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let text = match std::fs::read(&path).on("read", &path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    parse_stat(&text).map(Some).ok_or_else(|| SysError::new("understand", path, Errno::INVAL))
}

/// The name (field 2) may hold blanks and parentheses, so fields are counted after the last parenthesis.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?; // field 3
    let start_time = fields.nth(18)?.parse().ok()?; // field 22
    Some(Stat { dead: matches!(state, "Z" | "X" | "x"), start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let tail = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8675309 2 3";
        let stat = |name: &str, state: &str| parse_stat(&format!("42 ({name}) {state} {tail}\n"));
        for name in ["sh", "a b", "x) S 9 (y", "((("] {
            assert_eq!(stat(name, "S"), Some(Stat { dead: false, start_time: 8_675_309 }), "{name}");
        }
        assert!(stat("sh", "Z").unwrap().dead);
        assert_eq!(parse_stat("42 (sh) S 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn a_process_is_itself_and_nobody_else() {
        let me = ProcessRecord::of(std::process::id().cast_signed()).unwrap();
        assert!(me.open().unwrap().is_some());
        let other_time = ProcessRecord { start_time: me.start_time + 1, ..me.clone() };
        assert!(other_time.open().unwrap().is_none());
        let other_boot = ProcessRecord { boot_id: "another".to_owned(), ..me.clone() };
        assert!(other_boot.open().unwrap().is_none());
        for pid in [0, -1, i32::MAX] {
            assert!(ProcessRecord { pid, ..me.clone() }.open().unwrap().is_none());
        }
    }
}
