//! The command line of `wsl`, as far as this version serves it: `--list` in all its forms, `--version`, `--help`.

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `--list`.
    List(ListOptions),
    /// `--version`.
    Version,
    /// `--help`.
    Help,
}

/// Options of `--list`.
#[expect(clippy::struct_excessive_bools, reason = "four switches of a command line, each free of the others")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// `--all`: also distributions that are being installed or removed.
    pub all: bool,
    /// `--running`: only those that run.
    pub running: bool,
    /// `--quiet`: names only.
    pub quiet: bool,
    /// `--verbose`: state and version too. Lists all, whatever `running` says.
    pub verbose: bool,
}

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// An option that is not known.
    #[error(
        "Invalid command line argument: {0}\nPlease use 'wsl --help' to get a list of supported arguments."
    )]
    Unknown(String),
    /// Options that exclude one another, or none: the usage text is the message.
    #[error("{USAGE}")]
    Usage,
}

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: wsl [Argument]

Arguments:
    --help
        Display usage information.

    --list, -l [Options]
        Lists distributions.

        Options:
            --all
                List all distributions, including distributions that are
                currently being installed or uninstalled.

            --running
                List only distributions that are currently running.

            --quiet, -q
                Only show distribution names.

            --verbose, -v
                Show detailed information about all distributions.

    --version, -v
        Display version information.
";

/// Parses the words behind `wsl`.
pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Command, ArgsError> {
    let mut words = words.iter().map(AsRef::as_ref);
    let command = match words.next() {
        Some("-l" | "--list") => return list(words),
        Some("-v" | "--version") => Command::Version,
        Some("--help") => Command::Help,
        None => return Err(ArgsError::Usage),
        Some(other) => return Err(ArgsError::Unknown(other.to_owned())),
    };
    match words.next() {
        None => Ok(command),
        Some(other) => Err(ArgsError::Unknown(other.to_owned())),
    }
}

fn list<'a>(words: impl Iterator<Item = &'a str>) -> Result<Command, ArgsError> {
    let mut options = ListOptions::default();
    for word in words {
        match word {
            "--all" => options.all = true,
            "--running" => options.running = true,
            "-q" | "--quiet" => options.quiet = true,
            "-v" | "--verbose" => options.verbose = true,
            other => return Err(ArgsError::Unknown(other.to_owned())),
        }
    }
    if (options.verbose && options.quiet) || (options.all && options.running) {
        return Err(ArgsError::Usage);
    }
    Ok(Command::List(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_in_all_its_forms() {
        let verbose = Command::List(ListOptions { verbose: true, ..ListOptions::default() });
        for words in [&["-l", "-v"][..], &["--list", "--verbose"], &["-l", "--verbose"]] {
            assert_eq!(parse(words).unwrap(), verbose);
        }
        assert_eq!(parse(&["-v"]).unwrap(), Command::Version);
    }

    #[test]
    fn q13_options_that_exclude_one_another() {
        for words in [&["-l", "-v", "-q"][..], &["-l", "--all", "--running"]] {
            assert_eq!(parse(words), Err(ArgsError::Usage));
        }
    }

    #[test]
    fn q29_unknown_options() {
        let error = parse(&["--bogus"]).unwrap_err().to_string();
        assert!(error.starts_with("Invalid command line argument: --bogus\n"));
    }
}
