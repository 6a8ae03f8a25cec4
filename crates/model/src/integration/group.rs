//! The group `docker` in `/etc/group` and `/etc/gshadow`, edited as text: a distribution may have no tool for it.
//!
//! All that is not ours stays byte for byte, and what was added can be taken out again although others have edited the file
//! meanwhile. Lines that no library would take for a group (group(5), gshadow(5)) are nobody's.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The group whose members may use the Docker socket.
pub const GROUP: &str = "docker";

/// More than a file of groups or users has, in bytes. A longer one is not read.
pub const TABLE_MAX: u64 = 1 << 20;

/// Numbers of groups that tools give to services, from the highest down (`SYS_GID_MAX`, `SYS_GID_MIN` of login.defs(5)).
const SYSTEM_GIDS: std::ops::RangeInclusive<u32> = 101..=999;

/// What was added to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Added {
    /// The group.
    Line {
        /// Its line, without the newline.
        text: String,
        /// The file did not end with a newline; one was added.
        newline_before: bool,
    },
    /// A member of the group that was there.
    Member {
        /// Name of the user.
        user: String,
    },
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `/etc/group`; the number is that of a group that is made.
    Group(u32),
    /// `/etc/gshadow`.
    Shadow,
}

/// Adds the group, and the user to it. Nothing if both are there already.
pub fn add(file: &[u8], table: Table, user: Option<&str>) -> Option<(Vec<u8>, Added)> {
    if let Some(members) = members(file, table) {
        let user = user?;
        if names(&file[members.clone()]).any(|name| name == user.as_bytes()) {
            return None;
        }
        // In front: behind the last name there may be the half of a foreign line ending.
        let comma = if members.is_empty() { "" } else { "," };
        let inserted = format!("{user}{comma}");
        let edited = [&file[..members.start], inserted.as_bytes(), &file[members.start..]].concat();
        return Some((edited, Added::Member { user: user.to_owned() }));
    }
    let user = user.unwrap_or_default();
    let text = match table {
        Table::Group(gid) => format!("{GROUP}:x:{gid}:{user}"),
        Table::Shadow => format!("{GROUP}:!::{user}"),
    };
    // What NIS adds (`+`) comes last, and nothing behind it is sure to be read.
    let nis = lines(file).find(|line| file[line.clone()].starts_with(b"+")).map(|line| line.start);
    let at = nis.unwrap_or(file.len());
    let newline_before = at > 0 && file[at - 1] != b'\n';
    let before: &[u8] = if newline_before { b"\n" } else { b"" };
    let edited = [&file[..at], before, text.as_bytes(), b"\n", &file[at..]].concat();
    Some((edited, Added::Line { text, newline_before }))
}

/// Takes out what was added. Nothing if it is not there any more, or not as it was.
pub fn remove(file: &[u8], added: &Added) -> Option<Vec<u8>> {
    match added {
        Added::Line { text, newline_before } => {
            let line = lines(file).find(|line| file[line.clone()] == *text.as_bytes())?;
            let end = (line.end + 1).min(file.len());
            let is_last = end == file.len();
            let start = if *newline_before && is_last { line.start.saturating_sub(1) } else { line.start };
            Some([&file[..start], &file[end..]].concat())
        }
        Added::Member { user } => lines(file).find_map(|line| {
            let members = members_of(file, line)?;
            let mut left: Vec<&[u8]> = names(&file[members.clone()]).collect();
            let place = left.iter().position(|name| *name == user.as_bytes())?;
            left.remove(place);
            let left = left.join(&b','.to_owned());
            Some([&file[..members.start], &left, &file[members.end..]].concat())
        }),
    }
}

/// A number for a new group: neither a group nor a user's has it.
pub fn free_gid(group: &[u8], passwd: &[u8]) -> Option<u32> {
    let number = |line: &[u8], field: usize| {
        std::str::from_utf8(line.split(|&byte| byte == b':').nth(field)?).ok()?.trim().parse::<u32>().ok()
    };
    let of = |file: &[u8], field| {
        lines(file).filter_map(|line| number(&file[line], field)).collect::<BTreeSet<u32>>()
    };
    let taken: BTreeSet<u32> = of(group, 2).union(&of(passwd, 3)).copied().collect();
    SYSTEM_GIDS.rev().find(|gid| !taken.contains(gid))
}

/// Where the members of the group are; none: there is no such group. Of two, the first counts.
fn members(file: &[u8], table: Table) -> Option<Range<usize>> {
    lines(file).find_map(|line| {
        let numbered = |line: &[u8]| {
            let gid = line.split(|&byte| byte == b':').nth(2).and_then(|gid| std::str::from_utf8(gid).ok());
            gid.is_some_and(|gid| gid.parse::<u32>().is_ok())
        };
        let is_group = table == Table::Shadow || numbered(&file[line.clone()]);
        is_group.then(|| members_of(file, line)).flatten()
    })
}

