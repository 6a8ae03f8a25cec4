//! `cargo xtask lint`: every check that reads the source without running it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{gates, tools, workspace};

pub(crate) fn run() -> Result<ExitCode> {
    let failed = failures()?;
    for step in &failed {
        eprintln!("lint: {step} failed, see above");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every step, also after one has failed, and returns the names of those that did.
pub(crate) fn failures() -> Result<Vec<&'static str>> {
    let root = workspace::root();
    let mut failed = Vec::new();
    for (name, mut command) in steps(&root) {
        println!("lint: {name}");
        if !tools::succeeds(&mut command)? {
            failed.push(name);
        }
    }
    println!("lint: gates");
    if gates::run()? != ExitCode::SUCCESS {
        failed.push("gates");
    }
    Ok(failed)
}

fn steps(root: &Path) -> [(&'static str, Command); 3] {
    let mut form = tools::cargo(root);
    form.args(["fmt", "--all", "--check"]);
    let mut clippy = tools::cargo(root);
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    let mut documentation = tools::cargo(root);
    documentation
        .args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    [("form", form), ("clippy", clippy), ("documentation", documentation)]
}
