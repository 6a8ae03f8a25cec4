//! `cargo xtask test`: lint, every test, and one line with the sum at the end.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::debian::{self, Debian};
use crate::tally::Tally;
use crate::{lint, tools, workspace};

/// The packages whose programs the end-to-end tests run.
const PROGRAM_PACKAGES: [&str; 3] = ["sampan", "sampand", "sampan-guest"];
const E2E_PACKAGE: &str = "sampan-e2e";

pub(crate) fn run() -> Result<ExitCode> {
    let root = workspace::root();
    let mut tally = Tally::default();

    for step in lint::failures()? {
        tally.step_failed(&format!("lint: {step}"));
    }
    // Here, so that it is made once: tests of the guest boot it, and then those of the whole system.
    let debian = debian(&root, &mut tally);
    let cargo_test = |more: &[&str]| {
        let mut cargo = tools::cargo(&root);
        cargo.args(["test", "--no-fail-fast"]).args(more);
        // A failed test says what it wanted and what it got; the frames of its harness would only bury that.
        cargo.env("RUST_BACKTRACE", "0");
        if let Some(debian) = &debian {
            cargo.env(debian::VARIABLE, debian.tar());
        }
        cargo
    };
    let mut cargo = cargo_test(&["--workspace", "--exclude", E2E_PACKAGE]);
    count(&mut cargo, "unit and integration tests", &mut tally)?;

    match build_programs(&root) {
        Ok(folder) => {
            let mut cargo = cargo_test(&["-p", E2E_PACKAGE]);
            count(cargo.env("SAMPAN_BIN_DIR", folder), "end-to-end tests", &mut tally)?;
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            tally.step_failed("end-to-end tests: the programs do not build");
        }
    }

    report(&tally);
    Ok(if tally.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The root file system for tests that boot one. Only root boots any; for others it is not made.
fn debian(root: &Path, tally: &mut Tally) -> Option<Debian> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let given = std::env::var_os(debian::VARIABLE);
    if given.is_none() && !is_root {
        return None;
    }
    let made = target().and_then(|target| Debian::take(given, root, &target));
    made.inspect_err(|error| {
        eprintln!("xtask: {error:#}");
        tally.step_failed("building the Debian root file system of the tests");
    })
    .ok()
}

/// Cargo's own folder, in which this program lies.
pub(crate) fn target() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot find this program")?;
    let target = me.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").is_file()).last();
    target.map(Path::to_owned).with_context(|| format!("{} is in no target folder of cargo", me.display()))
}

fn report(tally: &Tally) {
    println!();
    for skip in tally.skips() {
        println!("skipped: {skip}");
    }
    for failure in tally.failures() {
        println!("failed: {failure}");
    }
    println!("{tally}");
}

/// Runs a `cargo test`, shows its output and counts it. A run that fails without a counted failure (it did not build,
/// a test's process died) is counted as one.
fn count(command: &mut Command, step: &str, tally: &mut Tally) -> Result<()> {
    let failed_before = tally.failed();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", tools::name(command)))?;
    let output = child.stdout.take().expect("its output was asked for just above");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read the output of the tests")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() && tally.failed() == failed_before {
        tally.step_failed(&format!("{step}: ended with {status}"));
    }
    Ok(())
}

/// Builds the programs in the dev profile and returns the folder they lie in.
fn build_programs(root: &Path) -> Result<PathBuf> {
    let mut cargo = tools::cargo(root);
    cargo.args(["build", "--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    for package in PROGRAM_PACKAGES {
        cargo.args(["-p", package]);
    }
    let output = cargo.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo build ended with {}", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let sampan = program(&messages, "sampan").context("cargo built no program `sampan`")?;
    let folder = sampan.parent().context("the program `sampan` has no folder")?.to_owned();

    // `wsl` is `sampan` under another name, as in an installed system.
    let wsl = folder.join("wsl");
    if fs::symlink_metadata(&wsl).is_err() {
        symlink("sampan", &wsl).with_context(|| format!("cannot make {}", wsl.display()))?;
    }
    Ok(folder)
}

/// The path of the program `name` in cargo's JSON messages.
fn program(messages: &str, name: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|target| target.name == name))
        .find_map(|message| message.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_program_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"sampan_model"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"sampan"},"executable":"/t/debug/sampan"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(program(messages, "sampan"), Some(PathBuf::from("/t/debug/sampan")));
        assert_eq!(program(messages, "sampand"), None);
    }

    #[test]
    fn a_run_that_dies_uncounted_is_a_failure() {
        let mut tally = Tally::default();
        count(&mut tools::command("false", Path::new("/")), "step", &mut tally).unwrap();
        assert_eq!(tally.failed(), 1);
    }

    #[test]
    fn a_counted_failure_is_not_counted_twice() {
        let mut tally = Tally::default();
        let mut shell = tools::command("sh", Path::new("/"));
        shell.args(["-c", "echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored'; exit 101"]);
        count(&mut shell, "step", &mut tally).unwrap();
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 0 skipped");
    }
}
