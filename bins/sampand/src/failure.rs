//! Failures on standard output, as the programs that start this one read them.

use std::io::Write;
use std::process::ExitCode;

use sampan_backend::Error;
use sampan_model::api::ErrorBody;

/// Prints `{"error": …}` and gives the exit code.
pub(crate) fn print(error: &Error) -> ExitCode {
    line(&ErrorBody { error: error.0.clone() });
    let _ = writeln!(std::io::stderr(), "sampand: {error}");
    ExitCode::FAILURE
}

/// Prints one JSON line.
pub(crate) fn line(value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).expect("plain data");
    let mut out = std::io::stdout().lock();
    // Nobody reads it any more: nothing to do about that.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
