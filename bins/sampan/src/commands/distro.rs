//! `sampan distro`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use sampan_model::wsl::service::{Install, Request};
use serde_json::json;

use super::Session;
use super::wsl::{Local, Wsl, to_problem};
use crate::cli::{DistroAction, DistroFromImage, DistroSet, Format};
use crate::exit::{Exit, Problem};
use crate::{output, tools};

/// Runs the verb.
pub(crate) fn run(session: &Session, action: DistroAction) -> Result<ExitCode, Problem> {
    match action {
        DistroAction::Set(options) => set(session, options),
        DistroAction::FromImage(options) => from_image(session, options),
    }
}

fn set(session: &Session, options: DistroSet) -> Result<ExitCode, Problem> {
    let DistroSet { name, privileged, yes, .. } = options;
    if privileged && !yes && !confirmed(session, &name)? {
        output::note("Nothing was changed.");
        return Ok(Exit::Failed.into());
    }
    order(session, &Request::SetPrivileged { name: name.clone(), privileged }, &[])?;
    match session.format {
        Format::Json => output::json(&json!({ "name": name, "privileged": privileged }))?,
        Format::Pretty => {
            let what = if privileged { "root of this host" } else { "nobody on this host" };
            output::text(&format!(
                "Root inside {name} is {what} from its next start on. If it runs: `wsl --terminate {name}`\n"
            ))?;
        }
    }
    Ok(Exit::Ok.into())
}

fn from_image(session: &Session, options: DistroFromImage) -> Result<ExitCode, Problem> {
    let DistroFromImage { image, name } = options;
    let container = tools::Export::begin(&session.instance, &image)?;
    let install = Install {
        name: Some(name.clone()),
        from_file: Some(image.clone()),
        of_container: true,
        ..Install::default()
    };
    let installed = order(session, &Request::Install(Box::new(install)), &[container.archive()]);
    let written = container.end();
    let name = installed?.unwrap_or(name);
    if let Err(problem) = written {
        // Half of an image is no distribution.
        order(session, &Request::Unregister { name, force: false }, &[])?;
        return Err(problem);
    }
    match session.format {
        Format::Json => output::json(&json!({ "name": name, "image": image }))?,
        Format::Pretty => output::text(&format!("{name} is installed. Type `wsl -d {name}` for a shell.\n"))?,
    }
    Ok(Exit::Ok.into())
}

fn order(session: &Session, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Option<String>, Problem> {
    let local = Local(session);
    let mut wsl = Wsl::of_sampan(&local).map_err(to_problem)?;
    if session.format == Format::Json {
        wsl.leave_output().map_err(to_problem)?;
    }
    wsl.order(request, fds).map_err(to_problem)
}

/// Asks whoever sits at the terminal. Programs must have said `--yes`.
fn confirmed(session: &Session, name: &str) -> Result<bool, Problem> {
    let command = session.command(&format!("distro set {name} --privileged --yes"));
    if session.format == Format::Json || !io::stdin().is_terminal() {
        return Err(
            Problem::invalid("this needs a yes, and nobody can be asked").hint(format!("type `{command}`"))
        );
    }
    let problem = |error: io::Error| Problem::failed(format!("can't ask: {error}"));
    let mut ask = io::stderr().lock();
    write!(
        ask,
        "Root inside {name}, and every program that it runs, becomes root of this host:\n\
         it can read and change every file and end every process.\n\
         Type yes to allow it: "
    )
    .and_then(|()| ask.flush())
    .map_err(problem)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(problem)?;
    Ok(answer.trim() == "yes")
}
