//! The supervisor's socket: one request per connection, answered with JSON lines.

use std::io;
use std::time::Duration;

use sampan_model::engine::{EngineReport, EngineRequest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::supervisor::Command;
use crate::verb;

const LONGEST_REQUEST: u64 = 4096;

/// A client says what it wants when it connects.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// After a failed accept (no file descriptor left), and for the last lines when the supervisor ends.
const PAUSE: Duration = Duration::from_millis(100);
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until the supervisor has ended.
pub(super) async fn serve(
    listener: UnixListener,
    commands: mpsc::Sender<Command>,
    reports: watch::Receiver<EngineReport>,
) {
    let mut connections = JoinSet::new();
    let mut end = reports.clone();
    let ended = async { while end.changed().await.is_ok() {} };
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(attend(client, commands.clone(), reports.clone()));
                }
                Err(error) => {
                    verb::log(&format!("cannot accept a connection on the engine's control socket: {error}"));
                    sleep(PAUSE).await;
                }
            }
        }
    }
    drop(commands);
    // Who watched or waited for the stop is told; who does not read is not waited for.
    let _ = timeout(LAST_WORDS, async { while connections.join_next().await.is_some() {} }).await;
}

async fn attend(
    mut client: UnixStream,
    commands: mpsc::Sender<Command>,
    reports: watch::Receiver<EngineReport>,
) {
    let request = match timeout(REQUEST_DEADLINE, read_request(&mut client)).await {
        Ok(Ok(request)) => request,
        Ok(Err(error)) => {
            return verb::log(&format!("a request to the engine's supervisor is refused: {error}"));
        }
        Err(_) => return, // never said a word
    };
    // A write fails when the client has left; then nobody needs the answer.
    let _ = match request {
        EngineRequest::Watch => watch_reports(client, reports).await,
        EngineRequest::Start => answer(client, commands, |done| Command::Start { done }).await,
        EngineRequest::Stop { deadline_ms } => {
            let deadline = Duration::from_millis(deadline_ms);
            answer(client, commands, |done| Command::Stop { deadline, done }).await
        }
    };
}

async fn read_request(client: &mut UnixStream) -> io::Result<EngineRequest> {
    let mut line = Vec::new();
    BufReader::new(client.take(LONGEST_REQUEST)).read_until(b'\n', &mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

async fn answer(
    mut client: UnixStream,
    commands: mpsc::Sender<Command>,
    command: impl FnOnce(oneshot::Sender<EngineReport>) -> Command,
) -> io::Result<()> {
    let (done, report) = oneshot::channel();
    // Both fail only when the supervisor has ended: the client sees the connection closed.
    if commands.send(command(done)).await.is_ok()
        && let Ok(report) = report.await
    {
        write_report(&mut client, &report).await?;
    }
    Ok(())
}

async fn watch_reports(client: UnixStream, mut reports: watch::Receiver<EngineReport>) -> io::Result<()> {
    let (mut reader, mut writer) = client.into_split();
    let mut ignored = [0; 64];
    loop {
        let report = reports.borrow_and_update().clone();
        write_report(&mut writer, &report).await?;
        loop {
            tokio::select! {
                changed = reports.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return Ok(()),
                },
                read = reader.read(&mut ignored) => if read? == 0 { return Ok(()) },
            }
        }
        // `changed` has marked the value as seen; it is read at the top.
    }
}

async fn write_report(client: &mut (impl AsyncWriteExt + Unpin), report: &EngineReport) -> io::Result<()> {
    let mut line = serde_json::to_vec(report).expect("a report is plain data");
    line.push(b'\n');
    client.write_all(&line).await
}
