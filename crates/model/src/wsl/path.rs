//! `wslpath`: paths from one side to the other, as text.
//!
//! Windows to Linux never looks at a file; Linux to Windows follows links where the path exists, through a
//! function that the caller gives. Rules: microsoft/WSL `src/linux/init/wslpath.cpp`, `util.cpp`
//! (`UtilWinPathTranslate`), `escape.cpp`. One is stricter here: `/a/./..` is `/`, where WSL takes the dot
//! for a folder.

mod command;
mod escape;
mod mounts;
mod shared;
mod text;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub use command::{USAGE, run};
pub use mounts::MountTable;
pub use shared::SharedFolders;
pub(super) use text::is_absolute_windows;

/// How Windows names the files of distributions: `\\wsl.localhost\NAME\…`.
const SHARE: &[u8] = br"\\wsl.localhost\";
/// The older name of the same, understood but not written.
const OLD_SHARE: &[u8] = br"\\wsl$\";

/// What a path is translated to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `-u`: from Windows to Linux.
    Linux,
    /// `-w`: from Linux to Windows.
    Windows,
    /// `-m`: from Linux to Windows, with `/` instead of `\`.
    Mixed,
}

/// Where a path is looked at from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The drives of Windows that are mounted.
    pub mounts: &'a MountTable,
    /// Name of the distribution.
    pub distribution: &'a str,
    /// The working directory, absolute.
    pub cwd: &'a Path,
}

/// Why a path has no translation. The text is that of strerror(3): the path itself is printed before it.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It means nothing on the other side.
    #[error("Invalid argument")]
    Invalid,
    /// It could not be resolved.
    #[error("{}", strerror(.0))]
    Unresolved(io::Error),
}

/// Translates `path`.
///
/// A relative path stays relative if what it names is below the working directory, and `absolute` does not
/// say otherwise. `realpath` is realpath(3) for absolute paths; it is asked only on the way to Windows, and a
/// path that it does not find is taken as it is written.
pub fn translate(
    path: &OsStr,
    form: Form,
    absolute: bool,
    place: Place<'_>,
    realpath: impl Fn(&Path) -> io::Result<PathBuf>,
) -> Result<OsString, PathError> {
    let path = path.as_bytes();
    let translated = match form {
        Form::Linux => place.linux_path(path, absolute),
        Form::Windows | Form::Mixed => {
            let (path, relative) = place.resolve(path, realpath)?;
            place.windows_path(&path, relative && !absolute)
        }
    };
    let translated = translated.ok_or(PathError::Invalid)?;
    Ok(OsString::from_vec(if form == Form::Mixed { text::unify(&translated, b'/') } else { translated }))
}

impl Place<'_> {
    fn linux_path(&self, path: &[u8], absolute: bool) -> Option<Vec<u8>> {
        let mut path = text::unify(path, b'\\');
        let relative = !is_absolute_windows(&path);
        if relative {
            path = text::join_windows(&self.on_windows(self.cwd_bytes())?, &path)?;
        }
        let linux = self.on_linux(&text::canonical_windows(&path)?)?;
        Some(if relative && !absolute { text::below(&linux, self.cwd_bytes()) } else { linux })
    }

    /// The path as realpath(3) has it, or as it is written; and whether it is still relative.
    fn resolve(
        &self,
        path: &[u8],
        realpath: impl Fn(&Path) -> io::Result<PathBuf>,
    ) -> Result<(Vec<u8>, bool), PathError> {
        let relative = !path.starts_with(b"/");
        if path.is_empty() {
            return Ok((self.cwd_bytes().to_vec(), true));
        }
        match realpath(&self.cwd.join(OsStr::from_bytes(path))) {
            Ok(real) => {
                let mut real = real.into_os_string().into_vec();
                if path.ends_with(b"/") {
                    real.push(b'/');
                }
                Ok((real, false))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let start = if relative { [self.cwd_bytes(), b"/"].concat() } else { Vec::new() };
                Ok(([&start, path].concat(), relative))
            }
            Err(error) => Err(PathError::Unresolved(error)),
        }
    }

    fn windows_path(&self, path: &[u8], relative: bool) -> Option<Vec<u8>> {
        let windows = self.on_windows(&text::collapse(path, b'/')?)?;
        let cwd = if relative { self.on_windows(self.cwd_bytes()) } else { None };
        Some(match cwd {
            Some(cwd) => text::below(&windows, &cwd),
            None => windows,
        })
    }

    fn cwd_bytes(&self) -> &[u8] {
        self.cwd.as_os_str().as_bytes()
    }

    /// A collapsed absolute Linux path, on Windows.
    fn on_windows(&self, path: &[u8]) -> Option<Vec<u8>> {
        let Some((drive, length)) = self.mounts.drive_of(path) else {
            return Some([&self.share(SHARE)?, escape::escape(path).as_slice()].concat());
        };
        let rest = escape::escape(&path[length..]);
        let rest = if rest.is_empty() && drive.len() == 2 { b"\\" } else { rest.as_slice() };
        Some([drive, rest].concat())
    }

    /// A canonical absolute Windows path, on Linux.
    fn on_linux(&self, path: &[u8]) -> Option<Vec<u8>> {
        if let Some((point, length)) = self.mounts.point_of(path) {
            return Some([point, &text::slashes(&path[length..])].concat());
        }
        let inside = [SHARE, OLD_SHARE].iter().find_map(|share| {
            let share = self.share(share)?;
            text::starts_with(path, &share, b'\\', true).then(|| &path[share.len()..])
        })?;
        Some(if inside.is_empty() { b"/".to_vec() } else { escape::unescape(&text::slashes(inside)) })
    }

    fn share(&self, prefix: &[u8]) -> Option<Vec<u8>> {
        (!self.distribution.is_empty()).then(|| [prefix, self.distribution.as_bytes()].concat())
    }
}

