//! `sampan docker`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use crate::access;
use crate::cli::env;
use crate::docker_words::{BuildEnv, needs_engine, plan};
use crate::exit::Problem;
use crate::tools::{self, DockerProgram};

use super::Session;

/// Runs the verb: this process becomes docker.
pub(crate) fn run(session: &Session, args: Vec<OsString>) -> Result<ExitCode, Problem> {
    let choices = BuildEnv { buildkit: env("DOCKER_BUILDKIT"), builder: env("BUILDX_BUILDER") };
    let instance = &session.instance;
    let mut plan = plan(args.clone(), &choices);
    let has_docker = DockerProgram::Docker.path(instance).exists();
    if plan.program != DockerProgram::Docker && has_docker && !plan.program.path(instance).exists() {
        // An engine image without the plugin: docker itself says so, or builds the old way.
        plan = crate::docker_words::Plan { program: DockerProgram::Docker, args, builder: None };
    }
    let socket = instance.docker_socket();
    if needs_engine(&plan.args) {
        match look(&socket) {
            Err(rustix::io::Errno::ACCESS) => {
                return Err(access::denied(&format!("the engine at {}", socket.display())));
            }
            Err(rustix::io::Errno::NOENT) if plan.program.path(instance).exists() => {
                return Err(Problem::not_running("the engine is not running")
                    .hint(format!("type `{}`", session.command("start"))));
            }
            _ => {}
        }
    }
    let mut command = tools::docker(instance, plan.program, Some(&socket))?;
    if plan.program != DockerProgram::Docker {
        command.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker");
    }
    if let Some(builder) = &plan.builder {
        command.env("BUILDX_BUILDER", builder);
    }
    command.args(&plan.args);
    Err(tools::exec(command))
}

/// Whether the socket is there, and for this user.
fn look(socket: &Path) -> rustix::io::Result<()> {
    rustix::fs::access(socket, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK)
}
