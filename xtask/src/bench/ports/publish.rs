//! Publishing ports: with our program for each of them, and with Docker's own in its place.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::processes;
use crate::bench::ours::OurInstance;
use crate::bench::samples::Samples;
use crate::bench::scratch::Scratch;

/// The one port, and the range, as `docker run -p` takes them.
const PORT: u16 = 19_010;
const RANGE: (u16, u16) = (20_000, 20_999);

/// The name that dockerd knows the program by, which is another one on the host.
const INSIDE: &str = "/run/sampan/docker-proxy";
const PROGRAM: &str = "sampan-docker-proxy";
const STOCK: &str = "usr/sbin/docker-proxy";

/// What was seen in one turn.
struct Turn {
    runs: Samples,
    run: Duration,
    remove: Duration,
    memory_mb: u64,
}

/// Runs both, one after the other, on the same instance.
pub(in crate::bench) fn run(
    ours: &OurInstance<'_>,
    image: &Path,
    scratch: &Scratch,
    runs: usize,
) -> Result<()> {
    println!(
        "bench: publishing ports: one, {runs} times, and {} to {} in one range, ours and then docker-proxy",
        RANGE.0, RANGE.1
    );
    let programs = scratch.folder().join("stock");
    let mut own = None;
    ours.with_image(image, scratch.folder(), || {
        stock_programs(ours, &programs)?;
        own = Some(turn("ours", ours, runs, true)?);
        Ok(())
    })?;
    let program = programs.join("sampan");
    let stock = ours.by(&program);
    let mut docker_s = None;
    stock.with_image(image, scratch.folder(), || {
        docker_s = Some(turn("docker-proxy", &stock, runs, false)?);
        Ok(())
    })?;
    let (own, docker_s) = own.zip(docker_s).context("both have been run")?;
    let ratio = |own: Duration, docker_s: Duration| own.as_secs_f64() / docker_s.as_secs_f64();
    println!("  ours to docker-proxy");
    println!("    docker run of one port: {:.2}x", own.runs.ratio(&docker_s.runs));
    println!("    docker run of the range: {:.2}x", ratio(own.run, docker_s.run));
    println!("    docker rm of the range: {:.2}x", ratio(own.remove, docker_s.remove));
    println!("    memory of the programs: {} MB, {} MB", own.memory_mb, docker_s.memory_mb);
    Ok(())
}

/// `listens`: whether the ports are to be found on the host, where only ours puts them.
fn turn(name: &str, instance: &OurInstance<'_>, runs: usize, listens: bool) -> Result<Turn> {
    println!("  {name}");
    let mut samples = Samples::default();
    let mut refused = 0;
    let one = format!("{PORT}:80");
    for _ in 0..runs {
        let since = Instant::now();
        let container = instance.docker(&["run", "-d", "-p", &one, "bench", "sleep", "infinity"])?;
        samples.add(since.elapsed());
        refused += usize::from(listens && !accepts(PORT));
        instance.docker(&["rm", "-f", &container])?;
    }
    println!("    docker run of one port: {samples}");
    if listens {
        println!("    refused as soon as it has returned: {refused} of {runs}");
    }
    let range = format!("{0}-{1}:{0}-{1}", RANGE.0, RANGE.1);
    let since = Instant::now();
    let container = instance.docker(&["run", "-d", "-p", &range, "bench", "sleep", "infinity"])?;
    let run = since.elapsed();
    let (count, memory_mb) = programs()?;
    let missing = |listens: bool| (RANGE.0..=RANGE.1).filter(|port| accepts(*port) != listens).count();
    let absent = if listens { missing(true) } else { 0 };
    let since = Instant::now();
    instance.docker(&["rm", "-f", &container])?;
    let remove = since.elapsed();
    println!(
        "    the range: docker run {:.1} s, docker rm {:.1} s; {count} programs with {memory_mb} MB",
        run.as_secs_f64(),
        remove.as_secs_f64()
    );
    if listens {
        println!("    missing on the host: {absent}; left over: {}", missing(false));
    }
    Ok(Turn { runs: samples, run, remove, memory_mb })
}

/// Whether somebody listens, be it only to break off: nobody does in the container, and a client may not be awake before.
fn accepts(port: u16) -> bool {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// How many programs dockerd has started for ports, and the memory that is theirs alone or in part (PSS, proc(5)).
fn programs() -> Result<(usize, u64)> {
    let mut found = (0, 0);
    for process in processes()? {
        let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        if !words.starts_with(INSIDE) {
            continue;
        }
        let text = fs::read_to_string(process.join("smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        found = (found.0 + 1, found.1 + kib.unwrap_or(0));
    }
    if found.0 == 0 {
        bail!("dockerd has started no {INSIDE}");
    }
    Ok((found.0, found.1 / 1024))
}

/// Makes the folder `at` with all programs of the installation, and Docker's own in the place of the one for ports.
fn stock_programs(ours: &OurInstance<'_>, at: &Path) -> Result<()> {
    let own = ours.program().parent().context("a program is in a folder")?;
    let copy = || -> std::io::Result<()> {
        fs::create_dir(at)?;
        for program in fs::read_dir(own)? {
            let program = program?;
            let to = at.join(program.file_name());
            if program.file_type()?.is_symlink() {
                symlink(fs::read_link(program.path())?, to)?;
            } else if program.file_name() != PROGRAM {
                fs::copy(program.path(), to)?;
            }
        }
        Ok(())
    };
    copy().with_context(|| format!("cannot copy the programs of {}", own.display()))?;
    let engine = PathBuf::from(format!("/proc/{}/root", ours.engine_pid()?));
    fs::copy(engine.join(STOCK), at.join(PROGRAM)).context("the engine's image has no docker-proxy")?;
    Ok(())
}
