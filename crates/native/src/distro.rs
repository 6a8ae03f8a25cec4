//! Running distributions: starting, finding again, ending.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::distro::{Guid, is_internal};
use sampan_model::guest::{
    Answer, BootSpec, ControlReply, ControlRequest, DistroRecord, IdRange, LaunchSpec, ProcessId,
};
use sampan_model::instance::Instance;
use sampan_sys::{SysError, socket};

use crate::layer::Layer;
use crate::process;
use crate::tools::guest::{Guest, GuestError};

/// An init that does not say who it is within this time hangs: the kernel alone would accept the connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Why a distribution could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DistroError {
    #[error(transparent)]
    Launch(GuestError),
    #[error("{name} cannot be looked at")]
    Look { name: String, source: SysError },
    #[error("{name} (pid {pid}) does not end although it was killed")]
    Stuck { name: String, pid: i32 },
}

impl Explain for DistroError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Launch(source) => source.code(),
            _ => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Launch(source) => {
                source.hint().or_else(|| Some("`sampan check` tests what it needs".to_owned()))
            }
            Self::Stuck { .. } => Some("the kernel log (`dmesg`) says what it waits for".to_owned()),
            Self::Look { .. } => None,
        }
    }
}

/// A running distribution, as recorded in its run folder.
#[derive(Debug, Clone)]
pub(crate) struct Running(DistroRecord);

impl Running {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Its storage.
    pub(crate) fn guid(&self) -> &Guid {
        &self.0.guid
    }

    /// Its PID 1.
    pub(crate) fn process(&self) -> &ProcessId {
        &self.0.process
    }

    /// Its ids on the host, with a user namespace.
    pub(crate) fn ids(&self) -> Option<IdRange> {
        self.0.ids
    }

    /// Whether it is a user's distribution.
    pub(crate) fn is_user_s(&self) -> bool {
        !is_internal(&self.0.name)
    }

