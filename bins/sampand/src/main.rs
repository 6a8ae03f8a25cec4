//! `sampand`: the service of an instance. Wires platform, engine and API together; what it starts outlives it.
#![forbid(unsafe_code)]

mod api;
mod detach;
mod distros;
mod failure;
mod oneshot;
mod operation;
mod serve;
mod service;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use sampan_backend::Error;
use sampan_backend::engine::Engine;
use sampan_model::api::ErrorCode;
use sampan_model::instance::Instance;
use sampan_native::Native;

/// The service of a Sampan instance. `sampan start` starts it; `sampan stop` ends it with all it runs.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Name of the instance.
    #[arg(long, value_name = "NAME", env = "SAMPAN_INSTANCE")]
    instance: Option<String>,
    /// Start the service in the background, in a session of its own; return when its API answers.
    #[arg(long)]
    detach: bool,
    /// What a detached service is started with.
    #[arg(long, hide = true)]
    detached: bool,
    #[command(subcommand)]
    job: Option<Job>,
}

#[derive(Debug, clap::Subcommand)]
enum Job {
    /// Do one thing without the service running, and print the result as JSON.
    #[command(hide = true)]
    Oneshot {
        /// What to do.
        what: oneshot::What,
        /// For resets: settings, logs and cached images too.
        #[arg(long)]
        all: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Folders are made for their readers, whatever the caller's shell forbids or allows.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let instance = match Instance::from_env(args.instance.as_deref(), |key| std::env::var_os(key)) {
        Ok(instance) => instance,
        Err(error) => return failure::print(&Error::new(ErrorCode::Invalid, error.to_string(), None)),
    };
    if let Some(Job::Oneshot { what, all }) = args.job {
        return oneshot::run(&instance, what, all);
    }
    let result = if args.detach { detach::run(&instance) } else { serve::run(&instance, args.detached) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::print(&error),
    }
}

/// The engine of an instance on this machine, and the platform below it; `sampan-guest` lies beside this program.
fn engine(instance: Instance, prepare: bool) -> Result<(Engine, Arc<Native>), Error> {
    let guest = guest_program()?;
    let native = if prepare {
        Native::new(instance.clone(), guest)?
    } else {
        Native::unprepared(instance.clone(), guest)
    };
    let native = Arc::new(native);
    Ok((Engine::new(instance, Arc::<Native>::clone(&native)), native))
}

fn guest_program() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.with_file_name("sampan-guest");
    [beside, PathBuf::from("/usr/libexec/sampan/sampan-guest")]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let message = format!("there is no sampan-guest beside {}", own.display());
            Error::new(ErrorCode::Prerequisite, message, Some("build or install Sampan again: `make build`"))
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_well_formed() {
        <super::Args as clap::CommandFactory>::command().debug_assert();
    }
}
