//! `sampan reset`.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use sampan_model::api::{ResetPlan, ResetRequest};
use sampan_model::size::human;
use serde_json::json;

use crate::cli::{Format, Reset};
use crate::client::{self, Client};
use crate::exit::{Exit, Problem};
use crate::progress::Progress;
use crate::service::{self, Process};
use crate::{access, commands, output, tools};

use super::Session;

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Reset) -> Result<ExitCode, Problem> {
    commands::wait(reset(session, options))
}

async fn reset(session: &Session, options: &Reset) -> Result<ExitCode, Problem> {
    let command = session.command(if options.all { "reset --all" } else { "reset" });
    let mut progress = Progress::new();
    let taken =
        service::find_or_take_over(&session.instance, "deleting what a dead service left", &mut progress);
    let client = taken.await?;
    progress.end(true);
    let plan: ResetPlan = if let Some(client) = &client {
        client.get_json(&format!("/v1/reset?all={}", options.all)).await?
    } else {
        access::require_root(
            "deleting the distributions of an instance that does not run",
            &session.instance,
        )?;
        service::ask_program(&session.instance, &job("reset-plan", options.all)).await?
    };
    if plan.items.is_empty() && client.is_none() {
        return say(session, &plan, "There is nothing to delete", false);
    }
    if session.format == Format::Pretty {
        output::text(&pretty(&plan, session.instance.state()))?;
    }
    if !options.yes && !confirmed(session, &command)? {
        output::note("Nothing was deleted.");
        return Ok(Exit::Failed.into());
    }
    delete(session, options, client, &mut progress).await?;
    say(session, &plan, "All of this is deleted", true)
}

async fn delete(
    session: &Session,
    options: &Reset,
    client: Option<Client>,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let mut watch = |event: &_| progress.event(event);
    let Some(client) = client else {
        let what = "sampand oneshot reset";
        let line = |line: &[u8]| client::take(line, what, &mut watch).map_err(Problem::from);
        tools::oneshot_lines(&session.instance, &job("reset", options.all), line).await?;
        return Ok(());
    };
    let process = Process::of(&client).await?;
    client.post_ndjson("/v1/reset", &ResetRequest { all: options.all }, watch).await?;
    // Without its state folder the service has nothing to serve, and ends.
    if options.all { process.ended() } else { Ok(()) }
}

fn job(name: &'static str, all: bool) -> Vec<&'static str> {
    if all { vec![name, "--all"] } else { vec![name] }
}

/// Asks whoever sits at the terminal. Programs must have said `--yes`.
fn confirmed(session: &Session, command: &str) -> Result<bool, Problem> {
    if session.format == Format::Json || !io::stdin().is_terminal() {
        return Err(Problem::invalid("deleting needs a yes, and nobody can be asked")
            .hint(format!("type `{command} --yes`")));
    }
    let problem = |error: io::Error| Problem::failed(format!("can't ask: {error}"));
    let mut ask = io::stderr().lock();
    ask.write_all(b"Type yes to delete: ").and_then(|()| ask.flush()).map_err(problem)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(problem)?;
    Ok(answer.trim() == "yes")
}

fn say(session: &Session, plan: &ResetPlan, message: &str, deleted: bool) -> Result<ExitCode, Problem> {
    match session.format {
        Format::Pretty => output::text(&format!("{message}.\n"))?,
        Format::Json => output::json(&json!({ "message": message, "deleted": deleted, "plan": plan }))?,
    }
    Ok(Exit::Ok.into())
}

fn pretty(plan: &ResetPlan, state: &Path) -> String {
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) + 2;
    let what = width(&mut plan.items.iter().map(|item| item.what.chars().count()));
    let folder = state.display();
    let mut text = format!("This is deleted from {folder}, and can't be brought back:\n");
    for item in &plan.items {
        let _ = writeln!(text, "  {:<what$}{:>9}", item.what, human(item.bytes));
    }
    let total = plan.items.iter().map(|item| item.bytes).sum();
    let _ = writeln!(text, "  {:<what$}{:>9}", "Total", human(total));
    text
}

#[cfg(test)]
mod tests {
    use sampan_model::api::ResetItem;

    use super::*;

    #[test]
    fn the_list_has_sizes_and_a_total() {
        let item = |what: &str, bytes| ResetItem { what: what.into(), path: "/x".into(), bytes };
        let plan =
            ResetPlan { all: false, items: vec![item("images and volumes", 3 << 29), item("logs", 512)] };
        assert_eq!(
            pretty(&plan, Path::new("/s")),
            "\
This is deleted from /s, and can't be brought back:
  images and volumes    1.5 GiB
  logs                    512 B
  Total                 1.5 GiB
"
        );
    }
}
