//! The mount table of a process.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::error::{Context, Result};

/// One line of a mount table. Paths are as seen from the root of the process whose table it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// Identity while it is mounted; used again afterwards.
    pub mount_id: u32,
    /// Identity of the mount it sits on.
    pub parent_id: u32,
    /// Major number of the file system's device.
    pub major: u32,
    /// Minor number of the file system's device.
    pub minor: u32,
    /// The folder of the file system that is visible.
    pub root: PathBuf,
    /// Where it is visible.
    pub mount_point: PathBuf,
    /// Options of this mount (`ro,nosuid,…`).
    pub options: String,
    /// Peer group, if it is shared.
    pub shared: Option<u32>,
    /// Peer group it is a slave of.
    pub master: Option<u32>,
    /// Type of the file system.
    pub fstype: String,
    /// Device or whatever was named as the source.
    pub source: OsString,
    /// Options of the file system (`rw,discard,…`).
    pub super_options: String,
}

/// The mount table of a process, or of the calling one. In the order of mounting; of several at one place the
/// last is on top.
pub fn mountinfo(pid: Option<i32>) -> Result<Vec<MountEntry>> {
    let path = pid.map_or_else(|| "/proc/self/mountinfo".to_owned(), |pid| format!("/proc/{pid}/mountinfo"));
    Ok(parse_mountinfo(&std::fs::read(&path).on("read", &path)?))
}

/// The same by a descriptor of a `/proc`, for a caller that has moved to a mount namespace without one.
pub fn mountinfo_at(proc: impl AsFd, pid: i32) -> Result<Vec<MountEntry>> {
    let path = format!("{pid}/mountinfo");
    let fd = rustix::fs::openat(proc, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .on("read", format!("/proc/{path}"))?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(fd), &mut bytes)
        .on("read", format!("/proc/{path}"))?;
    Ok(parse_mountinfo(&bytes))
}

/// Parses a mount table; lines that are none are left out.
pub fn parse_mountinfo(table: &[u8]) -> Vec<MountEntry> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// `id parent major:minor root mount-point options [optional fields…] - fstype source super-options`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mount_id = number(fields.next()?)?;
    let parent_id = number(fields.next()?)?;
    let (major, minor) = str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    let root = PathBuf::from(decode(fields.next()?));
    let mount_point = PathBuf::from(decode(fields.next()?));
    let options = text(fields.next()?);
    let optional: Vec<&[u8]> = fields.by_ref().take_while(|field| *field != b"-").collect();
    let group = |key: &[u8]| optional.iter().find_map(|field| number(field.strip_prefix(key)?));
    let (shared, master) = (group(b"shared:"), group(b"master:"));
    let fstype = text(fields.next()?);
    let source = decode(fields.next()?);
    let super_options = text(fields.next()?);
    Some(MountEntry {
        mount_id,
        parent_id,
        major,
        minor,
        root,
        mount_point,
        options,
        shared,
        master,
        fstype,
        source,
        super_options,
    })
}

fn number(field: &[u8]) -> Option<u32> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> String {
    decode(field).to_string_lossy().into_owned()
}

/// The kernel writes blank, tab, newline and backslash as `\` and three octal digits.
fn decode(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits = (*first == b'\\').then(|| tail.get(..3).and_then(octal)).flatten();
        bytes.push(digits.unwrap_or(*first));
        rest = if digits.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().all(u8::is_ascii_digit).then(|| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
22 1 0:21 / /with\\040blank\\011tab\\134back ro shared:200 master:8 propagate_from:2 - tmpfs a\\040b rw
not a mount
40 35 7:3 / /plain rw - ext4 /dev/loop3 rw
41 35 7:3 / /cut rw - ext4
";

    #[test]
    fn lines_are_parsed_and_malformed_ones_skipped() {
        let entries = parse_mountinfo(TABLE);
        assert_eq!(entries.len(), 3);
        let [first, second, third] = &entries[..] else { panic!() };
        assert_eq!((first.mount_id, first.parent_id, first.major, first.minor), (36, 35, 98, 0));
        assert_eq!((first.root.to_str(), first.mount_point.to_str()), (Some("/mnt1"), Some("/mnt2")));
        assert_eq!((first.shared, first.master), (None, Some(1)));
        assert_eq!((first.fstype.as_str(), first.super_options.as_str()), ("ext3", "rw,errors=continue"));
        assert_eq!(second.mount_point, PathBuf::from("/with blank\ttab\\back"));
        assert_eq!((second.shared, second.master), (Some(200), Some(8)));
        assert_eq!((second.source.to_str(), second.options.as_str()), (Some("a b"), "ro"));
        assert_eq!((third.shared, third.master), (None, None));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(decode(b"a\\b\\08\\999\\"), "a\\b\\08\\999\\");
        assert_eq!(decode(b"\\040"), " ");
    }

    #[test]
    fn the_own_table_has_a_root() {
        assert!(mountinfo(None).unwrap().iter().any(|entry| entry.mount_point.as_os_str() == "/"));
    }
}
