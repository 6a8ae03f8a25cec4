//! Finding the service, starting it, and seeing it end.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sampan_model::api::{ErrorCode, Status};
use sampan_model::guest::{DistroRecord, HubRecord, ProcessId};
use sampan_model::instance::{Instance, RUN_BASE, STATE_BASE};
use serde::de::DeserializeOwned;

use crate::access;
use crate::client::{Client, ClientError};
use crate::exit::{Kind, Problem};
use crate::progress::Progress;
use crate::tools;

/// How long the service's process may take to end after its last word.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// The unit file of the service, and the folders that systemd reads it from.
const UNIT: &str = "sampand@.service";
const UNIT_FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The service, when it runs.
pub(crate) async fn find(instance: &Instance) -> Result<Option<Client>, Problem> {
    match Client::connect(&instance.api_socket(), instance.state()).await {
        Ok(client) => Ok(Some(client)),
        Err(ClientError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Starts the service, which takes over what runs. The caller has made sure that this process may.
pub(crate) async fn launch(instance: &Instance) -> Result<Client, Problem> {
    let started = if systemd_runs(instance) {
        tools::service_by_systemd(instance).await
    } else {
        tools::service_detached(instance).await
    };
    match (find(instance).await?, started) {
        // Another `sampan start` may have been faster: a service that answers is all that counts.
        (Some(client), _) => Ok(client),
        (None, Err(problem)) => Err(problem),
        (None, Ok(())) => Err(Problem::failed(format!(
            "the service started, but nothing answers at {}",
            instance.api_socket().display()
        ))
        .hint("see `sampan logs --unit sampand`")),
    }
}

/// Whether something of the engine or of a distribution may be left although the service is gone: records or sockets of
/// it are there.
pub(crate) fn left_behind(instance: &Instance) -> bool {
    let records = [instance.hub_record(), instance.network_record(), instance.docker_socket()];
    let mut distributions = std::fs::read_dir(instance.run().join("distros")).into_iter().flatten();
    records.iter().any(|path| path.try_exists().unwrap_or(false)) || distributions.next().is_some()
}

/// Whether the hub that is recorded still lives.
pub(crate) fn left_running(instance: &Instance) -> bool {
    read_record::<HubRecord>(&instance.hub_record()).is_some_and(|hub| lives(&hub.process))
}

/// The names of the distributions that are recorded and still live.
pub(crate) fn distributions_left(instance: &Instance) -> Vec<String> {
    let folders = std::fs::read_dir(instance.run().join("distros")).into_iter().flatten().flatten();
    let records =
        folders.filter_map(|folder| read_record::<DistroRecord>(&folder.path().join("record.json")));
    let mut names: Vec<_> = records.filter(|one| lives(&one.process)).map(|one| one.name).collect();
    names.sort();
    names
}

fn read_record<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Whether a process that is recorded still lives: the same one, not only the same number.
fn lives(process: &ProcessId) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    // Field 22 of proc(5); the name before it may hold anything, blanks and brackets too.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let Some(fields) = fields else { return false };
    let start_time = fields.get(19).and_then(|field| field.parse().ok());
    // One that has ended and only waits to be reaped holds nothing any more.
    start_time == Some(process.start_time) && !matches!(fields.first(), Some(&("Z" | "X")))
}

/// The service; when it is dead while things still run, it is started again to take them over. None: nothing runs.
pub(crate) async fn find_or_take_over(
    instance: &Instance,
    purpose: &str,
    progress: &mut Progress,
) -> Result<Option<Client>, Problem> {
    if let Some(client) = find(instance).await? {
        return Ok(Some(client));
    }
    if !left_behind(instance) {
        return Ok(None);
    }
    access::require_root(purpose, instance)?;
    progress.stage(sampan_model::engine::Stage::Service);
    launch(instance).await.map(Some)
}

/// The service's answer to `GET path`; none when it does not run.
pub(crate) async fn answer<T: DeserializeOwned>(
    instance: &Instance,
    path: &str,
) -> Result<Option<T>, Problem> {
    let mut tries = 0..2;
    loop {
        let Some(client) = find(instance).await? else { return Ok(None) };
        tries.next();
        match client.get_json(path).await {
            // It has died since it was found, or before: a process that it was just starting has its socket for a moment.
            Err(ClientError::Broken(..) | ClientError::NotRunning(_)) if !tries.is_empty() => {}
            answer => return Ok(Some(answer?)),
        }
    }
}

/// Asks the service, or without it its program in a single run, which needs root.
pub(crate) async fn ask<T: DeserializeOwned>(
    instance: &Instance,
    path: &str,
    job: &[&str],
) -> Result<T, Problem> {
    match answer(instance, path).await? {
        Some(answer) => Ok(answer),
        None => ask_program(instance, job).await,
    }
}

/// Asks the service's program in a single run.
pub(crate) async fn ask_program<T: DeserializeOwned>(
    instance: &Instance,
    job: &[&str],
) -> Result<T, Problem> {
    access::require_root("this, while the service is not running,", instance)?;
    let json = tools::oneshot(instance, job).await?;
    serde_json::from_slice(&json).map_err(|error| {
        Problem::failed(format!("what `sampand oneshot {}` printed can't be read: {error}", job.join(" ")))
            .hint("`sampan` and `sampand` must be of the same version")
    })
}

/// A running service's process, held so that its end can be seen.
#[derive(Debug)]
pub(crate) struct Process(Option<OwnedFd>);

impl Process {
    /// The process of the service behind `client`.
    pub(crate) async fn of(client: &Client) -> Result<Self, Problem> {
        let status: Status = client.get_json("/v1/status").await?;
        let pid = i32::try_from(status.service_pid).ok().and_then(Pid::from_raw);
        // No such process: it has ended already, or lives in a PID namespace that can't be seen from here.
        Ok(Self(pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())))
    }

    /// Waits until the process is gone: its pidfd becomes readable then (`pidfd_open(2)`).
    ///
    /// Blocks the thread; the program has nothing else left to do.
    pub(crate) fn ended(self) -> Result<(), Problem> {
        let Some(process) = self.0 else { return Ok(()) };
        let deadline = Instant::now() + END_DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).expect("the deadline is short");
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left)) {
                Err(Errno::INTR) => {}
                Ok(0) => {
                    let message = format!("the service did not end within {} s", END_DEADLINE.as_secs());
                    let problem = Problem::new(Kind::Api(ErrorCode::Timeout), message);
                    return Err(problem.hint("see `sampan logs --unit sampand`"));
                }
                Ok(_) => return Ok(()),
                Err(error) => {
                    return Err(Problem::failed(format!("can't watch the service's process: {error}")));
                }
            }
        }
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let logs = "see `sampan logs --unit sampand`";
        match error {
            ClientError::Refused(error) => error.into(),
            ClientError::NotRunning(_) => {
                Self::not_running("Sampan is not running").hint("type `sampan start`")
            }
            ClientError::Denied(socket) => access::denied(&socket.display().to_string()),
            ClientError::Timeout(_) => Self::new(Kind::Api(ErrorCode::Timeout), error.to_string()).hint(logs),
            ClientError::Unfinished(_) => Self::failed(error.to_string()).hint(logs),
            ClientError::Socket(_, ref source) => Self::failed(format!("{error}: {source}")),
            ClientError::Broken(_, ref source) => Self::failed(format!("{error}: {source}")).hint(logs),
            ClientError::Garbled(_, ref source) => Self::failed(format!("{error} ({source})")),
        }
    }
}

