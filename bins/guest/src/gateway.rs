//! `sampan-guest gateway`: what distributions and containers reach of the host by its address in their network: its
//! resolvers, services at its loopback, and the web by its proxies.
//!
//! It is a process of the host, in the host's network, that outlives the service. It has what it needs when it begins, and
//! then gives up every right: what it reads comes from containers.

mod control;

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use sampan_model::gateway::{AskGatewaySpec, Duty, GatewayPorts, GatewayRecord, GatewaySpec};
use sampan_model::guest::{Answer, ProcessId};
use sampan_relay::forward::serve_loopback;
use sampan_relay::names::{Names, Resolvers};
use sampan_relay::web::Web;
use sampan_sys::capability::{self, CapabilitySet};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Forked, ProcessRecord, Standard};
use tokio::sync::watch;

use crate::{descriptors, engine, verb};

/// Where the host says which resolvers it has, the best one first: the second is what the stub of systemd-resolved asks
/// (systemd-resolved.service(8)).
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// How often a port is looked for that is free for UDP as well as TCP.
const ATTEMPTS: usize = 16;

/// A question for the address of `host.docker.internal` (RFC 1035, 4.1).
const QUESTION: [u8; 38] =
    *b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04host\x06docker\x08internal\x00\x00\x01\x00\x01";

/// How long the gateway is waited for, and how often it is asked: it answers within a millisecond.
const PATIENCE: Duration = Duration::from_millis(200);
const TRIES: usize = 3;

/// The user and the group that nobody has.
const NOBODY: u32 = 65_534;

/// Starts the gateway and answers when it listens; it lives on.
pub(crate) fn run(spec: &GatewaySpec) -> anyhow::Result<Answer> {
    let (ready, tell) = std::io::pipe().context("cannot make a pipe")?;
    let (wait, go) = std::io::pipe().context("cannot make a pipe")?;
    match process::fork_plain()? {
        Forked::Child => {
            drop((ready, go));
            let Err(error) = become_gateway(spec, wait, tell);
            verb::log(&verb::chain(&error));
            process::exit_now(1)
        }
        Forked::Parent { pid, pidfd } => {
            drop((tell, wait));
            let process = verb::process_id(ProcessRecord::of(pid)?);
            let started = begin(spec, &process, go, ready);
            if started.is_err() {
                verb::end_child(&pidfd)?;
            }
            Ok(Answer::Listening { ports: started? })
        }
    }
}

/// Asks for one of our names as somebody in the network does: a firewall of the host may drop what comes from there.
pub(crate) fn ask(spec: &AskGatewaySpec) -> anyhow::Result<Answer> {
    let hub = verb::open_process(&spec.hub)?.context("the hub is gone")?;
    namespace::enter(&hub, Namespaces::NET)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot make a socket")?;
    socket.connect((spec.subnet.gateway(), 53)).context("cannot ask the gateway")?;
    socket.set_read_timeout(Some(PATIENCE)).context("cannot ask the gateway")?;
    let answered = || socket.send(&QUESTION).is_ok() && socket.recv(&mut [0; 512]).is_ok();
    Ok(Answer::Reached { reached: (0..TRIES).any(|_| answered()) })
}

/// Records the process and lets it go on; where it listens.
fn begin(
    spec: &GatewaySpec,
    process: &ProcessId,
    go: PipeWriter,
    ready: PipeReader,
) -> anyhow::Result<GatewayPorts> {
    let record = |ports| {
        verb::record(
            &spec.record,
            &GatewayRecord { process: process.clone(), subnet: spec.duty.subnet, ports },
        )
    };
    // Recorded before it does anything: whoever dies in between, nothing runs that nobody can find.
    record(None)?;
    let mut procs = File::options()
        .write(true)
        .open(&spec.cgroup)
        .with_context(|| format!("cannot open {}", spec.cgroup.display()))?;
    procs.write_all(process.pid.to_string().as_bytes()).context("cannot move it into its cgroup")?;
    let said = verb::let_go(go, ready)?;
    let Ok(ports) = serde_json::from_str::<GatewayPorts>(&said) else {
        bail!("{}", if said.is_empty() { "it died; its log is gateway.log" } else { &said });
    };
    record(Some(ports))?;
    Ok(ports)
}

