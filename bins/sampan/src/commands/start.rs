//! `sampan start`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use sampan_model::api::{ErrorCode, Event, StartRequest};
use sampan_model::engine::{Mark, Stage};
use serde_json::json;

use crate::cli::{Format, Start};
use crate::client::{Client, Done};
use crate::exit::{Exit, Kind, Problem};
use crate::progress::{Progress, seconds};
use crate::{access, commands, output, service, timeline, working_tree};

use super::Session;

/// How much later than the service this program gives up: its deadline is the better one, it knows why.
const GRACE: Duration = Duration::from_secs(30);

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Start) -> Result<ExitCode, Problem> {
    let request = StartRequest {
        engine_image: options.engine_image.as_deref().map(absolute).transpose()?,
        timeout_seconds: options.timeout,
        working_tree: working_tree::here(),
    };
    commands::wait(bring_up(session, Way::Start, &request, options.timeline))
}

/// How the engine is brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Start what does not run.
    Start,
    /// Stop what runs first.
    Restart,
}

/// Brings the engine up and says so.
pub(crate) async fn bring_up(
    session: &Session,
    way: Way,
    request: &StartRequest,
    show_timeline: bool,
) -> Result<ExitCode, Problem> {
    let mut progress = Progress::new();
    let mut marks = Vec::new();
    let found = service::find(&session.instance).await?;
    // A service that was not there has nothing to restart.
    let path = if way == Way::Restart && found.is_some() { "/v1/restart" } else { "/v1/start" };
    let launched = found.is_none();
    let client = match found {
        Some(client) => client,
        None => launch(session, &mut progress, &mut marks).await?,
    };
    let result = client.post_ndjson(path, request, |event| {
        progress.event(event);
        if let Event::Stage { stage, at_us } = event {
            marks.push(Mark { stage: *stage, at_us: *at_us });
        }
    });
    let result = match request.timeout_seconds {
        None => result.await,
        Some(limit) => {
            let limit = Duration::from_secs(limit.into()) + GRACE;
            tokio::time::timeout(limit, result).await.map_err(|_| {
                Problem::new(
                    Kind::Api(ErrorCode::Timeout),
                    format!("the service did not finish within {} s", limit.as_secs()),
                )
                .hint("see `sampan logs --unit sampand`")
            })?
        }
    };
    progress.end(result.is_ok());
    let done = result?;
    let ended_us = timeline::now_us();
    let rows = timeline::rows(&all_marks(marks, &done), session.began_us, ended_us);
    let took = Duration::from_micros(ended_us.saturating_sub(session.began_us));
    let message = match (done.already, way) {
        (true, _) if launched => "Sampan is running; the service took over what ran already".to_owned(),
        (true, _) => "Sampan is running already".to_owned(),
        (false, Way::Start) => format!("Sampan is running ({})", seconds(took)),
        (false, Way::Restart) => format!("Sampan was restarted and is running ({})", seconds(took)),
    };
    match session.format {
        Format::Json => output::json(&json!({
            "message": message,
            "already": done.already,
            "durationMs": (took.as_secs_f64() * 1_000_000.0).round() / 1000.0,
            "dockerSocket": session.instance.docker_socket(),
            "timeline": rows,
        }))?,
        Format::Pretty => {
            let mut text = format!("{message}\n");
            if show_timeline && !rows.is_empty() {
                text.push('\n');
                text.push_str(&timeline::table(&rows));
            }
            if !done.already {
                text.push('\n');
                text.push_str(&how_to_go_on(session));
            }
            output::text(&text)?;
        }
    }
    Ok(Exit::Ok.into())
}

async fn launch(
    session: &Session,
    progress: &mut Progress,
    marks: &mut Vec<Mark>,
) -> Result<Client, Problem> {
    access::require_root("starting Sampan", &session.instance)?;
    progress.stage(Stage::Service);
    marks.push(Mark { stage: Stage::Service, at_us: session.began_us });
    let launched = service::launch(&session.instance).await;
    progress.end(launched.is_ok());
    launched
}

/// The service's own marks where it sends them, with the one that only this program knows.
fn all_marks(seen: Vec<Mark>, done: &Done) -> Vec<Mark> {
    if done.marks.is_empty() {
        return seen;
    }
    let ours = seen.into_iter().filter(|mark| mark.stage == Stage::Service);
    let theirs = done.marks.iter().filter(|mark| mark.stage != Stage::Service).cloned();
    ours.chain(theirs).collect()
}

fn how_to_go_on(session: &Session) -> String {
    output::table(&[
        ("Docker commands", session.command("docker ps")),
        ("The host's own docker", session.command("context use")),
        ("Docker socket", format!("unix://{}", session.instance.docker_socket().display())),
    ])
}

/// What `--engine-image` takes.
const TARBALL: &str = "give the path of a root file system as a tar archive, with dockerd in it";

/// The file as the service finds it, whatever folder that works in.
fn absolute(file: &Path) -> Result<PathBuf, Problem> {
    let problem = |error| {
        Problem::invalid(format!("the engine image {} can't be used: {error}", file.display())).hint(TARBALL)
    };
    let path = file.canonicalize().map_err(problem)?;
    if path.is_file() {
        return Ok(path);
    }
    Err(Problem::invalid(format!("the engine image {} is not a file", file.display())).hint(TARBALL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_s_marks_are_completed_by_ours() {
        let mark = |stage, at_us| Mark { stage, at_us };
        let done = Done { marks: vec![mark(Stage::Hub, 7)], ..Done::default() };
        let seen = vec![mark(Stage::Service, 1), mark(Stage::Hub, 6)];
        assert_eq!(all_marks(seen.clone(), &done), [mark(Stage::Service, 1), mark(Stage::Hub, 7)]);
        assert_eq!(all_marks(seen.clone(), &Done { marks: vec![], ..done }), seen);
    }

    #[test]
    fn an_engine_image_must_be_a_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(absolute(&folder.path().join("missing.tar")).is_err());
        assert_eq!(absolute(folder.path()).unwrap_err().kind, Kind::Api(ErrorCode::Invalid));
    }
}
