//! `cargo xtask bench`: measures against something of the same kind, side by side in one run.
//!
//! A time alone says more about the machine than about us. So each bench alternates between our program and the plain
//! one on the same disk, and prints the ratio of the medians.

mod bare;
mod http;
mod ours;
mod ping;
mod ports;
mod proxy;
mod samples;
mod scratch;
mod sessions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::bare::BareDockerd;
pub(crate) use self::ours::OurInstance;
use self::samples::Samples;
pub(crate) use self::scratch::Scratch;
use crate::workspace;

const RUNS: usize = 10;

pub(crate) fn run(options: &[String]) -> Result<ExitCode> {
    let options = Options::parse(options)?;
    let program = workspace::root().join("dist/bin/sampan");
    if !program.exists() {
        bail!("{} does not exist: run `make build`", program.display());
    }
    let scratch = Scratch::take(&program)?;
    measure(&options, &program, &scratch)?;
    scratch.remove()?;
    Ok(ExitCode::SUCCESS)
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    runs: usize,
    /// The engine's root file system; without it Sampan builds one first.
    image: Option<PathBuf>,
    part: Part,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Cold start, sessions, import and export.
    Starts,
    /// What the proxy in front of the Docker socket costs.
    Proxy,
    /// What goes through published ports.
    Ports,
    /// Publishing ports.
    Publish,
    /// What goes through published ports from another machine.
    Outside,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { runs: RUNS, image: None, part: Part::All };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--runs" => options.runs = number(value).context("--runs needs a number from 1 on")?,
                "--image" => options.image = Some(std::path::absolute(value)?),
                "--only" => {
                    options.part = match value.as_str() {
                        "starts" => Part::Starts,
                        "proxy" => Part::Proxy,
                        "ports" => Part::Ports,
                        "publish" => Part::Publish,
                        "outside" => Part::Outside,
                        _ => bail!("--only needs `starts`, `proxy`, `ports`, `outside` or `publish`"),
                    };
                }
                _ => bail!("unknown option {name}: there are --runs N, --image FILE and --only PART"),
            }
        }
        Ok(options)
    }
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number > 0)
}

fn measure(options: &Options, program: &Path, scratch: &Scratch) -> Result<()> {
    let ours = OurInstance::new(program, scratch);
    let (image, took) = ours.first_start(options.image.as_deref())?;
    println!(
        "bench: first start of ours (builds or imports the engine image; not counted): {:.1} s",
        took.as_secs_f64()
    );
    let wanted = |part| options.part == Part::All || options.part == part;
    if wanted(Part::Starts) {
        cold_start(options, &ours, &image, scratch)?;
    }
    if wanted(Part::Proxy) {
        proxy::run(&ours, &image, scratch.folder(), options.runs)?;
    }
    if wanted(Part::Ports) {
        ports::run(&ours, &image, scratch.folder(), options.runs)?;
    }
    if wanted(Part::Outside) {
        ports::outside(&ours, &image, scratch, options.runs)?;
    }
    if wanted(Part::Publish) {
        ports::publish(&ours, &image, scratch, options.runs)?;
    }
    Ok(())
}

/// From fully stopped to the first `200` of `/_ping`: `sampan start` against a bare dockerd from the same root file
/// system. Both make one start beforehand that is not counted, in which they lay out their folders.
fn cold_start(options: &Options, ours: &OurInstance<'_>, image: &Path, scratch: &Scratch) -> Result<()> {
    println!("bench: cold start to the first 200 of /_ping, {} runs each, alternating", options.runs);
    let bare = BareDockerd::unpack(image, scratch)?;
    let took = bare.start()?;
    println!("  first start of the bare dockerd (not counted): {:.3} s", took.as_secs_f64());

    let mut our_times = Samples::default();
    let mut bare_times = Samples::default();
    for run in 1..=options.runs {
        let our_time = ours.start()?;
        let bare_time = bare.start()?;
        println!(
            "  run {run:2}: ours {:.3} s, bare {:.3} s",
            our_time.as_secs_f64(),
            bare_time.as_secs_f64()
        );
        our_times.add(our_time);
        bare_times.add(bare_time);
    }
    println!("  ours: {our_times}");
    println!("  bare: {bare_times}");
    println!("  ratio of medians: {:.2}x", our_times.ratio(&bare_times));
    sessions::run(ours, image, bare.root(), scratch, options.runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn options() {
        assert_eq!(parse(&[]).unwrap(), Options { runs: 10, image: None, part: Part::All });
        let image = Some(PathBuf::from("/e.tar.zst"));
        let all = ["--runs", "12", "--image", "/e.tar.zst", "--only", "proxy"];
        assert_eq!(parse(&all).unwrap(), Options { runs: 12, image, part: Part::Proxy });
        assert!(parse(&["--only", "some"]).is_err());
        assert!(parse(&["--runs", "0"]).is_err());
        assert!(parse(&["--image"]).is_err());
        assert!(parse(&["--fast", "1"]).is_err());
    }
}
