//! No file names a folder of the machine it was written on.
//!
//! Such a path works for one person and misleads everyone else; it slips in with pasted output.

use super::Finding;
use crate::workspace::Workspace;

/// Put together here, so that this file does not find itself.
const PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &workspace.files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(path) = PATHS.into_iter().find(|path| names(line, path)) {
                found.push(Finding::new(
                    format!("{}:{}", file.path, index + 1),
                    format!("names {path}, a folder of one machine: write it relative, or with $HOME"),
                ));
            }
        }
    }
    found
}

/// Whether `path` stands in `line` as the beginning of a path, not inside a longer one.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '~' | '_' | '-' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::sample;

    #[test]
    fn finds_a_path_of_the_machine_where_it_stands() {
        let text = format!("fine\nsee `{}main/README.md`\n", PATHS[0]);
        let found = check(&sample::workspace(&[], &[("docs/a.md", &text)]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "docs/a.md:2");
    }

    #[test]
    fn leaves_longer_paths_alone() {
        let text = format!("docs{0}a /srv{0}b ~{0}c\n", PATHS[0]);
        assert_eq!(check(&sample::workspace(&[], &[("a.md", &text)])), []);
    }
}