/// The system's text for an error, without the number that Rust adds.
fn strerror(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `C:` at `/mnt/c`; nothing exists.
    fn go(path: &str, form: Form, absolute: bool, cwd: &str) -> Option<String> {
        let table =
            MountTable::parse(b"1 0 0:1 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs;path=C:\\;uid=0,mmap\n");
        let place = Place { mounts: &table, distribution: "Deb", cwd: Path::new(cwd) };
        let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
        translate(OsStr::new(path), form, absolute, place, nothing)
            .ok()
            .map(|path| path.into_string().unwrap())
    }

    #[test]
    fn relative_paths_stay_relative_unless_asked() {
        let rows = [
            ("foo", Form::Linux, false, "/mnt/c/x", Some("foo")),
            ("foo", Form::Linux, true, "/mnt/c/x", Some("/mnt/c/x/foo")),
            ("..\\foo", Form::Linux, false, "/mnt/c/x", Some("/mnt/c/foo")),
            ("..\\x", Form::Linux, false, "/mnt/c/x", Some(".")),
            ("\\foo", Form::Linux, false, "/mnt/c/x", Some("/mnt/c/foo")),
            ("\\foo", Form::Linux, false, "/root", None),
            ("../../../..", Form::Linux, false, "/root", None),
            ("foo", Form::Windows, false, "/mnt/c/x", Some("foo")),
            ("foo", Form::Windows, true, "/mnt/c/x", Some("C:\\x\\foo")),
            ("", Form::Windows, true, "/mnt/c", Some("C:\\")),
            ("a/b", Form::Mixed, true, "/root", Some("//wsl.localhost/Deb/root/a/b")),
            ("/a/../../b", Form::Windows, false, "/", None),
        ];
        for (path, form, absolute, cwd, expected) in rows {
            assert_eq!(go(path, form, absolute, cwd).as_deref(), expected, "{path} {form:?} in {cwd}");
        }
    }

    #[test]
    fn what_no_drive_holds_and_is_not_ours_has_no_translation() {
        for path in ["D:\\x", "C:x", r"\\server\share\x", r"\\?\UNC\server\share", r"\\wsl.localhost\Other\x"]
        {
            assert_eq!(go(path, Form::Linux, false, "/root"), None, "{path}");
        }
        assert_eq!(go(r"\\WSL.LOCALHOST\deb\etc", Form::Linux, false, "/").as_deref(), Some("/etc"));
    }

    #[test]
    fn an_error_of_the_system_keeps_its_words() {
        let table = MountTable::default();
        let place = Place { mounts: &table, distribution: "Deb", cwd: Path::new("/") };
        let denied = |_: &Path| Err(io::Error::from_raw_os_error(13));
        let error = translate(OsStr::new("/x"), Form::Windows, false, place, denied).unwrap_err();
        assert_eq!(error.to_string(), "Permission denied");
    }
}
