//! What `wsl --list` prints, byte for byte as wsl.exe does, in UTF-8 with LF.
//!
//! Layout: microsoft/WSL `src/windows/common/WslClient.cpp`, format `%s %-Ws%-16s%s` with
//! W = longest name (at least 4) + 4.

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

fn default_first(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.default).chain(rows.iter().filter(|row| !row.default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, state: DistroState, version: u8, default: bool) -> Row {
        Row { name: name.to_owned(), state, version, default }
    }

    /// Rows Q01 to Q05: the listing of the specification.
    #[test]
    fn q01_to_q05_the_listing_of_the_specification() {
        let rows = [
            row("docker-desktop-data", DistroState::Running, 2, true),
            row("docker-desktop", DistroState::Running, 2, false),
            row("CentOS7", DistroState::Running, 2, false),
            row("CentOS8", DistroState::Running, 1, false),
        ];
        let lines = [
            ("Q01", "··NAME···················STATE···········VERSION"),
            ("Q02", "*·docker-desktop-data····Running·········2"),
            ("Q03", "··docker-desktop·········Running·········2"),
            ("Q04", "··CentOS7················Running·········2"),
            ("Q05", "··CentOS8················Running·········1"),
        ];
        let printed = verbose(&rows);
        for ((id, expected), line) in lines.iter().zip(printed.lines()) {
            assert_eq!(line, expected.replace('·', " "), "{id}");
        }
        assert_eq!(printed.lines().count(), lines.len());
        assert!(printed.ends_with('\n') && !printed.contains('\r'));
    }

    #[test]
    fn q07_short_names_keep_the_heading_s_width() {
        let printed = verbose(&[row("a", DistroState::Stopped, 2, true)]);
        assert_eq!(printed.lines().nth(1).unwrap(), "*·a·······Stopped·········2".replace('·', " "));
    }

    #[test]
    fn q08_no_default_no_star() {
        let rows = [row("a", DistroState::Stopped, 2, false), row("b", DistroState::Stopped, 2, false)];
        assert!(!verbose(&rows).contains('*'));
    }

    #[test]
    fn q10_state_words() {
        use DistroState as S;
        let words = [S::Stopped, S::Running, S::Installing, S::Uninstalling, S::Converting, S::Exporting];
        assert_eq!(
            words.map(DistroState::word),
            ["Stopped", "Running", "Installing", "Uninstalling", "Converting", "Exporting"]
        );
    }

    #[test]
    fn the_default_comes_first() {
        let rows = [row("a", DistroState::Stopped, 2, false), row("b", DistroState::Running, 1, true)];
        assert_eq!(quiet(&rows), "b\na\n");
        assert_eq!(plain(&rows), "Windows Subsystem for Linux Distributions:\nb (Default)\na\n");
    }
}
