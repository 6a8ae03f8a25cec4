//! bollard's tests, from its package in the registry.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tools;

const CLIENT: &str = "bollard";
/// Its tests are of this version, and the images in `images.rs` are what they expect.
const VERSION: &str = "0.21.1";

/// How long a test may take; some wait for minutes for what never comes.
const SECONDS: &str = "90";

/// All tests of the client.
pub(super) struct Suite {
    tests: Vec<Test>,
}

/// One of them.
pub(super) struct Test {
    file: String,
    pub(super) name: String,
    program: PathBuf,
    folder: PathBuf,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Hung,
    Ignored,
}

impl Suite {
    /// Builds the tests below `target`, from a copy: cargo's own is not to be written to.
    pub(super) fn build(target: &Path) -> Result<Self> {
        let folder = target.join("conformance");
        let source = fetch(&folder.join("fetch"))?;
        let copy = folder.join(format!("{CLIENT}-{VERSION}"));
        if !copy.exists() {
            let unfinished = folder.join("copy");
            let _ = fs::remove_dir_all(&unfinished);
            let mut cp = tools::command("cp", Path::new("/"));
            if !tools::succeeds(cp.arg("-r").arg(&source).arg(&unfinished))? {
                bail!("cannot copy {}", source.display());
            }
            let manifest = File::options().append(true).open(unfinished.join("Cargo.toml"));
            // No member of the workspace above it.
            manifest
                .and_then(|mut file| file.write_all(b"\n[workspace]\n"))
                .context("cannot end its manifest")?;
            fs::rename(&unfinished, &copy).context("cannot move the copy to its place")?;
        }
        let mut cargo = tools::cargo(&copy);
        cargo
            .args(["test", "--locked", "--no-run", "--tests", "--message-format", "json-render-diagnostics"])
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .env("CARGO_PROFILE_TEST_DEBUG", "0")
            .stderr(Stdio::inherit());
        let output = cargo.output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("the tests of {CLIENT} {VERSION} do not build");
        }
        let mut tests = Vec::new();
        for (file, program) in programs(&String::from_utf8_lossy(&output.stdout)) {
            for name in names(&program)? {
                tests.push(Test { file: file.clone(), name, program: program.clone(), folder: copy.clone() });
            }
        }
        println!("{} tests of {CLIENT} {VERSION}", tests.len());
        Ok(Self { tests })
    }

    pub(super) fn tests(&self) -> &[Test] {
        &self.tests
    }
}

/// Has cargo fetch the package, and returns where it put it.
fn fetch(folder: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    fs::create_dir_all(folder.join("src")).with_context(|| format!("cannot make {}", folder.display()))?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nedition = \"2024\"\n\n[dependencies]\n{CLIENT} = \"={VERSION}\"\n\n[workspace]\n"
    );
    let mut file = File::create(folder.join("Cargo.toml")).context("cannot make a manifest")?;
    file.write_all(manifest.as_bytes()).context("cannot write a manifest")?;
    File::create(folder.join("src/lib.rs")).context("cannot make an empty library")?;
    let mut cargo = tools::cargo(folder);
    let output = cargo
        .args(["metadata", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo cannot fetch {CLIENT} {VERSION}");
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read cargo's metadata")?;
    let package = metadata.packages.into_iter().find(|package| package.name == CLIENT);
    let manifest = package.context("cargo fetched something else")?.manifest_path;
    Ok(manifest.parent().context("a manifest lies in a folder")?.to_owned())
}

/// Test programs in cargo's JSON messages, by the name of their file. Those within the library need no dockerd.
fn programs(messages: &str) -> Vec<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut programs: Vec<_> = messages
        .filter_map(|message| Some((message.target?, message.executable?)))
        .filter(|(target, _)| target.kind.iter().any(|kind| kind == "test"))
        .map(|(target, program)| (target.name, program))
        .collect();
    programs.sort();
    programs
}

fn names(program: &Path) -> Result<Vec<String>> {
    let mut list = tools::command(program, Path::new("/"));
    let output = list.args(["--list", "--format", "terse"]).output().context("cannot list the tests")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

impl Test {
    /// bollard runs its own with a swarm around all tests; these are the ones that ask for it.
    pub(super) fn needs_swarm(&self) -> bool {
        ["config_test", "node_test", "secret_test", "service_test", "task_test"].contains(&self.file.as_str())
    }

    /// The folder that it is to run in, and the words that run it with the Docker API at `url`; `below` is where the
    /// folders of this machine are.
    pub(super) fn words(&self, url: &str, below: &str) -> (String, Vec<String>) {
        let here = |path: &Path| format!("{below}{}", path.display());
        let mut words = vec![
            "env".to_owned(),
            format!("DOCKER_HOST={url}"),
            "REGISTRY_HTTP_ADDR=localhost:5000".to_owned(),
            "REGISTRY_PASSWORD=none".to_owned(),
        ];
        words.extend(["timeout", "--kill-after", "5", SECONDS].map(str::to_owned));
        words.push(here(&self.program));
        words.extend(["--exact", &self.name, "--test-threads", "1"].map(str::to_owned));
        (here(&self.folder), words)
    }

    /// Runs `command`, which runs it.
    pub(super) fn run(&self, mut command: Command) -> Result<Outcome> {
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {self}"))?;
        Ok(Outcome::of(output.status.code(), &String::from_utf8_lossy(&output.stdout)))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.file, self.name)
    }
}

impl Outcome {
    pub(super) const ALL: [Self; 4] = [Self::Passed, Self::Failed, Self::Hung, Self::Ignored];

    fn of(code: Option<i32>, text: &str) -> Self {
        match code {
            Some(0) if text.contains(" 1 ignored;") => Self::Ignored,
            Some(0) if text.contains(" 1 passed;") => Self::Passed,
            // What `timeout` says; none: it had to be killed.
            Some(124 | 137) | None => Self::Hung,
            _ => Self::Failed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::Ignored => "ignored",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        let passed = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 5 filtered out";
        let ignored = "test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 5 filtered out";
        let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 6 filtered out";
        for (code, text, outcome) in [
            (Some(0), passed, Outcome::Passed),
            (Some(0), ignored, Outcome::Ignored),
            (Some(0), none, Outcome::Failed),
            (Some(101), "", Outcome::Failed),
            (Some(124), "", Outcome::Hung),
            (None, "", Outcome::Hung),
        ] {
            assert_eq!(Outcome::of(code, text), outcome, "{code:?} {text}");
        }
    }

    #[test]
    fn only_integration_tests_are_programs() {
        let messages = r#"{"target":{"name":"bollard","kind":["lib"]},"executable":"/t/bollard-1"}
{"target":{"name":"exec_test","kind":["test"]},"executable":"/t/exec_test-1"}
{"target":{"name":"tar","kind":["lib"]},"executable":null}
{"reason":"build-finished","success":true}"#;
        assert_eq!(programs(messages), [("exec_test".to_owned(), PathBuf::from("/t/exec_test-1"))]);
    }
}
