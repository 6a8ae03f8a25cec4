//! What there is: `--list`, `--status`. Nothing is started to say that nothing runs.

use sampan_model::wsl::args::ListOptions;
use sampan_model::wsl::list::{self, Row};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Reply, Request};

use super::conversation::unexpected;
use super::halt::Halt;
use super::reach::Question;
use super::{FAILURE, Wsl};

/// `--list`.
pub(super) fn list(wsl: &mut Wsl<'_>, options: ListOptions) -> Result<u8, Halt> {
    match list::listing(options, &rows(wsl)?) {
        Ok(text) => wsl.say(&text),
        Err(empty) => {
            wsl.console.print(&format!("{empty}\n"))?;
            Ok(FAILURE)
        }
    }
}

/// `--list --online`.
pub(super) fn online(wsl: &mut Wsl<'_>) -> Result<u8, Halt> {
    match wsl.ask(&Request::Online, &[])? {
        Reply::Online { rows } => wsl.say(&list::online(&rows)),
        _ => Err(unexpected().into()),
    }
}

/// `--status`.
pub(super) fn status(wsl: &mut Wsl<'_>) -> Result<u8, Halt> {
    match question(wsl, &Request::Status, Question::Status)? {
        Reply::Status { default, version } => wsl.say(&message::status(default.as_deref(), version)),
        _ => Err(unexpected().into()),
    }
}

/// All distributions.
pub(super) fn rows(wsl: &mut Wsl<'_>) -> Result<Vec<Row>, Halt> {
    let Reply::Distributions { distributions } = question(wsl, &Request::List, Question::List)? else {
        return Err(unexpected().into());
    };
    let row = |d: sampan_model::api::Distribution| Row {
        name: d.name,
        state: d.state,
        version: d.version,
        default: d.default,
    };
    Ok(distributions.into_iter().map(row).collect())
}

/// Asks the service if it runs, and its program if not.
fn question(wsl: &mut Wsl<'_>, request: &Request, offline: Question) -> Result<Reply, Halt> {
    match wsl.ask_whom(|reach| reach.find(), request, &[])? {
        Some(last) => Ok(last),
        None => Ok(wsl.reach.offline(offline)?),
    }
}
