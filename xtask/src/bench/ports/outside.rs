//! A published port, asked from another machine: through our forwarder, by the kernel (`keepClientAddresses`), and through
//! Docker's own program on the host.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::traffic::{Load, Server};
use super::way::{self, StockProxy, Way};
use super::{INSIDE, OURS, SPELL, STOCK, forwarder, octets, of_link};
use crate::bench::ours::OurInstance;
use crate::bench::scratch::Scratch;
use crate::tools;

/// The host's address, and that of the world outside (TEST-NET-2, RFC 5737).
const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Starts the instance in a network of its own, once with each setting, and measures.
pub(in crate::bench) fn run(
    ours: &OurInstance<'_>,
    image: &Path,
    scratch: &Scratch,
    runs: usize,
) -> Result<()> {
    let (host, world) = (Network::new()?, Network::new()?);
    join(&host, &world)?;
    let program = scratch.folder().join("outside").join("sampan");
    wrap(ours.program(), &host, &program)?;
    let instance = ours.by(&program);
    println!(
        "bench: a published port from another machine, {runs} runs of {} s each, in turn",
        SPELL.as_secs()
    );
    for (name, keeps) in [("ours", false), ("the kernel", true)] {
        instance.configure(&json!({ "schemaVersion": 1, "keepClientAddresses": keeps }))?;
        instance.with_image(image, scratch.folder(), || {
            let port = format!("{OURS}:{INSIDE}");
            instance.docker(&[
                "run",
                "-d",
                "--name",
                "bench-port",
                "-p",
                &port,
                "bench",
                "sleep",
                "infinity",
            ])?;
            let result = compare(name, &instance, &host, &world, runs);
            instance.docker(&["rm", "-f", "bench-port"])?;
            result
        })?;
    }
    instance.configure(&json!({ "schemaVersion": 1 }))
}

fn compare(
    name: &'static str,
    instance: &OurInstance<'_>,
    host: &Network,
    world: &Network,
    runs: usize,
) -> Result<()> {
    let link = instance.docker(&["exec", "bench-port", "readlink", "/proc/self/ns/net"])?;
    let _server = Server::start(File::open(of_link(&link)?)?, INSIDE)?;
    let engine = instance.engine_pid()?;
    let forwarder = forwarder(&PathBuf::from(format!("/proc/{engine}/ns/net")))?;
    // There it has to be told of the engine's address: no route leads to containers.
    let stock =
        StockProxy::start(engine, Some(&host.path()), "tcp", STOCK, &instance.engine_address()?, OURS)?;
    let from = world.path();
    let to = octets(&HOST.to_string())?;
    let ways = [
        Way::new("docker-proxy", Some(&from), (to, STOCK), Some(stock.pid()))?,
        Way::new(name, Some(&from), (to, OURS), Some(forwarder))?,
    ];
    for load in Load::ALL.into_iter().filter(|load| !load.is_udp()) {
        println!("  {}, {}", load.name(), load.unit().0);
        way::compare(load, "from another machine", &ways, runs, SPELL)?;
    }
    Ok(())
}

/// A network namespace, which ends with this value.
struct Network(Child);

impl Network {
    fn new() -> Result<Self> {
        let mut command = tools::command("setpriv", Path::new("/"));
        let script = "ip link set lo up && echo && exec sleep infinity";
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", script]).stdout(Stdio::piped());
        let mut network = Self(command.spawn().context("cannot start unshare")?);
        let mut said = network.0.stdout.take().context("it has an output")?;
        said.read_exact(&mut [0]).context("cannot make a network namespace")?;
        Ok(network)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.0.id()))
    }

    fn run(&self, script: &str) -> Result<()> {
        let mut command = tools::command("nsenter", Path::new("/"));
        let net = format!("--net={}", self.path().display());
        if !tools::succeeds(command.args([&net, "sh", "-ec", script]))? {
            bail!("`{script}` failed");
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cable from the host to the world, which is its way out.
fn join(host: &Network, world: &Network) -> Result<()> {
    host.run(&format!(
        "ip link add wan0 type veth peer name wan0 netns {}; ip address add {HOST}/24 dev wan0; ip link set wan0 up",
        world.0.id()
    ))?;
    world.run(&format!("ip address add {WORLD}/24 dev wan0; ip link set wan0 up"))?;
    host.run(&format!("ip route add default via {WORLD}"))
}

/// Makes `at` a program that runs `program` in `network`.
fn wrap(program: &Path, network: &Network, at: &Path) -> Result<()> {
    let script =
        format!("#!/bin/sh\nexec nsenter --net={} {} \"$@\"\n", network.path().display(), program.display());
    let make = || -> std::io::Result<()> {
        fs::create_dir(at.parent().expect("it is in a folder"))?;
        let mut file = File::create(at)?;
        file.write_all(script.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o755))
    };
    make().with_context(|| format!("cannot make {}", at.display()))
}
