//! The drives of Windows in a mount table.

use super::text;

/// Which mounts are drives of Windows, in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountTable {
    mounts: Vec<Mount>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: Vec<u8>,
    /// What of Windows is there, without a separator at its end; nothing for other file systems, which can
    /// lie over a drive.
    source: Option<Vec<u8>>,
}

impl MountTable {
    /// Reads the text of `/proc/self/mountinfo` (proc(5)). Lines that do not have its form are skipped: an
    /// empty source makes one.
    pub fn parse(mountinfo: &[u8]) -> Self {
        Self { mounts: mountinfo.split(|&byte| byte == b'\n').filter_map(mount).collect() }
    }

    /// The drive that holds the Linux path `path`, and how many bytes of the path are its mount point.
    pub(super) fn drive_of(&self, path: &[u8]) -> Option<(&[u8], usize)> {
        let mount = self.mounts.iter().rfind(|mount| text::starts_with(path, &mount.point, b'/', false))?;
        Some((mount.source.as_deref()?, mount.point.len()))
    }

    /// Where the Windows path `path` is mounted, and how many bytes of it that is: the longest match, because
    /// a volume may be mounted in a folder of another one.
    pub(super) fn point_of(&self, path: &[u8]) -> Option<(&[u8], usize)> {
        let covered = |index: usize, point: &[u8]| {
            self.mounts[index + 1..].iter().any(|later| text::starts_with(point, &later.point, b'/', false))
        };
        self.mounts
            .iter()
            .enumerate()
            .filter_map(|(index, mount)| Some((index, mount, mount.source.as_deref()?)))
            .filter(|(_, _, source)| text::starts_with(path, source, b'\\', true))
            .filter(|(index, mount, _)| !covered(*index, &mount.point))
            .max_by_key(|(_, _, source)| source.len())
            .map(|(_, mount, source)| (mount.point.as_slice(), source.len()))
    }
}

/// One line: `36 35 98:0 /root /point options [optional …] - type source super-options`.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
    let (_id, _parent, device) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, point, _options) = (fields.next()?, fields.next()?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    let (kind, source, options) = (fields.next()?, fields.next()?, fields.next()?);
    if !device.contains(&b':') {
        return None;
    }
    let drive = match kind {
        b"drvfs" => Some(text::unify(&unescape(source), b'\\')),
        b"9p" => plan9(options),
        b"virtiofs" => virtiofs(&unescape(source)),
        _ => None,
    };
    let source = drive.map(|drive| {
        let drive = drive.strip_suffix(b"\\").unwrap_or(&drive).to_vec();
        let root = unescape(root);
        if root == b"/" { drive } else { text::unify(&[drive, root].concat(), b'\\') }
    });
    Some(Mount { point: unescape(point), source })
}

