//! `sampan docker`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use sampan_model::docker_cli::{BuildEnv, names_paths, needs_engine, plan};

use crate::access;
use crate::cli::env;
use crate::exit::Problem;
use crate::{commands, tools, working_tree};

use super::Session;

/// Runs the verb: this process becomes docker.
pub(crate) fn run(session: &Session, args: Vec<OsString>) -> Result<ExitCode, Problem> {
    let choices = BuildEnv { buildkit: env("DOCKER_BUILDKIT"), builder: env("BUILDX_BUILDER") };
    let instance = &session.instance;
    let cli = instance.cli();
    let plan = plan(args, &choices, |program| program.path(&cli).exists());
    let socket = instance.docker_socket();
    if needs_engine(&plan.args) {
        match look(&socket) {
            Err(rustix::io::Errno::ACCESS) => {
                return Err(access::denied(&format!("the engine at {}", socket.display())));
            }
            Err(rustix::io::Errno::NOENT) if plan.program.path(&cli).exists() => {
                return Err(Problem::not_running("the engine is not running")
                    .hint(format!("type `{}`", session.command("start"))));
            }
            _ => {}
        }
    }
    if names_paths(&plan.args)
        && let Some(tree) = working_tree::here()
    {
        commands::wait(async {
            working_tree::share(instance, &tree).await;
            Ok(())
        })?;
    }
    let mut command = tools::docker(instance, plan.program, Some(&socket))?;
    command.envs(plan.environment());
    command.args(&plan.args);
    Err(tools::exec(command))
}

/// Whether the socket is there, and for this user.
fn look(socket: &Path) -> rustix::io::Result<()> {
    rustix::fs::access(socket, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
}
