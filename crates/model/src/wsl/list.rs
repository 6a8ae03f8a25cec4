//! What `wsl --list` prints, byte for byte as wsl.exe does, in UTF-8 with LF.
//!
//! Layout: microsoft/WSL `src/windows/common/WslClient.cpp` (`ListDistributionsHelper`), format `%s %-Ws%-16s%s` with
//! W = longest name (at least 4) + 4.

use super::args::ListOptions;
use super::error::Code;
use super::message;
use crate::distro::DistroState;

/// A distribution as the listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: DistroState,
    /// 1 or 2.
    pub version: u8,
    /// Whether it is the default distribution.
    pub default: bool,
}

/// Why a listing is a failure: nothing is in it. The text is what is printed; there is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Empty {
    /// There is no distribution.
    #[error("{}", Code::DefaultDistroNotFound.text())]
    NoDistribution,
    /// `--running`, and none runs.
    #[error("{}", message::NONE_RUNNING.trim_end())]
    NoneRunning,
}

/// `wsl -l` with `options` but `--online`, of all distributions.
pub fn listing(options: ListOptions, rows: &[Row]) -> Result<String, Empty> {
    if options.verbose {
        // wsl.exe shows every state here, whatever `--running` and `--all` say.
        return if rows.is_empty() { Err(Empty::NoDistribution) } else { Ok(verbose(rows)) };
    }
    let shown: Vec<Row> = rows
        .iter()
        .filter(|row| match row.state {
            DistroState::Running => true,
            DistroState::Stopped => !options.running,
            // On their way in or out.
            _ => options.all,
        })
        .cloned()
        .collect();
    match (shown.is_empty(), options.quiet) {
        (_, true) => Ok(quiet(&shown)),
        (false, false) => Ok(plain(&shown)),
        (true, false) if options.running => Err(Empty::NoneRunning),
        (true, false) => Err(Empty::NoDistribution),
    }
}

/// `wsl -l -v`: heading and one line per distribution, the default one first.
pub fn verbose(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(4) + 4;
    let line = |mark: &str, name: &str, state: &str, version: &str| {
        format!("{mark} {name:<width$}{state:<16}{version}\n")
    };
    let mut text = line(" ", "NAME", "STATE", "VERSION");
    for row in default_first(rows) {
        let mark = if row.default { "*" } else { " " };
        text.push_str(&line(mark, &row.name, row.state.word(), &row.version.to_string()));
    }
    text
}

/// `wsl -l`: heading, then names, the default one first and marked.
pub fn plain(rows: &[Row]) -> String {
    let mut text = "Windows Subsystem for Linux Distributions:\n".to_owned();
    for row in default_first(rows) {
        text.push_str(&row.name);
        text.push_str(if row.default { " (Default)\n" } else { "\n" });
    }
    text
}

/// `wsl -l -q`: names only.
pub fn quiet(rows: &[Row]) -> String {
    default_first(rows).flat_map(|row| [row.name.as_str(), "\n"]).collect()
}

/// `wsl -l -o`: names that can be installed, each with its friendly name, in the manifest's order.
pub fn online(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(4) + 4;
    let line = |name: &str, friendly: &str| format!("{name:<width$}{friendly}\n");
    let mut text = "The following is a list of valid distributions that can be installed.\n\
                    Install using 'wsl --install <Distro>'.\n\n"
        .to_owned();
    text.push_str(&line("NAME", "FRIENDLY NAME"));
    for (name, friendly) in rows {
        text.push_str(&line(name, friendly));
    }
    text
}

fn default_first(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.default).chain(rows.iter().filter(|row| !row.default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, state: DistroState, version: u8, default: bool) -> Row {
        Row { name: name.to_owned(), state, version, default }
    }

    #[test]
    fn the_default_comes_first() {
        let rows = [row("a", DistroState::Stopped, 2, false), row("b", DistroState::Running, 1, true)];
        assert_eq!(quiet(&rows), "b\na\n");
        assert_eq!(plain(&rows), "Windows Subsystem for Linux Distributions:\nb (Default)\na\n");
    }

    #[test]
    fn what_comes_or_goes_is_listed_with_all() {
        let rows = [row("a", DistroState::Running, 2, false), row("new", DistroState::Installing, 2, false)];
        let all = ListOptions { all: true, quiet: true, ..ListOptions::default() };
        assert_eq!(listing(all, &rows).unwrap(), "a\nnew\n");
        assert_eq!(listing(ListOptions { all: false, ..all }, &rows).unwrap(), "a\n");
    }

    #[test]
    fn nothing_to_list_is_a_failure_unless_names_only_are_wanted() {
        let (some, none) = ([row("a", DistroState::Stopped, 2, false)], []);
        let plain = ListOptions::default();
        let verbose = ListOptions { verbose: true, ..plain };
        let running = ListOptions { running: true, ..plain };
        assert_eq!(listing(plain, &none), Err(Empty::NoDistribution));
        assert_eq!(listing(verbose, &none), Err(Empty::NoDistribution));
        assert_eq!(listing(running, &some), Err(Empty::NoneRunning));
        assert_eq!(listing(ListOptions { quiet: true, ..plain }, &none).unwrap(), "");
    }
}
