//! `cargo xtask conformance`: the own tests of a Docker client that others wrote, at dockerd's socket, at the host's with the
//! proxy behind it, and inside a distribution.
//!
//! Each test runs at all of them, one after the other. Some fail at dockerd's own socket already (they want what is not
//! there: a registry of the world, another version), and that is as good: what counts is that the proxy makes no difference.

mod images;
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

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
    let target = test::target()?;
    let suite = Suite::build(&target)?;
    let scratch = Scratch::take(&program)?;
    let tally = {
        let ours = OurInstance::new(&program, &scratch);
        let (root, _) = ours.first_start(image.as_deref())?;
        // What the tests mount, and where they are.
        ours.share(&["/tmp", &target.display().to_string()])?;
        ours.sampan(&["start"])?;
        let place = scratch.folder().join("distribution").display().to_string();
        ours.wsl(&["--import", DISTRIBUTION, &place, &root.display().to_string()])?;
        let engine = Engine { bare: ours.bare_socket()?, docker: ours.docker_words()?, ours: &ours };
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

/// A distribution of the engine's own image, which has all that the tests need.
const DISTRIBUTION: &str = "conformance";

/// From where a test asks.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At dockerd's own socket.
    Bare,
    /// At the host's.
    Host,
    /// Inside the distribution.
    Distribution,
}

impl Place {
    const ALL: [Self; 3] = [Self::Bare, Self::Host, Self::Distribution];
    const NAMES: [&str; 3] = ["bare", "host", "inside"];
}

/// A running engine with a distribution beside it.
struct Engine<'a> {
    bare: PathBuf,
    docker: Vec<PathBuf>,
    ours: &'a OurInstance<'a>,
}

impl Engine<'_> {
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

    /// Runs `test` from `place`.
    fn command(&self, test: &Test, place: Place) -> Command {
        let at = |socket: &Path| {
            let (folder, words) = test.words(SOCKET, "");
            let mut command = tools::command("unshare", Path::new(&folder));
            command.args(["--mount", "sh", "-c", AT_ITS_PLACE]).arg(socket).args(words);
            command
        };
        match place {
            Place::Bare => at(&self.bare),
            Place::Host => at(&self.ours.socket()),
            Place::Distribution => {
                let (folder, words) = test.words(SOCKET, "/mnt/host");
                let mut command = tools::command(self.ours.wsl_program(), Path::new("/"));
                command.args(["-d", DISTRIBUTION, "--cd", &folder, "-e"]).args(words);
                self.ours.environment(command)
            }
        }
    }

    /// `test` from `place`, with the same state before it each time.
    fn outcome(&self, test: &Test, place: Place) -> Result<Outcome> {
        if test.needs_swarm() {
            self.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"])?;
        }
        let outcome = test.run(self.command(test, place))?;
        self.tidy()?;
        Ok(outcome)
    }
}

/// Where every test finds the Docker API; some of them look nowhere else.
const SOCKET: &str = "unix:///run/docker.sock";

/// Runs a command that sees the socket `$0` at that place.
const AT_ITS_PLACE: &str = "mount -t tmpfs tmpfs /run && ln -s \"$0\" /run/docker.sock && exec \"$@\"";

fn url(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

#[derive(Debug, Default)]
struct Tally {
    /// How often each outcome was seen, by place.
    counts: [[usize; Outcome::ALL.len()]; Place::ALL.len()],
    differences: usize,
}

fn compare(suite: &Suite, engine: &Engine<'_>, filter: &str) -> Result<Tally> {
    let mut tally = Tally::default();
    for test in suite.tests().iter().filter(|test| test.name.contains(filter)) {
        let all = || -> Result<Vec<Outcome>> {
            Place::ALL.into_iter().map(|place| engine.outcome(test, place)).collect()
        };
        let is_same = |outcomes: &[Outcome]| outcomes.iter().all(|outcome| *outcome == outcomes[0]);
        let mut outcomes = all()?;
        if !is_same(&outcomes) {
            // Some of these tests depend on the moment. What the proxy changes, it changes each time.
            println!("{test}: {}; again", words(&outcomes));
            outcomes = all()?;
        }
        let word = if is_same(&outcomes) { "" } else { "  DIFFERENT" };
        println!("{test}: {}{word}", words(&outcomes));
        for (counts, outcome) in tally.counts.iter_mut().zip(&outcomes) {
            counts[*outcome as usize] += 1;
        }
        tally.differences += usize::from(!is_same(&outcomes));
    }
    println!();
    for (name, counts) in Place::NAMES.iter().zip(&tally.counts) {
        let words: Vec<_> =
            Outcome::ALL.iter().zip(counts).map(|(outcome, count)| format!("{count} {outcome}")).collect();
        println!("{name:6}: {}", words.join(", "));
    }
    println!("{} different", tally.differences);
    Ok(tally)
}

/// What came of a test at each place.
fn words(outcomes: &[Outcome]) -> String {
    let words: Vec<_> =
        Place::NAMES.iter().zip(outcomes).map(|(name, outcome)| format!("{name} {outcome}")).collect();
    words.join(", ")
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
