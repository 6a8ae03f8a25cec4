//! `sampan restart`.

use std::process::ExitCode;

use sampan_model::api::StartRequest;

use crate::cli::Restart;
use crate::commands;
use crate::exit::Problem;

use super::Session;
use super::start::{Way, bring_up};

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Restart) -> Result<ExitCode, Problem> {
    let request = StartRequest { engine_image: None, timeout_seconds: options.timeout };
    commands::wait(bring_up(session, Way::Restart, &request, false))
}
