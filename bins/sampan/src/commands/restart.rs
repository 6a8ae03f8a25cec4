//! `sampan restart`.

use std::process::ExitCode;

use sampan_model::api::StartRequest;

use crate::cli::Restart;
use crate::exit::Problem;
use crate::{commands, working_tree};

use super::Session;
use super::start::{Way, bring_up};

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Restart) -> Result<ExitCode, Problem> {
    let request = StartRequest {
        engine_image: None,
        timeout_seconds: options.timeout,
        working_tree: working_tree::here(),
    };
    commands::wait(bring_up(session, Way::Restart, &request, false))
}
