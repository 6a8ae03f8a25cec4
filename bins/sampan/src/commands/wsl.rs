//! `wsl`: wsl.exe's grammar and output. Like there, results and errors are on standard output.

use std::ffi::OsString;
use std::process::ExitCode;

use sampan_model::api::Distributions;
use sampan_model::distro::DistroState;
use sampan_model::wsl::args::{ArgsError, Command, ListOptions, USAGE, parse};
use sampan_model::wsl::list::{self, Row};

use crate::cli::Format;
use crate::exit::{Exit, Kind, Problem};
use crate::{commands, output, service};

use super::Session;
use super::version::CLIENT;

/// The exit code of every failure: -1, as wsl.exe has it.
const FAILURE: u8 = 255;

/// What is printed when there is no distribution at all.
const NO_DISTRIBUTIONS: &str = "\
Windows Subsystem for Linux has no installed distributions.
Use 'sampan start' to install docker-desktop and docker-desktop-data.
";

/// What is printed by `--list --running` when none runs.
const NONE_RUNNING: &str = "There are no running distributions.\n";

/// Runs the verb.
pub(crate) fn main(instance: Option<&str>, args: &[OsString]) -> ExitCode {
    let (text, code) = match answer(instance, args) {
        Ok(answer) => answer,
        Err(problem) => (complaint(&problem), FAILURE),
    };
    match output::text(&text) {
        Ok(()) => ExitCode::from(code),
        Err(_) => ExitCode::from(FAILURE),
    }
}

fn answer(instance: Option<&str>, args: &[OsString]) -> Result<(String, u8), Problem> {
    let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
    match parse(&words) {
        Ok(Command::Help) => Ok((USAGE.to_owned(), 0)),
        Ok(Command::Version) => Ok((version(&kernel()), 0)),
        Ok(Command::List(options)) => {
            let session = Session::new(instance, Format::Pretty, 0)?;
            Ok(listing(options, rows(&session)?))
        }
        Err(error @ (ArgsError::Usage | ArgsError::Unknown(_))) => {
            Ok((format!("{}\n", error.to_string().trim_end()), FAILURE))
        }
    }
}

fn rows(session: &Session) -> Result<Vec<Row>, Problem> {
    let command = session.command("wsl --list");
    let asked = service::ask::<Distributions>(&session.instance, "/v1/distributions", &["list"], &command);
    let found = commands::wait(asked)?.distributions.into_iter();
    Ok(found.map(|d| Row { name: d.name, state: d.state, version: d.version, default: d.default }).collect())
}

/// The text of a listing and its exit code (microsoft/WSL `WslClient.cpp`, `ListDistributionsHelper`).
fn listing(options: ListOptions, rows: Vec<Row>) -> (String, u8) {
    if options.verbose {
        return if rows.is_empty() {
            (NO_DISTRIBUTIONS.to_owned(), FAILURE)
        } else {
            (list::verbose(&rows), 0)
        };
    }
    let shown: Vec<Row> = rows
        .into_iter()
        .filter(|row| match row.state {
            DistroState::Running => true,
            DistroState::Stopped => !options.running,
            // On their way in or out.
            _ => options.all,
        })
        .collect();
    match (shown.is_empty(), options.quiet) {
        (_, true) => (list::quiet(&shown), 0),
        (false, false) => (list::plain(&shown), 0),
        (true, false) if options.running => (NONE_RUNNING.to_owned(), FAILURE),
        (true, false) => (NO_DISTRIBUTIONS.to_owned(), FAILURE),
    }
}

fn version(kernel: &str) -> String {
    format!("WSL version: {CLIENT}\nKernel version: {kernel}\n")
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// A problem in wsl.exe's layout: the message, then a line with the code.
fn complaint(problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map(|hint| format!("To mend it: {hint}\n")).unwrap_or_default();
    let code = match problem.kind {
        Kind::NotRunning => "Wsl/Service/E_UNEXPECTED",
        kind => match kind.exit() {
            Exit::Denied => "Wsl/Service/E_ACCESSDENIED",
            Exit::Usage => "Wsl/E_INVALIDARG",
            _ => "Wsl/Service/E_FAIL",
        },
    };
    format!("{}\n{hint}Error code: {code}\n", problem.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, state: DistroState) -> Row {
        Row { name: name.into(), state, version: 2, default: false }
    }

    fn words(words: &[&str]) -> (String, u8) {
        answer(None, &words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn q11_verbose_ignores_running() {
        let options = ListOptions { verbose: true, running: true, ..ListOptions::default() };
        assert!(listing(options, vec![row("a", DistroState::Stopped)]).0.contains("a       Stopped"));
    }

    #[test]
    fn q14_plain() {
        let rows = vec![
            Row { default: true, ..row("Ubuntu", DistroState::Stopped) },
            row("Debian", DistroState::Running),
            row("new", DistroState::Installing),
        ];
        let (text, code) = listing(ListOptions::default(), rows.clone());
        assert_eq!(
            (text.as_str(), code),
            ("Windows Subsystem for Linux Distributions:\nUbuntu (Default)\nDebian\n", 0)
        );
        let all = ListOptions { all: true, ..ListOptions::default() };
        assert!(listing(all, rows).0.ends_with("Debian\nnew\n"));
    }

    #[test]
    fn q17_and_q19_nothing_to_list_quietly() {
        let quiet = ListOptions { quiet: true, ..ListOptions::default() };
        assert_eq!(listing(quiet, vec![]), (String::new(), 0));
        let running = ListOptions { running: true, ..quiet };
        assert_eq!(listing(running, vec![row("a", DistroState::Stopped)]), (String::new(), 0));
    }

    #[test]
    fn nothing_to_list_is_a_failure_otherwise() {
        assert_eq!(listing(ListOptions::default(), vec![]), (NO_DISTRIBUTIONS.into(), 255));
        let verbose = ListOptions { verbose: true, ..ListOptions::default() };
        assert_eq!(listing(verbose, vec![]), (NO_DISTRIBUTIONS.into(), 255));
        let running = ListOptions { running: true, ..ListOptions::default() };
        assert_eq!(listing(running, vec![row("a", DistroState::Stopped)]), (NONE_RUNNING.into(), 255));
    }

    #[test]
    fn q13_and_q29_usage_errors() {
        assert_eq!(words(&["-l", "-v", "-q"]), (USAGE.into(), 255));
        let (text, code) = words(&["--bogus"]);
        assert!(text.starts_with("Invalid command line argument: --bogus\nPlease use 'wsl --help'"));
        assert_eq!(code, 255);
    }

    #[test]
    fn help_is_no_failure() {
        assert_eq!(words(&["--help"]), (USAGE.into(), 0));
    }

    #[test]
    fn a_problem_in_wsl_s_layout() {
        let text = complaint(&Problem::denied("this needs root").hint("type `sudo x`"));
        assert_eq!(
            text,
            "this needs root\nTo mend it: type `sudo x`\nError code: Wsl/Service/E_ACCESSDENIED\n"
        );
    }
}
