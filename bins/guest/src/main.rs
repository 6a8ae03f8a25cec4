//! `sampan-guest`: the one static program that runs inside distributions and at their edges.
//!
//! Verbs that touch namespaces (`hub`, `attach`, `detach`, `mount-disk`, `show-disk`, `hide-disk`,
//! `disk-nodes`, `ask-gateway`, `launch`, `boot`, `confine`, `copy-out`, `integrate`, `tether`, `init`, `server`) are
//! single-threaded from start to end; `engine`, `api` and `ports` are what init keeps running, `gateway` is beside
//! the hub, and these four start a runtime. Under the name of
//! one of the tools that users have inside, it is that tool.
#![forbid(unsafe_code)]

mod api;
mod attach;
mod boot;
mod cgroup;
mod child;
mod confine;
mod control;
mod copy_out;
mod descriptors;
mod disk;
mod engine;
mod filesystems;
mod gateway;
mod hub;
mod init;
mod inside;
mod integrate;
mod integration;
mod launch;
mod pid1;
mod ports;
mod server;
mod session;
mod share;
mod tether;
mod tools;
mod tree;
mod verb;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "sampan-guest is started by sampand; its verbs are: hub attach detach mount-disk show-disk hide-disk \
                     disk-nodes launch boot init server engine api ports gateway ask-gateway confine copy-out integrate tether";

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    if let Some(tool) = inside::TOOLS.into_iter().find(|tool| Path::new(&name).ends_with(tool)) {
        return inside::run(tool, &words.collect::<Vec<_>>());
    }
    // Files are made for their readers, whatever the caller's shell forbids or allows.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = match args.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("", &[][..]),
    };
    match verb {
        "hub" => verb::answer(hub::run),
        "attach" => verb::answer(attach::attach),
        "detach" => verb::answer(attach::detach),
        "share" => verb::answer(share::run),
        "gateway" => verb::answer(gateway::run),
        "ask-gateway" => verb::answer(gateway::ask),
        "mount-disk" => verb::answer(disk::mount),
        "show-disk" => verb::answer(disk::show),
        "hide-disk" => verb::answer(disk::hide),
        "disk-nodes" => verb::answer(disk::nodes),
        "launch" => verb::answer(launch::run),
        "boot" => verb::answer_on(boot::run),
        "copy-out" => verb::answer(copy_out::run),
        "integrate" => verb::answer(integrate::run),
        "confine" => verb::status(confine::run(rest)),
        "tether" => verb::status(tether::run(rest)),
        "init" => verb::status(init::run()),
        "server" => verb::status(server::run()),
        "engine" => verb::status(engine::run(rest).map(|()| 0)),
        "api" => verb::status(api::run(rest).map(|()| 0)),
        "ports" => verb::status(ports::run(rest).map(|()| 0)),
        _ => verb::status(Err(anyhow::anyhow!(USAGE))),
    }
}
