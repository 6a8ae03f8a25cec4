//! `cargo xtask conformance`: the own tests of a Docker client that others wrote, at dockerd's socket and at ours.
//!
//! Each test runs at both, one after the other. Some fail at dockerd's own socket already (they want what is not there:
//! a registry of the world, another version), and that is as good: what counts is that the proxy makes no difference.

mod images;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::suite::{Outcome, Suite, Test};
use crate::bench::{OurInstance, Scratch};
use crate::{test, tools, workspace};

pub(crate) fn run(options: &[String]) -> Result<ExitCode> {
    let (image, filter) = parse(options)?;
    let program = workspace::root().join("dist/bin/sampan");
    if !program.exists() {
        bail!("{} does not exist: run `make build`", program.display());
    }
    let suite = Suite::build(&test::target()?)?;
    let scratch = Scratch::take(&program)?;
    let tally = {
        let ours = OurInstance::new(&program, &scratch);
        ours.first_start(image.as_deref())?;
        // Which the tests mount.
        ours.share("/tmp")?;
        ours.sampan(&["start"])?;
        let engine = Engine { bare: ours.bare_socket()?, proxy: ours.socket(), docker: ours.docker_words()? };
        images::make(&engine, &scratch.folder().join("images"))?;
        compare(&suite, &engine, &filter)?
    };
    scratch.remove()?;
    Ok(if tally.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The engine's image, and what the name of a test has to contain.
fn parse(options: &[String]) -> Result<(Option<PathBuf>, String)> {
    let (mut image, mut filter) = (None, String::new());
    let mut rest = options.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--image" => image = Some(std::path::absolute(value)?),
            "--test" => filter.clone_from(value),
            _ => bail!("unknown option {name}: there are --image FILE and --test NAME"),
        }
    }
    Ok((image, filter))
}

/// A running engine with its two sockets.
struct Engine {
    bare: PathBuf,
    proxy: PathBuf,
    docker: Vec<PathBuf>,
}

impl Engine {
    /// Runs the Docker CLI at dockerd's own socket and returns what it said.
    fn docker(&self, arguments: &[&str]) -> Result<String> {
        let mut command = tools::command(&self.docker[0], Path::new("/"));
        command.args(&self.docker[1..]).arg("-H").arg(url(&self.bare)).args(arguments);
        let output = command.output().context("cannot start the Docker CLI")?;
        if !output.status.success() {
            bail!("docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Removes what a test left, so that the next one finds what it expects.
    fn tidy(&self) -> Result<()> {
        let all = self.docker(&["ps", "--all", "--quiet"])?;
        let registry = self.docker(&["ps", "--all", "--quiet", "--filter", "label=conformance=registry"])?;
        let left: Vec<_> = all.lines().filter(|id| !registry.contains(id)).collect();
        if !left.is_empty() {
            self.docker(&[&["rm", "--force", "--volumes"], &left[..]].concat())?;
        }
        let _ = self.docker(&["swarm", "leave", "--force"]); // there is a swarm only after some tests
        self.docker(&["network", "prune", "--force"])?;
        self.docker(&["volume", "prune", "--force", "--all"]).map(drop)
    }

    /// `test` at `socket`, from the same state each time.
    fn outcome(&self, test: &Test, socket: &Path) -> Result<Outcome> {
        if test.needs_swarm() {
            self.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"])?;
        }
        let outcome = test.run(&url(socket))?;
        self.tidy()?;
        Ok(outcome)
    }
}

fn url(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

#[derive(Debug, Default)]
struct Tally {
    bare: [usize; Outcome::ALL.len()],
    proxy: [usize; Outcome::ALL.len()],
    differences: usize,
}

fn compare(suite: &Suite, engine: &Engine, filter: &str) -> Result<Tally> {
    let mut tally = Tally::default();
    for test in suite.tests().iter().filter(|test| test.name.contains(filter)) {
        let both = || -> Result<_> {
            Ok((engine.outcome(test, &engine.bare)?, engine.outcome(test, &engine.proxy)?))
        };
        let (mut bare, mut proxy) = both()?;
        if bare != proxy {
            // Some of these tests depend on the moment. What the proxy changes, it changes each time.
            println!("{test}: bare {bare}, proxy {proxy}; again");
            (bare, proxy) = both()?;
        }
        let word = if bare == proxy { "" } else { "  DIFFERENT" };
        println!("{test}: bare {bare}, proxy {proxy}{word}");
        tally.bare[bare as usize] += 1;
        tally.proxy[proxy as usize] += 1;
        tally.differences += usize::from(bare != proxy);
    }
    println!();
    for (name, counts) in [("bare", &tally.bare), ("proxy", &tally.proxy)] {
        let words: Vec<_> =
            Outcome::ALL.iter().zip(counts).map(|(outcome, count)| format!("{count} {outcome}")).collect();
        println!("{name:5}: {}", words.join(", "));
    }
    println!("{} different", tally.differences);
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse = |words: &[&str]| parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parse(&[]).unwrap(), (None, String::new()));
        let image = Some(PathBuf::from("/e.tar.zst"));
        assert_eq!(parse(&["--image", "/e.tar.zst", "--test", "exec"]).unwrap(), (image, "exec".to_owned()));
        assert!(parse(&["--test"]).is_err());
        assert!(parse(&["--fast", "1"]).is_err());
    }
}
