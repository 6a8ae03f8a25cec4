//! From a message to the last word about it.

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sampan_backend::Error;
use sampan_backend::engine::DEFAULT_STOP;
use sampan_model::api::Event;
use sampan_model::distro::is_internal;
use sampan_model::integration::Action;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Call, Reply, Request};
use sampan_native::GROUP;
use sampan_native::distros::{Answer, failure};

use super::Desk;
use super::client::Client;
use crate::operation::Operation;

/// Answers the one request of a client.
pub(super) fn answer(desk: &Desk, client: &Client) {
    let answer = read(desk, client).map(|(request, fds)| guarded(|| carry_out(desk, client, request, fds)));
    match answer {
        Ok(Answer::Last(reply)) => client.tell(&reply),
        Err(Some(failure)) => client.tell(&failed(failure)),
        // Somebody else says the rest, or nobody listens.
        Ok(Answer::HandedOver) | Err(None) => {}
    }
}

/// A request that panics is a failed one, like any other.
fn guarded(work: impl FnOnce() -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Answer::Last(failed(
            Failure::new(Code::Unexpected)
                .with_message("The service met a condition it does not know.")
                .hint("`sampan logs --unit sampand` has the details; please report them"),
        ))
    })
}

/// What the client wants; no failure at all: it is gone.
fn read(desk: &Desk, client: &Client) -> Result<(Request, Vec<OwnedFd>), Option<Failure>> {
    if !client.is_member() {
        tracing::warn!(uid = client.peer.uid, "refused: no member of the group {GROUP}");
        let message = format!("Only root and members of the group {GROUP} may use Sampan.");
        let hint = format!("sudo usermod -aG {GROUP} USER, then log in again");
        return Err(Some(Failure::new(Code::AccessDenied).with_message(message).hint(hint)));
    }
    let invalid = |why: String| {
        Failure::new(Code::InvalidArg).with_message(format!("The request is not understood: {why}."))
    };
    let message = client.listen().map_err(|error| invalid(sampan_backend::error::chain(&error)))?;
    let message = message.ok_or(None)?;
    let call: Call = serde_json::from_slice(&message.bytes).map_err(|error| invalid(error.to_string()))?;
    let own = desk.instance.state();
    if call.state.as_path() != own {
        let message = format!("The service here has the state folder {}, not yours.", own.display());
        let hint =
            "give each state folder a run folder of its own: set SAMPAN_RUN_DIR too, or another --instance";
        return Err(Some(Failure::new(Code::Unexpected).with_message(message).hint(hint)));
    }
    Ok((call.request, message.fds))
}

fn carry_out(desk: &Desk, client: &Client, request: Request, fds: Vec<OwnedFd>) -> Answer {
    let (name, changes) = name(&request);
    let began = Instant::now();
    if changes {
        tracing::info!(uid = client.peer.uid, pid = client.peer.pid, "wsl: {name}");
    }
    let answer = match &request {
        Request::Shutdown { force } => wait(desk, desk.service.shut_down(*force)),
        Request::Terminate { name } if is_installed_internal(desk, name) => {
            wait(desk, desk.service.stop(DEFAULT_STOP))
        }
        _ => desk.distros.answer(request, fds, client.as_fd(), &|reply| client.tell(&reply)),
    };
    if changes && let Answer::Last(Reply::Failed { failure }) = &answer {
        tracing::warn!(
            pid = client.peer.pid,
            "wsl: {name}: {}",
            failure.message.trim_end().replace('\n', " ")
        );
    }
    tracing::debug!(pid = client.peer.pid, took = ?began.elapsed(), "wsl: {name}");
    answer
}

/// The internal distributions run and end with the engine.
fn is_installed_internal(desk: &Desk, name: &str) -> bool {
    is_internal(name) && matches!(desk.service.engine().platform().entry(name), Ok(Some(_)))
}

/// Waits for the end of an operation of the service.
fn wait(desk: &Desk, operation: Result<Arc<Operation>, Error>) -> Answer {
    Answer::Last(match operation.map(|operation| desk.service.wait(&operation)) {
        Ok(Event::Failed { error }) => failed(failure(Error(error))),
        Ok(_) => Reply::Done { installed: None },
        Err(error) => failed(failure(error)),
    })
}

fn failed(failure: Failure) -> Reply {
    Reply::Failed { failure: failure.in_context(Context::Service) }
}

/// The name of a request for the log, and whether it changes something.
fn name(request: &Request) -> (&'static str, bool) {
    match request {
        Request::Session { .. } => ("session", false),
        Request::List => ("list", false),
        Request::Status => ("status", false),
        Request::Online => ("online", false),
        Request::SetDefault { .. } => ("set-default", true),
        Request::SetDefaultVersion { .. } => ("set-default-version", true),
        Request::SetVersion { .. } => ("set-version", true),
        Request::Terminate { .. } => ("terminate", true),
        Request::Unregister { .. } => ("unregister", true),
        Request::Shutdown { .. } => ("shutdown", true),
        Request::Import { .. } => ("import", true),
        Request::ImportInPlace { .. } => ("import-in-place", true),
        Request::Export { .. } => ("export", true),
        Request::Install(_) => ("install", true),
        Request::Manage { .. } => ("manage", true),
        Request::Mount(_) => ("mount", true),
        Request::Unmount { .. } => ("unmount", true),
        Request::SetPrivileged { .. } => ("set-privileged", true),
        Request::Integration(Action::List) => ("integrations", false),
        Request::Integration(_) => ("integration", true),
    }
}

#[cfg(test)]
mod tests;
