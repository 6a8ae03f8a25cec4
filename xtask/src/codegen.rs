//! `cargo xtask codegen`: writes the generated files that are kept in the repository.
//!
//! The tests named `generated` compare each such file with what the code says. With `UPDATE_GENERATED=1` they write it
//! instead, so the text is made in one place only, and a stale file fails `make test`.

use std::process::ExitCode;

use anyhow::Result;

use crate::{tools, workspace};

pub(crate) fn run() -> Result<ExitCode> {
    let root = workspace::root();
    let mut cargo = tools::cargo(&root);
    cargo.args(["test", "--workspace", "generated"]).env("UPDATE_GENERATED", "1");
    Ok(if tools::succeeds(&mut cargo)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
