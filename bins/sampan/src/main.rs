//! The commands `sampan` and `wsl`: one program, told apart by the name it is called with.
#![forbid(unsafe_code)]

mod access;
mod cli;
mod client;
mod commands;
mod exit;
mod manual;
mod output;
mod progress;
mod service;
mod timeline;
mod tools;
mod unit_log;
mod working_tree;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Verb};
use crate::commands::Session;
use crate::exit::Problem;

fn main() -> ExitCode {
    let began_us = timeline::now_us();
    let words: Vec<_> = std::env::args_os().collect();
    if cli::is_wsl(&words) {
        return commands::wsl::main(None, &words[1..]);
    }
    let cli = match Cli::try_parse_from(cli::normalise(words)) {
        Ok(cli) => cli,
        Err(error) => return cli::refuse(&error),
    };
    if let Verb::Wsl { args } = &cli.verb {
        return commands::wsl::main(cli.instance.as_deref(), args);
    }
    let format = cli.format;
    match run(cli, began_us) {
        Ok(code) => code,
        Err(problem) => output::problem(format, &problem),
    }
}

fn run(cli: Cli, began_us: u64) -> Result<ExitCode, Problem> {
    let session = Session::new(cli.instance.as_deref(), cli.format, began_us)?;
    match cli.verb {
        Verb::Start(options) => commands::start::run(&session, &options),
        Verb::Stop(options) => commands::stop::run(&session, &options),
        Verb::Restart(options) => commands::restart::run(&session, &options),
        Verb::Status => commands::status::run(&session),
        Verb::Version => commands::version::run(&session),
        Verb::Logs(options) => commands::logs::run(&session, &options),
        Verb::Check => commands::check::run(&session),
        Verb::Reset(options) => commands::reset::run(&session, &options),
        Verb::Context { action } => commands::context::run(&session, action),
        Verb::Docker { args } => commands::docker::run(&session, args),
        Verb::Distro { action } => commands::distro::run(&session, action),
        Verb::Ports => commands::ports::run(&session),
        Verb::Integration { action } => commands::integration::run(&session, action),
        Verb::Wsl { args } => Ok(commands::wsl::main(Some(session.instance.name()), &args)),
        Verb::Man => commands::man::run(),
    }
}
