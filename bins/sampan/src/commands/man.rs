//! `sampan man`.

use std::process::ExitCode;

use crate::exit::{Exit, Problem};
use crate::{manual, output};

/// Runs the verb.
pub(crate) fn run() -> Result<ExitCode, Problem> {
    output::text(&manual::page())?;
    Ok(Exit::Ok.into())
}
