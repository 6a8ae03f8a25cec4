//! Every dependency has a line with its reason in `docs/dependencies.md`, and the line is true.
//!
//! Each crate from elsewhere is code we answer for. Writing down why it is there, and why this one, is the moment at which
//! somebody thinks about it; a list with wrong versions or with crates long gone is not read.

use std::collections::BTreeMap;
use std::path::Path;

use super::Finding;
use crate::workspace::Workspace;

const LIST: &str = "docs/dependencies.md";

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let rows: BTreeMap<&str, &str> =
        workspace.text(Path::new(LIST)).unwrap_or_default().lines().filter_map(row).collect();
    let declared = declared(workspace.text(Path::new("Cargo.toml")).unwrap_or_default());
    let used: BTreeMap<&str, &str> = workspace
        .members()
        .flat_map(|member| &member.dependencies)
        .filter(|used| used.path.is_none())
        .map(|used| (used.name.as_str(), used.req.trim_start_matches(['^', '='])))
        .collect();

    let mut found = Vec::new();
    for (name, version) in &used {
        match rows.get(name) {
            None => found
                .push(Finding::new(LIST, format!("lacks a line for {name} {version}: say why it is used"))),
            Some(written) if written != version => found.push(Finding::new(
                LIST,
                format!("says {name} {written}, but the Cargo.toml says {version}"),
            )),
            Some(_) => {}
        }
    }
    for name in rows.keys().filter(|name| !used.contains_key(*name) && !declared.contains(*name)) {
        found.push(Finding::new(LIST, format!("has a line for {name}, which nothing uses")));
    }
    found
}

/// Name and version of a row `| `name` | version | …`.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    Some((name, cells.next()?))
}

/// The names under `[workspace.dependencies]`: also what no member uses yet is there with a reason.
fn declared(manifest: &str) -> Vec<&str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    const MANIFEST: &str = "[workspace.dependencies]\nbytes = \"1.12\"\n\n[profile.dev]\n";

    fn findings(list: &str) -> Vec<String> {
        let member =
            sample::package("crates/relay", "sampan-relay", &["sampan-model"], &[("bytes", "^1.12")]);
        let files = [(LIST, list), ("Cargo.toml", MANIFEST)];
        check(&sample::workspace(&[member], &files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_with_the_right_version_is_enough() {
        assert_eq!(findings("| name | version |\n|---|---|\n| `bytes` | 1.12 | buffers |\n"), [""; 0]);
    }

    #[test]
    fn finds_a_missing_and_a_wrong_line() {
        assert_eq!(findings(""), ["docs/dependencies.md: lacks a line for bytes 1.12: say why it is used"]);
        assert_eq!(
            findings("| `bytes` | 1.11 | buffers |"),
            ["docs/dependencies.md: says bytes 1.11, but the Cargo.toml says 1.12"]
        );
    }

    #[test]
    fn finds_a_line_that_nothing_needs() {
        assert_eq!(
            findings("| `bytes` | 1.12 | buffers |\n| `rand` | 0.9 | dice |\n"),
            ["docs/dependencies.md: has a line for rand, which nothing uses"]
        );
    }
}