/// The sockets of a gateway.
struct Sockets {
    datagrams: UdpSocket,
    connections: TcpListener,
    services: TcpListener,
    proxy: TcpListener,
    web: TcpListener,
    control: UnixListener,
}

fn become_gateway(
    spec: &GatewaySpec,
    mut wait: PipeReader,
    mut tell: PipeWriter,
) -> anyhow::Result<std::convert::Infallible> {
    verb::wait_for_go(&mut wait)?;
    drop(wait);
    let begun = prepare(spec);
    let message = match &begun {
        Ok((_, ports)) => serde_json::to_string(ports)?,
        Err(error) => verb::chain(error),
    };
    let told = tell.write_all(message.as_bytes());
    drop(tell);
    let (sockets, _) = begun?;
    told.context("whoever started it is gone")?;
    serve(&spec.duty, sockets)
}

fn prepare(spec: &GatewaySpec) -> anyhow::Result<(Sockets, GatewayPorts)> {
    process::set_session()?;
    process::set_name("sampan-gateway")?;
    let null = File::options().read(true).write(true).open("/dev/null").context("cannot open /dev/null")?;
    for stream in [Standard::Input, Standard::Output] {
        process::redirect(&null, stream)?;
    }
    std::env::set_current_dir("/").context("cannot go to /")?;
    process::reset_signals();
    descriptors::raise_limit();
    let (gateway, services) = (spec.duty.subnet.gateway(), spec.duty.subnet.services());
    let (connections, datagrams) = bind_both(gateway)?;
    let sockets = Sockets {
        datagrams,
        connections,
        services: listen(services)?,
        proxy: listen(gateway)?,
        web: listen(gateway)?,
        control: control::bind(&spec.control)?,
    };
    let port = |listener: &TcpListener| listener.local_addr().map(|at| at.port());
    let ports = GatewayPorts {
        names: port(&sockets.connections)?,
        services: port(&sockets.services)?,
        proxy: port(&sockets.proxy)?,
        web: port(&sockets.web)?,
    };
    give_up_rights()?;
    Ok((sockets, ports))
}

fn listen(at: Ipv4Addr) -> anyhow::Result<TcpListener> {
    TcpListener::bind((at, 0)).with_context(|| format!("cannot listen at {at}"))
}

/// The same port for TCP and UDP.
fn bind_both(at: Ipv4Addr) -> anyhow::Result<(TcpListener, UdpSocket)> {
    let attempt = || -> std::io::Result<_> {
        let connections = TcpListener::bind((at, 0))?;
        let datagrams = UdpSocket::bind(connections.local_addr()?)?;
        Ok((connections, datagrams))
    };
    let mut last = attempt();
    for _ in 1..ATTEMPTS {
        if last.is_ok() {
            break;
        }
        last = attempt();
    }
    last.with_context(|| format!("cannot listen at {at}"))
}

/// What is read from now on comes from containers.
fn give_up_rights() -> anyhow::Result<()> {
    let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let change = || {
        set_thread_groups(&[])?;
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
        set_no_new_privs(true)
    };
    // First the rights that this very change needs no more: the bounding set.
    capability::limit_to(CapabilitySet::SETUID | CapabilitySet::SETGID)?;
    change().context("cannot become nobody")
}

fn serve(duty: &Duty, sockets: Sockets) -> anyhow::Result<std::convert::Infallible> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            let (duty, of) = watch::channel(duty.clone());
            let resolvers = Resolvers::of_files(RESOLVERS.map(PathBuf::from).to_vec(), of.borrow().subnet);
            let names = Names::new(of.clone(), resolvers.clone());
            let web = Web::new(of.clone(), resolvers);
            sockets.datagrams.set_nonblocking(true)?;
            tokio::join!(
                names.serve(
                    tokio::net::UdpSocket::from_std(sockets.datagrams)?,
                    into_async(sockets.connections)?,
                ),
                serve_loopback(into_async(sockets.services)?, of),
                Arc::clone(&web).serve_proxy(into_async(sockets.proxy)?),
                web.serve_led(into_async(sockets.web)?),
                control::serve(engine::into_async(sockets.control)?, duty),
            );
            bail!("all sockets are closed")
        })
}

fn into_async(listener: TcpListener) -> std::io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
