//! What of the caller's environment goes along: the kind of its terminal, and what `WSLENV` names.

use std::ffi::OsStr;

use sampan_model::session::Variable;
use sampan_model::wsl::environment::wslenv::{Direction, select};

use super::caller::Caller;

/// Variables that describe the terminal which the caller's streams are, if one is.
const TERMINAL: [&str; 2] = ["TERM", "COLORTERM"];

/// The variables for a session of `caller`. What `WSLENV` names stands last and so wins.
pub(super) fn variables(caller: &Caller) -> Vec<Variable> {
    let terminal = TERMINAL.iter().filter(|_| caller.is_watched()).filter_map(|name| {
        let value = caller.variable(OsStr::new(name)).filter(|value| !value.is_empty())?;
        Some(Variable { name: (*name).into(), value: value.into(), paths: false })
    });
    terminal.chain(select(Direction::IntoLinux, |name| caller.variable(name))).collect()
}
