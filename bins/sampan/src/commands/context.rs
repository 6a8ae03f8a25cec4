//! `sampan context`: the docker context of the instance, made and left on request only.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sampan_model::api::ErrorCode;
use sampan_model::docker_cli::Program;
use serde_json::json;

use crate::cli::{ContextAction, Format, env};
use crate::exit::{Exit, Kind, Problem};
use crate::tools;
use crate::{commands, output};

use super::Session;

/// The context that docker has of itself.
const BUILT_IN: &str = "default";

/// Runs the verb.
pub(crate) fn run(session: &Session, action: ContextAction) -> Result<ExitCode, Problem> {
    check_docker_config()?;
    let contexts = Contexts { session, name: session.instance.docker_context(), memory: memory(session)? };
    commands::wait(async {
        match action {
            ContextAction::Use => contexts.select().await,
            ContextAction::Restore => contexts.restore().await,
        }
    })
}

/// Docker itself only warns about a configuration it can't read, and then writes a new one over it.
fn check_docker_config() -> Result<(), Problem> {
    let folder = env("DOCKER_CONFIG").map(PathBuf::from);
    let Some(folder) = folder.or_else(|| env("HOME").map(|home| Path::new(&home).join(".docker"))) else {
        return Ok(());
    };
    let path = folder.join("config.json");
    match fs::read(&path) {
        Ok(text) if serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text).is_err() => {
            let message = format!("docker's configuration {} is damaged", path.display());
            Err(Problem::new(Kind::Api(ErrorCode::State), message)
                .hint("correct it, or move it away; docker would write over it"))
        }
        _ => Ok(()),
    }
}

/// What the two actions share.
#[derive(Debug)]
struct Contexts<'a> {
    session: &'a Session,
    /// The instance's context.
    name: String,
    /// The file that remembers which context was current before.
    memory: PathBuf,
}

impl Contexts<'_> {
    async fn select(&self) -> Result<ExitCode, Problem> {
        let current = self.current().await?;
        let endpoint = format!("host=unix://{}", self.session.instance.docker_socket().display());
        let verb = if self.exists(&self.name).await? { "update" } else { "create" };
        let description = format!("Sampan, instance {}", self.session.instance);
        self.docker(&["context", verb, &self.name, "--description", &description, "--docker", &endpoint])
            .await?;
        if current == self.name {
            return self.say(&format!("The docker context {} is current already.", self.name), None);
        }
        remember(&self.memory, &current)
            .map_err(|error| Problem::failed(format!("can't write {}: {error}", self.memory.display())))?;
        self.docker(&["context", "use", &self.name]).await?;
        let message = format!(
            "The docker context {} is current now; before it was {current}. `{}` goes back.",
            self.name,
            self.session.command("context restore")
        );
        self.say(&message, Some(&current))
    }

    async fn restore(&self) -> Result<ExitCode, Problem> {
        let current = self.current().await?;
        let former = match fs::read_to_string(&self.memory) {
            Ok(text) => Some(text.trim().to_owned()).filter(|name| !name.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Problem::failed(format!("can't read {}: {error}", self.memory.display())));
            }
        };
        let ours_exists = self.exists(&self.name).await?;
        let (now, message) = if current == self.name {
            self.leave(former).await?
        } else if ours_exists {
            let message = format!(
                "The docker context {current} was chosen meanwhile and stays current; {} is removed.",
                self.name
            );
            (current, message)
        } else {
            let message = format!("There is no docker context {}; {current} stays current.", self.name);
            (current, message)
        };
        if ours_exists {
            self.docker(&["context", "rm", &self.name]).await?;
        }
        match fs::remove_file(&self.memory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Problem::failed(format!("can't remove {}: {error}", self.memory.display())));
            }
            _ => {}
        }
        self.say(&message, Some(&now))
    }

    /// Makes the former context current again: its name, and what happened.
    async fn leave(&self, former: Option<String>) -> Result<(String, String), Problem> {
        let wanted = former.unwrap_or_else(|| BUILT_IN.to_owned());
        let found = self.exists(&wanted).await?;
        let target = if found { wanted.as_str() } else { BUILT_IN };
        self.docker(&["context", "use", target]).await?;
        let mut message = format!("The docker context {target} is current again; {} is removed.", self.name);
        if !found {
            let _ = write!(message, " {wanted}, which was current before, is gone.");
        }
        Ok((target.to_owned(), message))
    }

    async fn current(&self) -> Result<String, Problem> {
        self.docker(&["context", "show"]).await
    }

    async fn exists(&self, name: &str) -> Result<bool, Problem> {
        let names = self.docker(&["context", "ls", "--quiet"]).await?;
        Ok(names.lines().any(|line| line.trim() == name))
    }

    /// Runs docker on the user's own configuration; what it prints is the result.
    async fn docker(&self, args: &[&str]) -> Result<String, Problem> {
        let mut command = tools::docker(&self.session.instance, Program::Docker, None)?;
        command.args(args);
        let output = tools::output(command).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(Problem::failed(format!("`docker {}` failed: {}", args.join(" "), words.trim())))
    }

    fn say(&self, message: &str, other: Option<&str>) -> Result<ExitCode, Problem> {
        // These variables win over any context (docker/cli `resolveContextName`).
        for variable in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
            if env(variable).is_some_and(|value| !value.is_empty()) {
                output::note(&format!(
                    "warning: {variable} is set and wins over the current context; type `unset {variable}`"
                ));
            }
        }
        match self.session.format {
            Format::Pretty => output::text(&format!("{message}\n"))?,
            Format::Json => {
                output::json(&json!({ "context": self.name, "other": other, "message": message }))?;
            }
        }
        Ok(Exit::Ok.into())
    }
}

/// Where the former context is remembered: the user's state folder (XDG base directory specification).
fn memory(session: &Session) -> Result<PathBuf, Problem> {
    let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let base = base.ok_or_else(|| {
        Problem::invalid("neither HOME nor XDG_STATE_HOME names a folder")
            .hint("set HOME to your home folder")
    })?;
    Ok(base.join("sampan").join(session.instance.name()).join("former-context"))
}

fn absolute(variable: &str) -> Option<PathBuf> {
    env(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Writes the file whole or not at all.
fn remember(file: &Path, context: &str) -> io::Result<()> {
    let folder = file.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(new, "{context}")?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}
