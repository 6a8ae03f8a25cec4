//! `sampan stop`.

use std::process::ExitCode;

use sampan_model::api::StopRequest;
use serde_json::json;

use crate::cli::{Format, Stop};
use crate::exit::{Exit, Problem};
use crate::progress::Progress;
use crate::service::{self, Process};
use crate::{commands, output};

use super::Session;

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Stop) -> Result<ExitCode, Problem> {
    commands::wait(stop(session, options))
}

async fn stop(session: &Session, options: &Stop) -> Result<ExitCode, Problem> {
    let mut progress = Progress::new();
    let found =
        service::find_or_take_over(&session.instance, "stopping what a dead service left", &mut progress);
    let Some(client) = found.await? else {
        return say(session, "Sampan is not running", true);
    };
    let process = Process::of(&client).await?;
    let request = StopRequest { timeout_seconds: options.timeout };
    let result = client.post_ndjson("/v1/stop", &request, |event| progress.event(event)).await;
    progress.end(result.is_ok());
    let done = result?;
    if !done.remaining.is_empty() {
        // The service goes on with them.
        return say(session, &done.message, false);
    }
    process.ended()?;
    say(session, "Sampan is stopped", false)
}

fn say(session: &Session, message: &str, already: bool) -> Result<ExitCode, Problem> {
    match session.format {
        Format::Pretty => output::text(&format!("{message}\n"))?,
        Format::Json => output::json(&json!({ "message": message, "already": already }))?,
    }
    Ok(Exit::Ok.into())
}
