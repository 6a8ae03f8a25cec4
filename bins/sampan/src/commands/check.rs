//! `sampan check`.

use std::fmt::Write as _;
use std::process::ExitCode;

use sampan_model::check::{Check, Outcome};
use serde::{Deserialize, Serialize};

use crate::cli::Format;
use crate::exit::{Exit, Problem};
use crate::{commands, output, service};

use super::Session;

#[derive(Debug, Serialize, Deserialize)]
struct Checks {
    checks: Vec<Check>,
}

/// Runs the verb. The tests are made afresh, not by the service: it could not start where they fail.
pub(crate) fn run(session: &Session) -> Result<ExitCode, Problem> {
    crate::access::require_root("testing the machine", &session.instance)?;
    let found: Checks = commands::wait(service::ask_program(&session.instance, &["check"]))?;
    match session.format {
        Format::Json => output::json(&found)?,
        Format::Pretty => output::text(&pretty(&found.checks))?,
    }
    let failed = found.checks.iter().any(|check| check.outcome == Outcome::Fail);
    Ok(if failed { Exit::Prerequisite } else { Exit::Ok }.into())
}

fn pretty(checks: &[Check]) -> String {
    let width =
        |of: fn(&Check) -> &str| checks.iter().map(|check| of(check).chars().count()).max().unwrap_or(0) + 2;
    let (name, found) = (width(|check| &check.name), width(|check| &check.found));
    let mut text = String::new();
    for check in checks {
        let mark = match check.outcome {
            Outcome::Pass => '✓',
            Outcome::Warn => '!',
            Outcome::Fail => '✗',
        };
        let line = format!("{mark} {:<name$}{:<found$}{}", check.name, check.found, check.purpose);
        text.push_str(line.trim_end());
        text.push('\n');
        if let (Some(remedy), Outcome::Warn | Outcome::Fail) = (&check.remedy, check.outcome) {
            let _ = writeln!(text, "  → {remedy}");
        }
    }
    let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    let closing = match (count(Outcome::Fail), count(Outcome::Warn)) {
        (0, 0) => "All is as Sampan needs it.".to_owned(),
        (0, warnings) => format!("Sampan works here, less well in {warnings} of {} points.", checks.len()),
        (failures, _) => format!("Sampan can't work here: {failures} of {} tests failed.", checks.len()),
    };
    format!("{text}\n{closing}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_has_its_remedy_below() {
        let check = |name: &str, outcome, found: &str, remedy: Option<&str>| Check {
            name: name.into(),
            purpose: "for x".into(),
            outcome,
            found: found.into(),
            remedy: remedy.map(Into::into),
        };
        let text = pretty(&[
            check("nft", Outcome::Pass, "1.0.6", None),
            check("overlayfs", Outcome::Fail, "missing", Some("modprobe overlay")),
        ]);
        assert_eq!(
            text,
            "\
✓ nft        1.0.6    for x
✗ overlayfs  missing  for x
  → modprobe overlay

Sampan can't work here: 1 of 2 tests failed.
"
        );
    }
}
