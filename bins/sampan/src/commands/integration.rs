//! `sampan integration`.

use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use sampan_model::integration::{Action, Row, Switch};
use sampan_model::wsl::service::Request;
use serde_json::json;

use super::Session;
use super::wsl::{Local, Wsl, to_problem};
use crate::cli::{Format, IntegrationAction, OnOff};
use crate::exit::{Exit, Problem};
use crate::output;

/// Runs the verb.
pub(crate) fn run(session: &Session, action: IntegrationAction) -> Result<ExitCode, Problem> {
    let local = Local(session);
    let mut wsl = Wsl::of_sampan(&local).map_err(to_problem)?;
    if session.format == Format::Json {
        wsl.leave_output().map_err(to_problem)?;
    }
    match action {
        IntegrationAction::Ls => list(session, &mut wsl),
        IntegrationAction::Enable { name } => {
            order(&mut wsl, Action::Switch { name: name.clone(), on: true })?;
            show(session, &mut wsl, &name)
        }
        IntegrationAction::Repair { name } => {
            order(&mut wsl, Action::Repair { name: name.clone() })?;
            show(session, &mut wsl, &name)
        }
        IntegrationAction::Disable { name } => {
            order(&mut wsl, Action::Switch { name: name.clone(), on: false })?;
            match session.format {
                Format::Json => output::json(&row(&mut wsl, &name)?)?,
                Format::Pretty => output::text(&format!("docker no longer works in {name}.\n"))?,
            }
            Ok(Exit::Ok.into())
        }
        IntegrationAction::Default { state } => {
            let on = state == OnOff::On;
            order(&mut wsl, Action::Default { on })?;
            match session.format {
                Format::Json => output::json(&json!({ "default": on }))?,
                Format::Pretty if on => {
                    output::text("docker works in the default distribution, whichever that is.\n")?;
                }
                Format::Pretty => {
                    output::text("docker works in the default distribution only if it is enabled there.\n")?;
                }
            }
            Ok(Exit::Ok.into())
        }
    }
}

fn order(wsl: &mut Wsl<'_>, action: Action) -> Result<(), Problem> {
    wsl.order(&Request::Integration(action), &[]).map(drop).map_err(to_problem)
}

fn list(session: &Session, wsl: &mut Wsl<'_>) -> Result<ExitCode, Problem> {
    let rows = wsl.integrations().map_err(to_problem)?;
    match session.format {
        Format::Json => output::json(&rows)?,
        Format::Pretty if rows.is_empty() => {
            output::text("No distribution is installed. `wsl --install` installs one.\n")?;
        }
        Format::Pretty => output::text(&table(&rows))?,
    }
    Ok(Exit::Ok.into())
}

/// Shows that docker works in a distribution, by running it there.
fn show(session: &Session, wsl: &mut Wsl<'_>, name: &str) -> Result<ExitCode, Problem> {
    let row = row(wsl, name)?;
    if session.format == Format::Json {
        output::json(&row)?;
        return Ok(Exit::Ok.into());
    }
    // As it is registered, however it was typed.
    let name = row.as_ref().map_or(name, |row| &row.name);
    if UnixStream::connect(session.instance.docker_socket()).is_err() {
        let start = session.command("start");
        output::text(&format!("docker works in {name} as soon as the engine runs: `{start}`\n"))?;
        return Ok(Exit::Ok.into());
    }
    let code = wsl.run_in(name, &["docker", "version"]).map_err(to_problem)?;
    if code != 0 {
        let ls = session.command("integration ls");
        let message = format!("docker does not work in {name}: `docker version` there ended with {code}");
        return Err(Problem::failed(message).hint(format!("`{ls}` says more")));
    }
    output::text(&format!("\ndocker works in {name}.\n"))?;
    Ok(Exit::Ok.into())
}

fn row(wsl: &mut Wsl<'_>, name: &str) -> Result<Option<Row>, Problem> {
    let rows = wsl.integrations().map_err(to_problem)?;
    Ok(rows.into_iter().find(|row| row.name.eq_ignore_ascii_case(name)))
}

fn table(rows: &[Row]) -> String {
    let heads = ["NAME", "STATE", "DETAIL"].map(str::to_owned);
    let cells = rows.iter().map(|row| [row.name.clone(), row.state.word().to_owned(), detail(row)]);
    let lines: Vec<[String; 3]> = std::iter::once(heads).chain(cells).collect();
    output::columns(&lines)
}

fn detail(row: &Row) -> String {
    let why = (row.switch == Switch::Default).then(|| "the default distribution".to_owned());
    why.into_iter().chain(row.detail.clone()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use sampan_model::integration::State;

    use super::*;

    #[test]
    fn states_stand_in_columns_with_their_reasons() {
        let row = |name: &str, switch, state, detail: Option<&str>| Row {
            name: name.to_owned(),
            switch,
            state,
            detail: detail.map(str::to_owned),
        };
        let rows = [
            row("Debian", Switch::Default, State::Ready, None),
            row(
                "Ubuntu-22.04",
                Switch::Chosen,
                State::DistributionStopped,
                Some("its own /usr/bin/docker is used"),
            ),
            row("old", Switch::VersionOne, State::Failed, Some("of version 1: `wsl --set-version old 2`")),
            row("off", Switch::Off, State::Off, None),
        ];
        assert_eq!(
            table(&rows),
            "\
NAME            STATE                   DETAIL
Debian          ready                   the default distribution
Ubuntu-22.04    distribution stopped    its own /usr/bin/docker is used
old             failed                  of version 1: `wsl --set-version old 2`
off             off
"
        );
    }
}