/// Whether systemd is the one to start the service. It knows the usual folders only.
fn systemd_runs(instance: &Instance) -> bool {
    let usual = instance.state() == Path::new(STATE_BASE).join(instance.name())
        && instance.run() == Path::new(RUN_BASE).join(instance.name());
    usual
        && Path::new("/run/systemd/system").is_dir()
        && UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(UNIT).is_file())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// Takes a question, as [`answer`] asks it: it has looked for the service before.
    async fn question(listener: &UnixListener) -> UnixStream {
        listener.accept().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream
    }

    async fn ask(serve: impl AsyncFnOnce(UnixListener)) -> Result<Option<String>, Problem> {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::new("t", &folder.path().join("state"), &folder.path().join("run")).unwrap();
        std::fs::create_dir_all(instance.run()).unwrap();
        let listener = UnixListener::bind(instance.api_socket()).unwrap();
        tokio::join!(answer(&instance, "/v1/x"), serve(listener)).0
    }

    #[tokio::test]
    async fn a_service_that_dies_over_a_question_does_not_run() {
        let died = ask(async |listener| {
            let stream = question(&listener).await;
            drop((listener, stream));
        });
        assert_eq!(died.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_is_made_once_more() {
        let reply = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n\"ok\"";
        let mended = ask(async |listener| {
            drop(question(&listener).await);
            question(&listener).await.write_all(reply.as_bytes()).await.unwrap();
        });
        assert_eq!(mended.await.unwrap().as_deref(), Some("ok"));
        let broken = ask(async |listener| {
            drop(question(&listener).await);
            drop(question(&listener).await);
        });
        assert!(broken.await.unwrap_err().to_string().contains("broke during GET /v1/x"));
    }
}
