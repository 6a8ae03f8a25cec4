//! `sampan-guest`: the one static program that runs inside distributions and at their edges.
//!
//! Verbs that touch namespaces (`hub`, `attach`, `detach`, `launch`, `with-image`, `copy-out`, `tether`, `init`) are
//! single-threaded from start to end; `engine` and `api` are what init keeps running and start a runtime.
#![forbid(unsafe_code)]

mod api;
mod attach;
mod child;
mod copy_out;
mod engine;
mod hub;
mod init;
mod launch;
mod tether;
mod verb;
mod with_image;

use std::process::ExitCode;

const USAGE: &str = "sampan-guest is started by sampand; its verbs are: hub attach detach launch init engine api \
                     with-image copy-out tether";

fn main() -> ExitCode {
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
        "launch" => verb::answer(launch::run),
        "copy-out" => verb::answer(copy_out::run),
        "with-image" => verb::status(with_image::run(rest)),
        "tether" => verb::status(tether::run(rest)),
        "init" => verb::status(init::run()),
        "engine" => verb::status(engine::run(rest).map(|()| 0)),
        "api" => verb::status(api::run(rest).map(|()| 0)),
        _ => verb::status(Err(anyhow::anyhow!(USAGE))),
    }
}
