//! What the proxy in front of the Docker socket costs: the same requests at dockerd's own socket and at the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::http::Connection;
use super::ours::OurInstance;
use super::samples::Samples;

const CONTAINERS: usize = 50;
/// How often a small request is made.
const MANY: usize = 2000;
/// How often one that is not so small, or has a connection of its own.
const LISTS: usize = 500;
/// Bytes of a copied file and of an attached stream.
const BULK: usize = 512 << 20;

/// Starts the instance, measures, and stops it again.
pub(super) fn run(ours: &OurInstance<'_>, image: &Path, scratch: &Path, runs: usize) -> Result<()> {
    ours.with_image(image, scratch, || {
        let bench = Doors { bare: ours.bare_socket()?, proxy: ours.socket() };
        for number in 0..CONTAINERS {
            ours.docker(&["create", "--name", &format!("bench-{number}"), "bench", "true"])?;
        }
        bench.latency().and_then(|()| bench.bulk(ours, runs))
    })
}

struct Doors {
    bare: PathBuf,
    proxy: PathBuf,
}

/// Of one thing at both sockets.
#[derive(Default)]
struct Pair {
    bare: Samples,
    proxy: Samples,
}

impl Doors {
    fn latency(&self) -> Result<()> {
        println!("bench: latency added by the proxy, bare and proxy in turn");
        self.requests(&format!("GET /_ping, {MANY} on one connection"), "/_ping", MANY)?;
        self.requests(
            &format!("GET /containers/json of {CONTAINERS}, {LISTS} on one connection"),
            "/containers/json?all=1",
            LISTS,
        )?;
        let mut pair = Pair::default();
        for round in 0..LISTS {
            for (socket, samples) in
                in_turn(round, (&self.bare, &mut pair.bare), (&self.proxy, &mut pair.proxy))
            {
                let since = Instant::now();
                Connection::open(socket)?.get("/_ping")?;
                samples.add(since.elapsed());
            }
        }
        pair.say_latency(&format!("GET /_ping, {LISTS} on connections of their own"));
        Ok(())
    }

    fn requests(&self, what: &str, path: &str, times: usize) -> Result<()> {
        let (mut bare, mut proxy) = (Connection::open(&self.bare)?, Connection::open(&self.proxy)?);
        let mut pair = Pair::default();
        for round in 0..times + times / 10 {
            for (connection, samples) in
                in_turn(round, (&mut bare, &mut pair.bare), (&mut proxy, &mut pair.proxy))
            {
                let since = Instant::now();
                connection.get(path)?;
                // The first ones warm up.
                if round >= times / 10 {
                    samples.add(since.elapsed());
                }
            }
        }
        pair.say_latency(what);
        Ok(())
    }

    fn bulk(&self, ours: &OurInstance<'_>, runs: usize) -> Result<()> {
        println!("bench: throughput through the proxy, {runs} runs each, bare and proxy in turn");
        self.transfers("save", runs, |socket| {
            timed(|| Connection::open(socket)?.download("/images/bench/get"))
        })?;
        let saved = saved(ours)?;
        self.transfers("load", runs, |socket| {
            timed(|| Connection::open(socket)?.upload("POST", "/images/load", &saved))
        })?;
        drop(saved);
        let file = one_file();
        let archive = "/containers/bench-0/archive?path=";
        self.transfers("cp in", runs, |socket| {
            timed(|| Connection::open(socket)?.upload("PUT", &format!("{archive}/tmp"), &file))
        })?;
        self.transfers("cp out", runs, |socket| {
            timed(|| Connection::open(socket)?.download(&format!("{archive}/tmp/bulk")))
        })?;
        let bytes = BULK.to_string();
        self.transfers("attach", runs, |socket| {
            let create = ["docker", "create", "--name", "bench-attach", "--log-driver", "none", "bench"];
            ours.sampan(&[&create[..], &["head", "-c", &bytes, "/dev/zero"]].concat())?;
            let connection = Connection::open(socket)?;
            let took = timed(|| {
                connection.attach("/containers/bench-attach/attach?stream=1&stdout=1", || {
                    ours.sampan(&["docker", "start", "bench-attach"])
                })
            })?;
            ours.sampan(&["docker", "rm", "-f", "bench-attach"])?;
            Ok(took)
        })
    }