    /// Its PID 1, to be waited for; none: it has ended.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>, DistroError> {
        process::open(&self.0.process)
            .map_err(|source| DistroError::Look { name: self.0.name.clone(), source })
    }

    /// Every running distribution, by the records alone: right even when the registry can't be read.
    pub(crate) fn all(instance: &Instance) -> Vec<Self> {
        let folders = fs::read_dir(instance.run().join("distros")).into_iter().flatten().flatten();
        folders
            .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
            .filter_map(|guid| Self::find(instance, &guid).ok()?)
            .collect()
    }

    /// The running distribution with the storage `guid`, if it runs.
    pub(crate) fn find(instance: &Instance, guid: &Guid) -> Result<Option<Self>, DistroError> {
        let Some(record) = process::read_record::<DistroRecord>(&record(instance, guid)) else {
            return Ok(None);
        };
        let running = Self(record);
        Ok(running.open()?.map(|_| running))
    }

    /// Starts a distribution whose disks are attached.
    pub(crate) fn start(guest: &Guest, spec: &LaunchSpec) -> Result<Self, DistroError> {
        let log = crate::hub::open_log(&spec.log).ok();
        let (process, _) = started("launch", guest.ask("launch", spec, log))?;
        Ok(Self(DistroRecord { name: spec.name.clone(), guid: spec.guid, process, ids: None }))
    }

    /// Starts a user's distribution within `limit`, on a layer that is being attached if it has a disk; also what the user
    /// should know of it.
    pub(crate) fn boot(
        guest: &Guest,
        spec: &BootSpec,
        layer: Option<Layer>,
        limit: Duration,
    ) -> Result<(Self, Vec<String>), DistroError> {
        let log = crate::hub::open_log(&spec.log).ok();
        let answer = match layer.map(|layer| layer.news(limit)) {
            None => guest.ask_on(limit, "boot", spec, std::io::empty(), log),
            Some((news, refusal)) => {
                let answer = guest.ask_on(limit, "boot", spec, news, log);
                // The cause, and not what came of it.
                refusal.get().map_or(answer, |refusal| {
                    let message = format!("cannot start {}: {}", spec.name, refusal.message);
                    Err(GuestError::Refused { message, busy: refusal.busy })
                })
            }
        };
        let (process, warnings) = started("boot", answer)?;
        Ok((
            Self(DistroRecord { name: spec.name.clone(), guid: spec.guid, process, ids: spec.ids }),
            warnings,
        ))
    }

    /// Ends the distribution: asks init, waits until `limit`, then kills. Its sockets and record go with it.
    pub(crate) fn terminate(&self, instance: &Instance, limit: Duration) -> Result<(), DistroError> {
        let look = |source| DistroError::Look { name: self.0.name.clone(), source };
        if let Some(pidfd) = self.open()? {
            let deadline = Instant::now() + limit;
            let asked = !limit.is_zero() && self.ask_to_end(instance, limit);
            // Init itself keeps to the limit; a little on top lets it finish.
            let grace = deadline.saturating_duration_since(Instant::now()) + Duration::from_secs(2);
            let ended = asked && sampan_sys::process::wait_exit(&pidfd, Some(grace)).map_err(look)?;
            if !ended && !process::kill(&pidfd).map_err(look)? {
                return Err(DistroError::Stuck { name: self.0.name.clone(), pid: self.0.process.pid });
            }
        }
        let _ = fs::remove_dir_all(instance.distro_run(&self.0.guid));
        Ok(())
    }

    /// Whether its init gives a sign of life.
    pub(crate) fn answers(&self, instance: &Instance) -> bool {
        let reply = ask(instance, &self.0.guid, &ControlRequest::Hello);
        matches!(reply, Some(ControlReply::Hello { guid, .. }) if guid == self.0.guid)
    }

    /// Has it put the Docker socket where clients look for it, or take it away; what the user should know.
    pub(crate) fn integrate(&self, instance: &Instance, on: bool) -> Vec<String> {
        let name = &self.0.name;
        let reply = ask(instance, &self.0.guid, &ControlRequest::Integrate { on });
        if let Some(ControlReply::Integrated { warnings }) = reply {
            return warnings.into_iter().map(|warning| format!("{name}: {warning}")).collect();
        }
        let what = if on { "has its Docker socket" } else { "is without the Docker socket" };
        vec![format!("{name} does not answer: it {what} after `wsl --terminate {name}`")]
    }

    fn ask_to_end(&self, instance: &Instance, limit: Duration) -> bool {
        let deadline_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.answers(instance)
            && matches!(
                ask(instance, &self.0.guid, &ControlRequest::Shutdown { deadline_ms }),
                Some(ControlReply::ShuttingDown)
            )
    }
}

/// The control socket of a distribution.
pub(crate) fn control_socket(instance: &Instance, guid: &Guid) -> PathBuf {
    instance.distro_run(guid).join("control.sock")
}

/// One request to an init; none when it gives no sign of life.
fn ask(instance: &Instance, guid: &Guid, request: &ControlRequest) -> Option<ControlReply> {
    let connection = socket::connect_seqpacket_within(&control_socket(instance, guid), SIGN_OF_LIFE).ok()?;
    let bytes = serde_json::to_vec(request).expect("a request is plain data");
    socket::send_message(&connection, &bytes, &[]).ok()?;
    let answer = socket::recv_message_within(&connection, SIGN_OF_LIFE).ok()??;
    serde_json::from_slice(&answer.bytes).ok()
}

/// What a verb that starts a distribution answers when it did.
fn started(verb: &str, answer: Result<Answer, GuestError>) -> Result<(ProcessId, Vec<String>), DistroError> {
    match answer.map_err(DistroError::Launch)? {
        Answer::Started { process, warnings } => Ok((process, warnings)),
        other => {
            let said = format!("{other:?}");
            Err(DistroError::Launch(GuestError::Garbled { verb: verb.to_owned(), said }))
        }
    }
}

/// Where a running distribution is recorded.
pub(crate) fn record(instance: &Instance, guid: &Guid) -> PathBuf {
    instance.distro_run(guid).join("record.json")
}