/// Where the members are in a line of the group.
fn members_of(file: &[u8], line: Range<usize>) -> Option<Range<usize>> {
    let text = &file[line.clone()];
    let is_ours = text.strip_prefix(GROUP.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
    let fields = text.split(|&byte| byte == b':').count();
    if !is_ours || fields != 4 || text.contains(&0) {
        return None;
    }
    let last = text.iter().rposition(|&byte| byte == b':')?;
    Some(line.start + last + 1..line.end)
}

fn names(members: &[u8]) -> impl Iterator<Item = &[u8]> {
    members.split(|&byte| byte == b',')
}

/// Where each line is, without its newline.
fn lines(file: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    file.split_inclusive(|&byte| byte == b'\n').map(move |line| {
        let from = start;
        start += line.len();
        from..start - usize::from(line.ends_with(b"\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    /// What becomes of a file, which must be the same again afterwards.
    #[track_caller]
    fn added(file: &[u8], table: Table, user: Option<&str>) -> String {
        let (edited, what) = add(file, table, user).expect("something is added");
        assert_eq!(remove(&edited, &what).map(|bytes| text(&bytes)), Some(text(file)));
        assert_eq!(add(&edited, table, user), None, "a second time");
        text(&edited)
    }

    #[test]
    fn a_group_is_added_and_taken_out() {
        let group = Table::Group(999);
        for (before, after) in [
            (&b"root:x:0:\n"[..], "root:x:0:\\ndocker:x:999:ann\\n"),
            (b"root:x:0:", "root:x:0:\\ndocker:x:999:ann\\n"),
            (b"", "docker:x:999:ann\\n"),
            (b"\n\n", "\\n\\ndocker:x:999:ann\\n"),
            (b"root:x:0:\r\n", "root:x:0:\\r\\ndocker:x:999:ann\\n"),
            (b"root:x:0:\n+:::\n", "root:x:0:\\ndocker:x:999:ann\\n+:::\\n"),
            (b"+", "docker:x:999:ann\\n+"),
            (b"#docker:x:1:\ndocker2:x:2:\n", "#docker:x:1:\\ndocker2:x:2:\\ndocker:x:999:ann\\n"),
            // Nobody takes these for the group.
            (b"docker:x:one:\n", "docker:x:one:\\ndocker:x:999:ann\\n"),
            (b"docker:x:5\n", "docker:x:5\\ndocker:x:999:ann\\n"),
            (b"docker:x:5:a:b\n", "docker:x:5:a:b\\ndocker:x:999:ann\\n"),
            (b"docker:x:5:\0\n", "docker:x:5:\\x00\\ndocker:x:999:ann\\n"),
        ] {
            assert_eq!(added(before, group, Some("ann")), after);
        }
        assert_eq!(added(b"a:x:1:\n", group, None), "a:x:1:\\ndocker:x:999:\\n");
        assert_eq!(added(b"a:*::\n", Table::Shadow, Some("ann")), "a:*::\\ndocker:!::ann\\n");
    }

    #[test]
    fn a_member_is_added_and_taken_out() {
        for (before, after) in [
            (&b"docker:x:5:\n"[..], "docker:x:5:ann\\n"),
            (b"docker:x:5:bob", "docker:x:5:ann,bob"),
            (b"docker:x:5:\r\n", "docker:x:5:ann,\\r\\n"),
            (b"docker:x:5:,\n", "docker:x:5:ann,,\\n"),
            (b"docker:x:5:annika\n", "docker:x:5:ann,annika\\n"),
            (
                b"docker:x:one:\ndocker:x:5:b\ndocker:x:6:\n",
                "docker:x:one:\\ndocker:x:5:ann,b\\ndocker:x:6:\\n",
            ),
        ] {
            assert_eq!(added(before, Table::Group(999), Some("ann")), after);
        }
        assert_eq!(added(b"docker:!:ann:\n", Table::Shadow, Some("ann")), "docker:!:ann:ann\\n");
        assert_eq!(add(b"docker:x:5:bob,ann,c\n", Table::Group(1), Some("ann")), None);
        assert_eq!(add(b"docker:x:5:\n", Table::Group(1), None), None);
    }

    #[test]
    fn what_others_have_written_since_stays() {
        let (edited, line) = add(b"a:x:1:", Table::Group(999), Some("ann")).unwrap();
        let more = [&edited[..], b"b:x:2:\n"].concat();
        assert_eq!(text(&remove(&more, &line).unwrap()), "a:x:1:\\nb:x:2:\\n");
        assert_eq!(remove(b"a:x:1:\ndocker:x:999:ann,bob\n", &line), None, "somebody uses it");
        assert_eq!(remove(b"a:x:1:\n", &line), None);
        let member = Added::Member { user: "ann".to_owned() };
        let several = b"docker:x:5:bob,ann,c\ndocker:x:6:ann\n";
        assert_eq!(text(&remove(several, &member).unwrap()), "docker:x:5:bob,c\\ndocker:x:6:ann\\n");
        assert_eq!(remove(b"docker:x:5:bob\n", &member), None);
    }

    #[test]
    fn long_files_are_only_longer() {
        let mut file = Vec::new();
        for number in 0..50_000 {
            file.extend(format!("g{number}:x:{}:{}\n", 100_000 + number, "u,".repeat(9)).into_bytes());
        }
        file.extend(format!("docker:x:7:{}", "user,".repeat(50_000)).into_bytes());
        assert!(added(&file, Table::Group(999), Some("ann")).contains("docker:x:7:ann,user,user"));
    }

    #[test]
    fn numbers_are_free_ones() {
        assert_eq!(free_gid(b"", b""), Some(999));
        assert_eq!(free_gid(b"a:x:999:\nb:x: 998 :\nc:x:0996:\nodd\n+:::\n", b"u:x:1:997:::\n"), Some(995));
        let all = (101..=999).fold(String::new(), |file, gid| file + &format!("g{gid}:x:{gid}:\n"));
        assert_eq!(free_gid(all.as_bytes(), b""), None);
    }
}
