//! The command `wslinfo`. Source: microsoft/WSL `src/linux/init/wslinfo.cpp`.

use std::ffi::OsString;

use super::tool::{Answer, Argument, read};
use crate::distro::Guid;

/// What `wslinfo` says when it does not understand its arguments.
pub const USAGE: &str = "Usage:
    --networking-mode
       Display current networking mode.

    --msal-proxy-path
        Display the path to the MSAL proxy application.

    --vm-id
        Display the WSL VM ID.

    --version
        Display the version of the WSL package.

    -n
        Do not print a newline.";

/// What a distribution knows about itself.
#[derive(Debug, Clone, Copy)]
pub struct Info<'a> {
    /// How it is connected: `nat`, `none`, `mirrored`; nothing in version 1, which has the host's own
    /// network.
    pub networking_mode: Option<&'a str>,
    /// Identity of what its kernel is shared with; nothing in version 1.
    pub vm_id: Option<Guid>,
    /// Version of Sampan.
    pub version: &'a str,
}

/// Runs `wslinfo` with `arguments` (without the program's name).
pub fn run(arguments: &[OsString], info: &Info<'_>) -> Answer {
    const OPTIONS: [&str; 7] =
        ["--networking-mode", "--msal-proxy-path", "--version", "--wsl-version", "--vm-id", "--help", "-n"];
    let arguments = match read("wslinfo", arguments, &OPTIONS, 0) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    let newline = !arguments.contains(&Argument::Option("-n"));
    let question = |argument: &Argument<'_>| match argument {
        Argument::Option("-n" | "--help") | Argument::Positional(_) => None,
        Argument::Option(question) => Some(*question),
    };
    let questions: Vec<&str> = arguments.iter().filter_map(question).collect();
    let text = match questions[..] {
        ["--networking-mode"] => info.networking_mode.unwrap_or("wsl1").to_owned(),
        ["--vm-id"] => info.vm_id.map_or_else(|| "wsl1".to_owned(), |id| id.to_string()),
        ["--version" | "--wsl-version"] => info.version.to_owned(),
        ["--msal-proxy-path"] => return Answer::failure("No value found."),
        _ => return Answer::failure(USAGE),
    };
    Answer::success(if newline { text + "\n" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_at_a_time() {
        let info = Info { networking_mode: None, vm_id: None, version: "1.2.3" };
        let run = |words: &[&str]| run(&words.iter().map(OsString::from).collect::<Vec<_>>(), &info);
        assert_eq!(run(&["--version", "-n"]), Answer::success("1.2.3"));
        assert_eq!(run(&["--vm-id"]), Answer::success("wsl1\n"));
        for words in [&[][..], &["--help"], &["-n"], &["--version", "--vm-id"]] {
            assert_eq!(run(words), Answer::failure(USAGE), "{words:?}");
        }
        assert_eq!(run(&["--msal-proxy-path"]), Answer::failure("No value found."));
        assert_eq!(run(&["x"]).code, 1);
    }
}
