//! The program of a session: which file it is, and its execution.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sampan_model::session::Program;
use sampan_model::words::Word;
use sampan_model::wsl::account::User;
use sampan_sys::{Errno, process};

use super::command::Environment;

/// What a shell ends with when a program is not there, and when it is but cannot be executed.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// Executes the program. If that fails it says so on standard error and ends, as a shell would.
pub(super) fn execute(program: &Program, user: &User, environment: &Environment) -> ! {
    let shell = |login: &bool| if *login { user.login_name_of_shell() } else { user.shell.clone().into() };
    let (files, words) = match program {
        Program::Shell { login } => (vec![user.shell.clone()], vec![shell(login)]),
        Program::Line { line, login } => {
            (vec![user.shell.clone()], vec![shell(login), "-c".into(), no_option(line.as_os_str())])
        }
        Program::Exec { words } => {
            let words: Vec<OsString> = words.iter().cloned().map(Word::into_os_string).collect();
            (files(words.first().map_or(OsStr::new(""), OsString::as_os_str), environment), words)
        }
    };
    let name = match program {
        Program::Exec { .. } => words.first().cloned().unwrap_or_default(),
        Program::Shell { .. } | Program::Line { .. } => user.shell.clone().into(),
    };
    let (code, reason) = match execute_first(&files, &words, environment) {
        None => (NOT_FOUND, "command not found".to_owned()),
        Some(Errno::NOENT) => (NOT_EXECUTABLE, "its interpreter was not found".to_owned()),
        Some(errno) => (NOT_EXECUTABLE, reason(errno)),
    };
    let _ = writeln!(std::io::stderr(), "wsl: {}: {reason}", name.display());
    process::exit_now(code)
}

/// A line that no shell takes for an option. Not all of them know `--` behind `-c`; a blank means nothing to any.
fn no_option(line: &OsStr) -> OsString {
    let mut text = OsString::new();
    if matches!(line.as_bytes().first(), Some(b'-' | b'+')) {
        text.push(" ");
    }
    text.push(line);
    text
}

/// The system's text for an error, without the number that Rust adds.
pub(super) fn reason(errno: Errno) -> String {
    let text = errno.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// The environment in the form that exec takes.
pub(super) fn variables(environment: &Environment) -> Vec<OsString> {
    let variable = |(name, value): &(OsString, OsString)| {
        OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    environment.iter().map(variable).collect()
}

/// Tries the files in turn as execvp(3) does. Why none was executed; nothing if there is none.
fn execute_first(files: &[PathBuf], words: &[OsString], environment: &Environment) -> Option<Errno> {
    let environment = variables(environment);
    let mut refused = None;
    for file in files {
        match process::exec(file, words, &environment).errno() {
            // A script without a line that names its interpreter.
            Errno::NOEXEC => {
                let mut script: Vec<OsString> = vec!["sh".into(), file.into()];
                script.extend(words.iter().skip(1).cloned());
                return Some(process::exec(Path::new("/bin/sh"), &script, &environment).errno());
            }
            // The file is there, its interpreter is not.
            Errno::NOENT if file.exists() => return Some(Errno::NOENT),
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => refused = Some(Errno::ACCESS),
            other => return Some(other),
        }
    }
    refused
}

/// Where a program may be: in the folders of the session's own PATH, unless its name is a path.
fn files(program: &OsStr, environment: &Environment) -> Vec<PathBuf> {
    if program.is_empty() {
        return Vec::new();
    }
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    // An empty entry is the working directory.
    let here = Path::new(".");
    std::env::split_paths(path.unwrap_or_default())
        .map(|folder| if folder.as_os_str().is_empty() { here.join(program) } else { folder.join(program) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_whatever_it_begins_with() {
        for (line, given) in [("-l", " -l"), ("+x", " +x"), ("ls -l", "ls -l"), ("", "")] {
            assert_eq!(no_option(OsStr::new(line)), given);
        }
    }

    #[test]
    fn only_bare_names_are_looked_for() {
        let environment = vec![("PATH".into(), "/a::/b".into())];
        let found = |program| files(OsStr::new(program), &environment);
        assert_eq!(found("x"), [Path::new("/a/x"), Path::new("./x"), Path::new("/b/x")]);
        assert_eq!(found("./x"), [Path::new("./x")]);
        assert!(found("").is_empty());
    }
}
