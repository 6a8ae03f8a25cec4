//! The project's own gates: what ARCHITECTURE.md says is deliberately *not* there, held by a program.
//!
//! Each gate is one file and one line in [`GATES`]. It looks at a [`Workspace`] and returns what it found; its unit
//! test proves on a made-up workspace that it can fail.

mod banned;
mod commands;
mod dependencies;
mod files;
mod lints;
mod machine_paths;
mod reasons;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;

type Gate = fn(&Workspace) -> Vec<Finding>;

const GATES: [(&str, Gate); 7] = [
    ("dependency directions", dependencies::check),
    ("unsafe code and lints", lints::check),
    ("outside programs", commands::check),
    ("file sizes and names", files::check),
    ("banned crates and features", banned::check),
    ("paths of a build machine", machine_paths::check),
    ("reasons for dependencies", reasons::check),
];

/// One thing that a gate does not let through: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs every gate and prints what each found.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut clean = true;
    for (name, gate) in GATES {
        for finding in gate(&workspace) {
            println!("{name}: {finding}");
            clean = false;
        }
    }
    for note in files::notes(&workspace) {
        println!("note: {note}");
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo test` alone holds the directions of ARCHITECTURE.md, without anyone calling the lint.
    #[test]
    fn dependency_directions_of_this_workspace() {
        let workspace = Workspace::load().unwrap();
        assert_eq!(dependencies::check(&workspace), []);
    }
}
