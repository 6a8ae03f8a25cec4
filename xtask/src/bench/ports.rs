//! Published ports: through our forwarder, through Docker's own `docker-proxy` in the same network, and directly to the
//! container, in turn.

mod outside;
mod publish;
mod traffic;
mod way;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

pub(super) use self::outside::run as outside;
pub(super) use self::publish::run as publish;
use self::traffic::{Load, Server};
use self::way::{StockProxy, Way};
use super::ours::OurInstance;

/// How long one kind of traffic goes on.
const SPELL: Duration = Duration::from_secs(1);

/// Ports: of the container, and of the two forwarders.
const INSIDE: u16 = 7777;
const OURS: u16 = 19_000;
const STOCK: u16 = 19_001;

/// Starts the instance, measures, and stops it again.
pub(super) fn run(ours: &OurInstance<'_>, image: &Path, scratch: &Path, runs: usize) -> Result<()> {
    ours.with_image(image, scratch, || {
        let (tcp, udp) = (format!("{OURS}:{INSIDE}"), format!("{OURS}:{INSIDE}/udp"));
        let words =
            ["run", "-d", "--name", "bench-port", "-p", &tcp, "-p", &udp, "bench", "sleep", "infinity"];
        ours.docker(&words)?;
        let result = compare(ours, runs);
        ours.docker(&["rm", "-f", "bench-port"])?;
        result
    })
}

fn compare(ours: &OurInstance<'_>, runs: usize) -> Result<()> {
    let address = ours.docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "bench-port"])?;
    let link = ours.docker(&["exec", "bench-port", "readlink", "/proc/self/ns/net"])?;
    let _server = Server::start(File::open(of_link(&link)?)?, INSIDE)?;
    let engine = ours.engine_pid()?;
    let inside = PathBuf::from(format!("/proc/{engine}/ns/net"));
    let forwarder = forwarder(&inside)?;
    let tcp = StockProxy::start(engine, None, "tcp", STOCK, &address, INSIDE)?;
    let udp = StockProxy::start(engine, None, "udp", STOCK, &address, INSIDE)?;
    println!("bench: a published port, {runs} runs of {} s each, in turn", SPELL.as_secs());
    let loopback = [127, 0, 0, 1];
    let at_engine = octets(&ours.engine_address()?)?;
    for load in Load::ALL {
        let stock = if load.is_udp() { &udp } else { &tcp };
        let inside = Some(inside.as_path());
        println!("  {}, {}", load.name(), load.unit().0);
        // A distribution asks its own loopback.
        let ways = [
            Way::new("docker-proxy", inside, (loopback, STOCK), Some(stock.pid()))?,
            Way::new("ours", inside, (loopback, OURS), Some(forwarder))?,
            Way::new("no forwarder", inside, (octets(&address)?, INSIDE), None)?,
        ];
        way::compare(load, "from a distribution", &ways, runs, SPELL)?;
        // The host: docker-proxy listens where dockerd is, and is reached at the engine's address.
        let ways = [
            Way::new("docker-proxy", None, (at_engine, STOCK), Some(stock.pid()))?,
            Way::new("ours", None, (loopback, OURS), Some(forwarder))?,
        ];
        way::compare(load, "from the host", &ways, runs, SPELL)?;
    }
    Ok(())
}

fn octets(address: &str) -> Result<[u8; 4]> {
    let address: std::net::Ipv4Addr =
        address.parse().with_context(|| format!("`{address}` is no address of a container"))?;
    Ok(address.octets())
}

/// The file of the network namespace with this link text, `net:[4026531840]`.
fn of_link(link: &str) -> Result<PathBuf> {
    let mut files = processes()?.map(|process| process.join("ns/net"));
    files
        .find(|file| fs::read_link(file).is_ok_and(|found| found.as_os_str() == link))
        .with_context(|| format!("no process is in {link}"))
}

/// Our forwarder in the network `network`.
fn forwarder(network: &Path) -> Result<u32> {
    let network = fs::read_link(network).context("the engine is gone")?;
    let is_it = |process: &PathBuf| {
        let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        words.starts_with("sampan-guest\0ports\0")
            && fs::read_link(process.join("ns/net")).is_ok_and(|at| at == network)
    };
    let found = processes()?.find(is_it).context("there is no forwarder")?;
    Ok(found.file_name().and_then(|name| name.to_str()).unwrap_or_default().parse()?)
}

fn processes() -> Result<impl Iterator<Item = PathBuf>> {
    Ok(fs::read_dir("/proc").context("cannot read /proc")?.flatten().map(|entry| entry.path()))
}