    /// `transfer` returns how many bytes it moved, in what time.
    fn transfers(
        &self,
        what: &str,
        runs: usize,
        transfer: impl Fn(&Path) -> Result<(u64, Duration)>,
    ) -> Result<()> {
        let mut pair = Pair::default();
        let mut bytes = 0;
        for round in 0..=runs {
            for (socket, samples) in
                in_turn(round, (&self.bare, &mut pair.bare), (&self.proxy, &mut pair.proxy))
            {
                let (moved, took) =
                    transfer(socket).with_context(|| format!("{what} at {}", socket.display()))?;
                bytes = moved;
                // The first one warms up.
                if round > 0 {
                    samples.add(took);
                }
            }
        }
        println!("  {what}, {} MB", bytes / 1_000_000);
        println!("    bare:  {}", pair.bare);
        println!("    proxy: {}", pair.proxy);
        // As speeds: more is faster.
        println!("    speed to that of the bare socket: {:.2}x", pair.bare.ratio(&pair.proxy));
        Ok(())
    }
}

/// What it moved, and the time.
fn timed(transfer: impl FnOnce() -> Result<u64>) -> Result<(u64, Duration)> {
    let since = Instant::now();
    Ok((transfer()?, since.elapsed()))
}

/// The one or the other first: what dockerd tidies up after a request falls into the next one.
fn in_turn<T>(round: usize, bare: T, proxy: T) -> [T; 2] {
    if round.is_multiple_of(2) { [bare, proxy] } else { [proxy, bare] }
}

impl Pair {
    fn say_latency(&self, what: &str) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!("  {what}");
        for (name, samples) in [("bare", &self.bare), ("proxy", &self.proxy)] {
            let [min, half, most, max] = [0, 50, 99, 100].map(|percent| micros(samples.percentile(percent)));
            println!("    {name:5}: min {min:.0} us, p50 {half:.0} us, p99 {most:.0} us, max {max:.0} us");
        }
        let [half, most] = [50, 99]
            .map(|percent| micros(self.proxy.percentile(percent)) - micros(self.bare.percentile(percent)));
        println!("    added: p50 {half:+.0} us, p99 {most:+.0} us");
    }
}

/// The image as `docker save` gives it.
fn saved(ours: &OurInstance<'_>) -> Result<Vec<u8>> {
    let file = ours.scratch_file("saved.tar");
    ours.sampan(&["docker", "save", "bench", "-o", &file.display().to_string()])?;
    let saved = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    Ok(saved)
}

/// A tarball with the file `bulk`.
fn one_file() -> Vec<u8> {
    // The fields of a ustar header (pax(1)) that are not zero.
    let mut header = [0; 512];
    let size = format!("{BULK:011o}");
    for (at, text) in [
        (0, "bulk"),
        (100, "0000644"),
        (108, "0000000"),
        (116, "0000000"),
        (124, &size),
        (136, "00000000000"),
        (148, "        "),
        (156, "0"),
        (257, "ustar\x0000"),
    ] {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut archive = header.to_vec();
    archive.resize(512 + BULK + 1024, 0);
    archive
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::tools;

    #[test]
    fn the_tarball_is_one_to_tar() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        // The data can be cut off: the header is what says what is in it.
        fs::File::create(&path).unwrap().write_all(&one_file()[..512]).unwrap();
        let list = tools::command("tar", folder.path()).args(["-tvf", "a.tar"]).output().unwrap();
        let text = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(text.contains(&BULK.to_string()) && text.trim_end().ends_with(" bulk"), "{text}");
    }
}