/// The Windows path in `rw,aname=drvfs;path=C:\;uid=0,…`.
fn plan9(options: &[u8]) -> Option<Vec<u8>> {
    let name = options.split(|&byte| byte == b',').find_map(|option| option.strip_prefix(b"aname=drvfs"))?;
    let path = name.split(|&byte| byte == b';').find_map(|part| part.strip_prefix(b"path="))?;
    match path {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => Some(text::unify(path, b'\\')),
        _ => Some(text::unify(&[br"\\", path.strip_prefix(br"UNC\")?].concat(), b'\\')),
    }
}

/// The drive of a tag: `drvfsC`, or `drvfsaC` for administrators.
fn virtiofs(tag: &[u8]) -> Option<Vec<u8>> {
    let letter = tag.strip_prefix(b"drvfsa").filter(|rest| rest.len() == 1).or(tag.strip_prefix(b"drvfs"))?;
    match letter {
        [letter] if letter.is_ascii_alphabetic() => Some(vec![letter.to_ascii_uppercase(), b':']),
        _ => None,
    }
}

/// The kernel writes blanks, tabs, line ends and backslashes in names as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &rest[4..] } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: &str =
        "90 80 0:50 / /mnt/c rw,noatime - 9p C:\\134 rw,aname=drvfs;path=C:\\;uid=0;gid=0,trans=fd\n";

    fn points(table: &str, path: &str) -> Option<String> {
        let table = MountTable::parse(table.as_bytes());
        table.point_of(path.as_bytes()).map(|(point, _)| String::from_utf8(point.to_vec()).unwrap())
    }

    fn drive(table: &str, path: &str) -> Option<String> {
        let table = MountTable::parse(table.as_bytes());
        table.drive_of(path.as_bytes()).map(|(drive, _)| String::from_utf8(drive.to_vec()).unwrap())
    }

    #[test]
    fn every_kind_of_drive_is_known() {
        let rows = [
            (C.to_owned(), "C:"),
            ("1 2 0:1 / /mnt/c rw shared:1 master:2 - drvfs C:/data\\040x rw\n".to_owned(), "C:\\data x"),
            ("1 2 0:1 /sub/dir /mnt/c rw - drvfs C:\\134 rw\n".to_owned(), "C:\\sub\\dir"),
            (
                "1 2 0:1 / /mnt/c rw - 9p x rw,aname=drvfs;path=UNC\\server\\share;uid=0\n".to_owned(),
                r"\\server\share",
            ),
            ("1 2 0:1 / /mnt/c rw - virtiofs drvfsC rw\n".to_owned(), "C:"),
            ("1 2 0:1 / /mnt/c rw - virtiofs drvfsad rw\n".to_owned(), "D:"),
            ("1 2 0:1 / /mnt/c rw - virtiofs drvfsa rw\n".to_owned(), "A:"),
        ];
        for (line, expected) in rows {
            assert_eq!(drive(&line, "/mnt/c/x").as_deref(), Some(expected), "{line}");
        }
        for line in
            ["1 2 0:1 / /mnt/c rw - 9p x rw,aname=other;path=C:\\\n", "1 2 0:1 / /mnt/c rw - ext4 C: rw\n"]
        {
            assert_eq!(drive(line, "/mnt/c/x"), None, "{line}");
        }
    }

    #[test]
    fn a_later_mount_hides_an_earlier_one() {
        let tmpfs = |at: &str| format!("99 80 0:60 / {at} rw - tmpfs none rw\n");
        assert_eq!(drive(&format!("{C}{}", tmpfs("/mnt/c/x")), "/mnt/c/x/y"), None);
        assert_eq!(drive(&format!("{C}{}", tmpfs("/mnt/c/x")), "/mnt/c/y").as_deref(), Some("C:"));
        assert_eq!(points(&format!("{C}{}", tmpfs("/mnt")), "C:\\x"), None);
        assert_eq!(points(&format!("{}{C}", tmpfs("/mnt")), "c:\\x").as_deref(), Some("/mnt/c"));
        assert_eq!(points(&format!("{C}{}", tmpfs("/")), "C:\\x").as_deref(), Some("/mnt/c"));
    }

    #[test]
    fn the_longest_drive_wins() {
        let folder = "91 80 0:51 / /mnt/data rw - drvfs C:\\134data rw\n";
        for table in [format!("{C}{folder}"), format!("{folder}{C}")] {
            assert_eq!(points(&table, "C:\\data\\x").as_deref(), Some("/mnt/data"));
            assert_eq!(points(&table, "C:\\other").as_deref(), Some("/mnt/c"));
        }
    }

    #[test]
    fn malformed_lines_are_skipped() {
        for line in [
            "",
            " ",
            "1 2 0:1 / /mnt/c rw - drvfs  rw",
            "1 2 01 / /mnt/c rw - drvfs C: rw",
            "1 2 0:1 / /mnt/c rw",
        ] {
            assert_eq!(MountTable::parse(line.as_bytes()), MountTable::default(), "{line}");
        }
    }
}
