//! `WSLENV`: which variables go from one side to the other, and how.
//!
//! `NAME[/flags]:…` with the flags `p` and `l` (a path, or a list of them; treated alike), `u` (only into
//! Linux) and `w` (only out of it). Rules: microsoft/WSL `src/linux/init/util.cpp`, `UtilParseWslEnv` and
//! `UtilTranslatePathList`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::session::Variable;

/// Name of the variable itself.
pub const NAME: &str = "WSLENV";

/// Which way variables go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the host into a distribution.
    IntoLinux,
    /// From a distribution to the host.
    OutOfLinux,
}

/// How the host writes paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPaths {
    /// `C:\a;C:\b`
    Windows,
    /// `/a:/b`
    Linux,
}

/// The variables that `WSLENV` names, in its order, with the values that `lookup` finds. `WSLENV` itself is
/// always the first. One that is named but not set goes as empty; entries with unknown flags are skipped, for
/// flags to come.
pub fn select(direction: Direction, lookup: impl Fn(&OsStr) -> Option<OsString>) -> Vec<Variable> {
    let list = lookup(OsStr::new(NAME)).unwrap_or_default();
    let own = Variable { name: NAME.into(), value: list.clone().into(), paths: false };
    let entries = list.as_bytes().trim_ascii_end().split(|&byte| byte == b':');
    let variables = entries.filter_map(|entry| {
        let (name, paths) = understand(entry, direction)?;
        let value = lookup(name);
        let paths = paths && value.is_some();
        Some(Variable { name: name.into(), value: value.unwrap_or_default().into(), paths })
    });
    std::iter::once(own).chain(variables).collect()
}

/// Name of an entry that goes this way, and whether its value is paths.
fn understand(entry: &[u8], direction: Direction) -> Option<(&OsStr, bool)> {
    let slash = entry.iter().position(|&byte| byte == b'/').unwrap_or(entry.len());
    let name = OsStr::from_bytes(&entry[..slash]);
    let mut paths = false;
    for flag in entry.iter().skip(slash + 1) {
        match (flag, direction) {
            (b'p' | b'l', _) => paths = true,
            (b'u', Direction::IntoLinux) | (b'w', Direction::OutOfLinux) => {}
            _ => return None,
        }
    }
    is_name(name).then_some((name, paths))
}

/// Whether a variable can have this name.
pub(super) fn is_name(name: &OsStr) -> bool {
    !name.is_empty() && !name.as_bytes().iter().any(|byte| matches!(byte, b'=' | 0))
}

/// A list of paths after its translation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translated {
    /// The list on the other side; nothing when no path of it has a translation: the variable is not set
    /// then.
    pub list: Option<OsString>,
    /// What has no translation. Worth a warning: `Failed to translate '…'`.
    pub failed: Vec<OsString>,
}

/// Translates a list of paths with `path`, which does one. Relative paths of the host mean nothing inside and
/// are dropped without a word.
pub fn translate(
    list: &OsStr,
    direction: Direction,
    host: HostPaths,
    path: impl Fn(&OsStr) -> Option<OsString>,
) -> Translated {
    let on_host = if host == HostPaths::Windows { b';' } else { b':' };
    let (from, to) = match direction {
        Direction::IntoLinux => (on_host, b':'),
        Direction::OutOfLinux => (b':', on_host),
    };
    let wanted =
        |item: &&[u8]| !item.is_empty() && (direction == Direction::OutOfLinux || host.is_absolute(item));
    let mut translated = Vec::new();
    let mut failed = Vec::new();
    for item in list.as_bytes().split(|&byte| byte == from).filter(wanted) {
        let item = OsStr::from_bytes(item);
        match path(item).filter(|path| !path.is_empty()) {
            Some(path) => translated.push(path.into_vec()),
            None => failed.push(item.to_owned()),
        }
    }
    let list = (!translated.is_empty()).then(|| OsString::from_vec(translated.join(&to)));
    Translated { list, failed }
}

/// Name and value of each of `variables`, with `path` applied to those that are paths; and what could not be
/// translated.
pub fn apply(
    variables: &[Variable],
    direction: Direction,
    host: HostPaths,
    path: impl Fn(&OsStr) -> Option<OsString>,
) -> (Vec<(OsString, OsString)>, Vec<OsString>) {
    let mut applied = Vec::new();
    let mut failed = Vec::new();
    for variable in variables {
        let (name, value) = (variable.name.as_os_str(), variable.value.as_os_str());
        let value = if variable.paths {
            let mut translated = translate(value, direction, host, &path);
            failed.append(&mut translated.failed);
            translated.list
        } else {
            Some(value.to_owned())
        };
        applied.extend(value.map(|value| (name.to_owned(), value)));
    }
    (applied, failed)
}

impl HostPaths {
    fn is_absolute(self, path: &[u8]) -> bool {
        match self {
            Self::Windows => crate::wsl::path::is_absolute_windows(path),
            Self::Linux => path.starts_with(b"/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str, direction: Direction) -> Vec<String> {
        let lookup = |name: &OsStr| Some(if name == NAME { list.into() } else { OsString::from("v") });
        let selected = select(direction, lookup);
        selected
            .iter()
            .skip(1)
            .map(|variable| format!("{}{}", variable.name.display(), variable.paths))
            .collect()
    }

    #[test]
    fn flags_say_which_way() {
        let list = "a:b/u:c/w:d/p:e/up:f/x:g/p/:::/u: h";
        assert_eq!(names(list, Direction::IntoLinux), ["afalse", "bfalse", "dtrue", "etrue", " hfalse"],);
        assert_eq!(names(list, Direction::OutOfLinux), ["afalse", "cfalse", "dtrue", " hfalse"]);
    }

    #[test]
    fn unset_variables_go_as_empty_and_blanks_at_the_end_do_not_count() {
        let lookup = |name: &OsStr| (name == NAME).then(|| OsString::from("gone/p \n"));
        let selected = select(Direction::IntoLinux, lookup);
        let (applied, failed) = apply(&selected, Direction::IntoLinux, HostPaths::Linux, |_| None);
        assert_eq!(applied, [(NAME.into(), "gone/p \n".into()), ("gone".into(), "".into())]);
        assert!(failed.is_empty());
        assert_eq!(select(Direction::IntoLinux, |_| None).len(), 1);
    }

    #[test]
    fn lists_lose_what_has_no_translation() {
        let path = |path: &OsStr| (path != "/no").then(|| [OsStr::new("/in"), path].into_iter().collect());
        let host = |list: &str| translate(OsStr::new(list), Direction::IntoLinux, HostPaths::Linux, path);
        assert_eq!(
            host("/a:rel::/no:/b"),
            Translated { list: Some("/in/a:/in/b".into()), failed: vec!["/no".into()] }
        );
        assert_eq!(host(""), Translated::default());
        let out = translate(OsStr::new("/a:b"), Direction::OutOfLinux, HostPaths::Windows, path);
        assert_eq!(out.list, Some("/in/a;/inb".into()));
    }
}
