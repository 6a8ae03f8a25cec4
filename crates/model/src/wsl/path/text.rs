//! Paths of both kinds as bytes: separators, dots, prefixes.

/// One kind of separator, and no two in a row but at the very beginning (`\\server`).
pub(super) fn unify(path: &[u8], separator: u8) -> Vec<u8> {
    let mut unified = Vec::with_capacity(path.len());
    for &byte in path {
        if !is_separator(byte) {
            unified.push(byte);
        } else if unified.len() < 2 || unified.last() != Some(&separator) {
            unified.push(separator);
        }
    }
    unified
}

/// `path` with `/` for both kinds of separator.
pub(super) fn slashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|&byte| if is_separator(byte) { b'/' } else { byte }).collect()
}

/// `path` without empty and dot segments, or nothing if `..` leads above the first separator. What is before
/// that stays. A separator at the end stays, and a dot segment at the end leaves one.
pub(super) fn collapse(path: &[u8], separator: u8) -> Option<Vec<u8>> {
    let mut segments = path.split(|&byte| byte == separator);
    let mut collapsed = segments.next().unwrap_or_default().to_vec();
    let mut names = Vec::new();
    let mut open = false;
    for segment in segments {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    for name in names {
        collapsed.push(separator);
        collapsed.extend_from_slice(name);
    }
    if open {
        collapsed.push(separator);
    }
    Some(collapsed)
}

/// Whether `path` is `prefix`, or goes on below it.
pub(super) fn starts_with(path: &[u8], prefix: &[u8], separator: u8, ignore_case: bool) -> bool {
    let Some((start, rest)) = path.split_at_checked(prefix.len()) else { return false };
    let same = if ignore_case { start.eq_ignore_ascii_case(prefix) } else { start == prefix };
    same && !prefix.is_empty() && rest.first().is_none_or(|&byte| byte == separator)
}

/// Whether `path` begins with a drive or is a network path. At least three characters, as there.
pub(in crate::wsl) fn is_absolute_windows(path: &[u8]) -> bool {
    match path {
        [first, second, _, ..] => {
            (is_separator(*first) && is_separator(*second))
                || (first.is_ascii_alphabetic() && *second == b':')
        }
        _ => false,
    }
}

/// `path`, relative to the folder `cwd` or (with a `\` first) to its drive.
pub(super) fn join_windows(cwd: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    match (path, cwd) {
        ([b'\\', ..], [letter, b':', ..]) if letter.is_ascii_alphabetic() => Some([&cwd[..2], path].concat()),
        ([b'\\', ..], _) => None,
        _ => Some([cwd, b"\\", path].concat()),
    }
}

/// An absolute Windows path without dots and without `\\?\`.
pub(super) fn canonical_windows(path: &[u8]) -> Option<Vec<u8>> {
    match path {
        [b'\\', b'\\', b'?', b'\\', long @ ..] => collapse(long, b'\\'),
        [b'\\', b'\\', network @ ..] => Some([br"\\", collapse(network, b'\\')?.as_slice()].concat()),
        [_, b':', b'\\', ..] => collapse(path, b'\\'),
        _ => None,
    }
}

/// `path` relative to `folder`, if it is below.
pub(super) fn below(path: &[u8], folder: &[u8]) -> Vec<u8> {
    match path.strip_prefix(folder) {
        Some([]) => b".".to_vec(),
        Some([first, rest @ ..]) if is_separator(*first) => {
            if rest.is_empty() {
                b".".to_vec()
            } else {
                rest.to_vec()
            }
        }
        _ => path.to_vec(),
    }
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_doubled_separators_collapse() {
        let rows: [(&str, Option<&str>); 10] = [
            ("/", Some("/")),
            ("//a///b", Some("/a/b")),
            ("/a/./b/", Some("/a/b/")),
            ("/a/.", Some("/a/")),
            ("/a/b/..", Some("/a/")),
            ("/a/./..", Some("/")),
            ("/a/b/../../c", Some("/c")),
            ("/..", None),
            ("/a/../../b", None),
            ("C:", Some("C:")),
        ];
        for (path, expected) in rows {
            assert_eq!(collapse(path.as_bytes(), b'/').as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn only_the_start_of_a_network_path_keeps_two_separators() {
        assert_eq!(unify(b"//server//share/x", b'\\'), br"\\server\share\x");
        assert_eq!(unify(br"C:\\x\/y", b'/'), b"C:/x/y");
    }

    #[test]
    fn a_prefix_ends_at_a_separator() {
        assert!(starts_with(b"/mnt/c", b"/mnt/c", b'/', false));
        assert!(starts_with(b"C:\\x", b"c:", b'\\', true));
        assert!(!starts_with(b"/mnt/cd", b"/mnt/c", b'/', false));
        assert!(!starts_with(b"/mnt", b"", b'/', false));
    }
}
