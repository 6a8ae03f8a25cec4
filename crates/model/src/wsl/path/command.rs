//! The command `wslpath`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Form, Place, translate};
use crate::wsl::tool::{Answer, Argument, read};

/// What `wslpath` says when it does not understand its arguments, with the doubled backslashes of the
/// original.
pub const USAGE: &str = r"Usage:
    -a
        Force result to absolute path format.
    -u
        Translate from a Windows path to a WSL path (default).
    -w
        Translate from a WSL path to a Windows path.
    -m
        Translate from a WSL path to a Windows path, with '/' instead of '\\'

Example: wslpath 'c:\\users'";

/// Runs `wslpath` with `arguments` (without the program's name). See [`translate`] for `realpath`.
pub fn run(
    arguments: &[OsString],
    place: Place<'_>,
    realpath: impl Fn(&Path) -> io::Result<PathBuf>,
) -> Answer {
    let arguments = match read("wslpath", arguments, &["-a", "-u", "-w", "-m", "--help"], 1) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    let (mut absolute, mut form, mut path) = (false, None, None);
    for argument in arguments {
        let chosen = match argument {
            Argument::Positional(word) => {
                path = Some(word);
                continue;
            }
            Argument::Option("-a") => {
                absolute = true;
                continue;
            }
            Argument::Option("-u") => Some(Form::Linux),
            Argument::Option("-w") => Some(Form::Windows),
            Argument::Option("-m") => Some(Form::Mixed),
            Argument::Option(_) => None,
        };
        if form.replace(chosen).is_some() {
            return Answer::failure(USAGE);
        }
    }
    let (Some(path), Some(form)) = (path, form.unwrap_or(Some(Form::Linux))) else {
        let usage = format!("{USAGE}\n").into_bytes();
        return Answer { stdout: usage, ..Answer::failure("wslpath: Invalid argument") };
    };
    match translate(path, form, absolute, place, realpath) {
        Ok(translated) => Answer::success([translated.as_bytes(), b"\n"].concat()),
        Err(error) => {
            Answer::failure([b"wslpath: ", path.as_bytes(), format!(": {error}").as_bytes()].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wsl::path::MountTable;

    fn wslpath(words: &[&str]) -> (String, String, u8) {
        let table = MountTable::parse(b"1 0 0:1 / /mnt/c rw - drvfs C: rw\n");
        let place = Place { mounts: &table, distribution: "Deb", cwd: Path::new("/root") };
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let answer = run(&words, place, |path| Ok(path.to_owned()));
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(answer.stdout), text(answer.stderr), answer.code)
    }

    #[test]
    fn options_combine_and_stand_anywhere() {
        let ok = |text: &str| (text.to_owned(), String::new(), 0);
        assert_eq!(wslpath(&["C:\\x"]), ok("/mnt/c/x\n"));
        assert_eq!(wslpath(&["foo", "-ua"]), ok(&format!("{}/foo\n", "/root")));
        assert_eq!(wslpath(&["-m", "--", "/mnt/c/-x"]), ok("C:/-x\n"));
        assert_eq!(wslpath(&["-w", "-"]), ok("\\\\wsl.localhost\\Deb\\root\\-\n"));
    }

    #[test]
    fn errors_name_the_path_and_end_with_1() {
        let (stdout, stderr, code) = wslpath(&["D:\\x"]);
        assert_eq!((stdout.as_str(), stderr.as_str(), code), ("", "wslpath: D:\\x: Invalid argument\n", 1));
        for words in [&["-u", "-w", "x"][..], &["-u", "-u", "x"], &["-m", "--help"]] {
            assert_eq!(wslpath(words), (String::new(), format!("{USAGE}\n"), 1), "{words:?}");
        }
        for words in [&[][..], &["-a"], &["--help"], &["--help", "x"]] {
            let expected = (format!("{USAGE}\n"), "wslpath: Invalid argument\n".to_owned(), 1);
            assert_eq!(wslpath(words), expected, "{words:?}");
        }
        for (words, wrong) in [(&["-x"][..], "-x"), (&["-ax", "y"], "-ax"), (&["a", "b"], "b")] {
            let (stdout, stderr, code) = wslpath(words);
            assert_eq!((stdout.as_str(), code), ("", 1));
            assert!(stderr.starts_with(&format!("Invalid command line argument: {wrong}\n")), "{stderr}");
        }
    }
}
