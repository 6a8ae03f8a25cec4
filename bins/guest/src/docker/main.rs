//! `sampan-docker`: what users of a distribution run as `docker`.
//!
//! It becomes the Docker CLI of the engine, which the service shows in every distribution with the libraries it needs. So
//! the distribution may have any C library, or none. Before, where the engine cannot be reached, it says why in words
//! that help, or waits for an engine that is starting.
#![forbid(unsafe_code)]

mod choice;
mod engine;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use sampan_model::docker_cli::{self, BuildEnv, Program};
use sampan_model::integration;
use sampan_sys::process;

use engine::{Engine, Way};

/// As docker ends when there is no daemon.
const FAILED: u8 = 1;

/// As `docker run` does: the other codes are those of what it runs.
const RUN_FAILED: u8 = 125;

/// As a shell ends when a program cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).collect();
    let (code, message) = run(args);
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}

/// Becomes docker. What is said and ended with if not.
fn run(args: Vec<OsString>) -> (u8, String) {
    let cli = Path::new(docker_cli::PLACE);
    let text = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let env = BuildEnv { buildkit: text("DOCKER_BUILDKIT"), builder: text("BUILDX_BUILDER") };
    let plan = docker_cli::plan(args, &env, |program| program.path(cli).exists());
    let mut variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    for (name, value) in plan.environment() {
        set(&mut variables, name, value);
    }
    if docker_cli::needs_engine(&plan.args) && choice::is_default(&plan.args) {
        let engine = Engine { usual: Path::new(engine::USUAL), folder: Path::new(integration::PLACE) };
        match engine.reach(engine::PATIENCE) {
            Way::Usual => {}
            Way::Direct(socket) => {
                let mut host = OsString::from("unix://");
                host.push(socket);
                set(&mut variables, "DOCKER_HOST", host);
            }
            Way::None(why) => {
                let code = if docker_cli::runs_a_container(&plan.args) { RUN_FAILED } else { FAILED };
                return (code, why);
            }
        }
    }
    if !Program::Docker.path(cli).exists() {
        return (FAILED, NO_CLI.to_owned());
    }
    let libraries = std::fs::read_dir(docker_cli::libraries(cli)).into_iter().flatten().flatten();
    let loader = docker_cli::loader(libraries.map(|entry| entry.file_name()));
    let execution = docker_cli::execution(cli, loader.as_deref(), plan.program);
    let words: Vec<OsString> = execution.words.into_iter().chain(plan.args).collect();
    let variables: Vec<OsString> = variables.into_iter().map(joined).collect();
    let error = process::exec(&execution.file, &words, &variables);
    (NOT_EXECUTABLE, format!("docker: {error}"))
}

const NO_CLI: &str = "docker: the Docker CLI is not there yet: it comes with the engine. To start the engine, type on the host:\n\n    sampan start\n";

fn set(variables: &mut Vec<(OsString, OsString)>, name: &str, value: OsString) {
    variables.retain(|(other, _)| other != name);
    variables.push((name.into(), value));
}

fn joined((mut name, value): (OsString, OsString)) -> OsString {
    name.push(OsStr::new("="));
    name.push(value);
    name
}
