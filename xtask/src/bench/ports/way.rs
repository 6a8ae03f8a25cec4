//! Ways to a port, and what they cost.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::traffic::Load;
use crate::tools;

/// Ticks per second in `/proc/PID/stat` (`USER_HZ`, proc(5)): 100 on every machine that Linux runs on.
const TICKS: f64 = 100.0;

/// One way to the server.
pub(super) struct Way {
    name: &'static str,
    network: Option<PathBuf>,
    to: SocketAddr,
    /// The process that forwards.
    forwarder: Option<u32>,
}

impl Way {
    pub(super) fn new(
        name: &'static str,
        network: Option<&Path>,
        to: ([u8; 4], u16),
        forwarder: Option<u32>,
    ) -> Result<Self> {
        if let Some(pid) = forwarder {
            cpu_seconds(pid)?;
        }
        Ok(Self { name, network: network.map(Path::to_owned), to: to.into(), forwarder })
    }
}

/// What a way has shown in all runs: rates, and the forwarder's processor seconds for each unit.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    costs: Vec<f64>,
}

/// Measures the ways in turn. The first is what the others are compared with.
pub(super) fn compare(load: Load, from: &str, ways: &[Way], runs: usize, spell: Duration) -> Result<()> {
    let mut figures: Vec<Figures> = ways.iter().map(|_| Figures::default()).collect();
    for _ in 0..runs {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let before = way.forwarder.map_or(Ok(0.0), cpu_seconds)?;
            let rate = load.run(way.network.as_deref(), way.to, spell)?;
            let after = way.forwarder.map_or(Ok(0.0), cpu_seconds)?;
            figures.rates.push(rate);
            figures.costs.push((after - before) / (rate * spell.as_secs_f64()));
        }
    }
    let (_, scale) = load.unit();
    println!("    {from}");
    let first = (median(&figures[0].rates), median(&figures[0].costs));
    for (way, figures) in ways.iter().zip(&figures) {
        let [min, middle, max] = range(&figures.rates).map(|rate| rate / scale);
        let digits = if scale > 1.0 { 2 } else { 0 };
        let cost = match way.forwarder {
            Some(_) if first.1 > 0.0 => {
                format!(", its processor time {:.2}x", median(&figures.costs) / first.1)
            }
            _ => String::new(),
        };
        println!(
            "      {:12} min {min:.digits$}, median {middle:.digits$}, max {max:.digits$}: {:.2}x{cost}",
            way.name,
            median(&figures.rates) / first.0,
        );
    }
    Ok(())
}

fn range(values: &[f64]) -> [f64; 3] {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(0.0, f64::max);
    [min, median(values), max]
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.as_slice() {
        [] => 0.0,
        odd if odd.len() % 2 == 1 => odd[middle],
        even => f64::midpoint(even[middle - 1], even[middle]),
    }
}

/// What a process has used, the kernel's work for it included.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("a forwarder has ended")?;
    // The name, which may have spaces, is in brackets; utime and stime are fields 14 and 15 (proc(5)).
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(14) + ticks(15)) / TICKS)
}

/// Docker's own proxy, from the engine's image. Dropping it ends it.
pub(super) struct StockProxy(Child);

impl StockProxy {
    /// Starts it in `network`, or in that of the process `engine`, as dockerd does.
    pub(super) fn start(
        engine: u32,
        network: Option<&Path>,
        proto: &str,
        port: u16,
        address: &str,
        to: u16,
    ) -> Result<Self> {
        let network = network.map_or_else(|| "--net".to_owned(), |path| format!("--net={}", path.display()));
        // The program says on descriptor 3 whether it listens.
        let script = format!(
            "exec nsenter -t {engine} {network} -m docker-proxy -proto {proto} -host-ip 0.0.0.0 -host-port {port} \
             -container-ip {address} -container-port {to} 3>&1 </dev/null 2>/dev/null"
        );
        let mut command = tools::command("setpriv", Path::new("/"));
        command.args(["--pdeathsig", "KILL", "sh", "-c", &script]).stdout(Stdio::piped());
        let mut child = Self(command.spawn().context("cannot start docker-proxy")?);
        let mut said = [0; 2];
        let status = child.0.stdout.take().context("it has an output")?;
        std::io::Read::read_exact(&mut { status }, &mut said).context("docker-proxy did not start")?;
        if said != *b"0\n" {
            bail!("docker-proxy could not listen on port {port}");
        }
        Ok(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for StockProxy {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
