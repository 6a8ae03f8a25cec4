//! The user's distributions: everything `wsl` can ask for.

mod asker;
mod boot;
mod convert;
mod defaults;
mod disk_file;
mod export;
mod failure;
mod fsck;
mod guard;
mod ids;
mod import;
mod install;
mod integration;
pub(crate) mod layers;
pub(crate) mod limits;
mod mount;
pub(crate) mod probe;
mod progress;
mod recover;
mod relocate;
mod resize;
mod room;
mod session;
mod storage;
pub(crate) mod turns;
mod unregister;
mod watch;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use sampan_backend::platform::Platform;
use sampan_model::distro::ENGINE;
use sampan_model::integration::Action;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Manage, Reply, Request};

use self::asker::{Asker, can_be_called_off};
pub use self::failure::failure;
use self::ids::Ranges;
use self::import::Import;
use self::turns::{Doing, Turns};
pub(crate) use self::unregister::remove_storage;
use crate::cancel::Cancel;
use crate::platform::Native;

/// Where a request tells how far it is and what the user should know.
pub type Tell<'a> = &'a (dyn Fn(Reply) + Send + Sync);

/// The user's distributions of one instance.
#[derive(Debug)]
pub struct Distros {
    native: Arc<Native>,
    turns: Turns,
    /// The ids of distributions that are being started.
    ids: Ranges,
}

/// What became of a request.
#[derive(Debug)]
pub enum Answer {
    /// The last word.
    Last(Reply),
    /// A distribution has the client's connection, and says the rest.
    HandedOver,
}

/// The last word of most requests.
const DONE: Answer = Answer::Last(Reply::Done { installed: None });

impl Distros {
    /// The distributions that `native` runs.
    pub fn new(native: Arc<Native>) -> Self {
        let turns = native.turns.clone();
        Self { native, turns, ids: Ranges::default() }
    }

    /// Takes over what runs, and clears up after what ended or was cut off while there was no service. To be called before
    /// the first request; what could not be done.
    pub fn settle(&self) -> Vec<Failure> {
        if self.native.instance.registry().exists() {
            self.native.store.hold_reserve();
        }
        let mut failures = Vec::from_iter(self.adopt().map_err(failure).err());
        failures.append(&mut self.recover());
        let disks = self.native.recover_disks().into_iter();
        let askers = self.native.publish_askers();
        failures.extend(disks.chain(askers).map(|message| Failure::new(Code::Fail).with_message(message)));
        self.clear_workshop();
        // What an operation that was cut off has taken from the engine.
        self.native.layers.align_aside();
        integration::align_files_aside(&self.native);
        failures
    }

    /// Answers a request that came with these descriptors on the connection `client`. Blocks until it is done, which may take
    /// minutes. A client that hangs up calls off what can be taken back; all else is finished.
    pub fn answer(
        &self,
        request: Request,
        fds: Vec<OwnedFd>,
        client: BorrowedFd<'_>,
        tell: Tell<'_>,
    ) -> Answer {
        // What wsl.exe does without its service has a code path without that word.
        let served = !matches!(request, Request::Install(_) | Request::Online);
        let cancel = if can_be_called_off(&request) { Cancel::by(client) } else { Ok(Cancel::default()) };
        // Without one it is finished in any case.
        let asker = Asker { tell, cancel: &cancel.unwrap_or_default() };
        let concerns_docker = concerns_docker(&request);
        let answer = self.try_answer(request, fds, client, asker).unwrap_or_else(|failure| {
            // What could not be done any more is no failure of its own.
            let called_off = |_| Failure::new(Code::Abort);
            let failure = asker.cancel.check().map_or_else(called_off, |()| failure);
            let failure = if served { failure.in_context(Context::Service) } else { failure };
            Answer::Last(Reply::Failed { failure })
        });
        match (concerns_docker, &answer) {
            (true, _) => {
                for message in self.native.publish_askers().into_iter().chain(self.native.layers.align()) {
                    tell(Reply::Warning { message });
                }
                integration::align_files_aside(&self.native);
            }
            // A start that failed has taken its disk off; what is wrong with it is the answer.
            (false, Answer::Last(Reply::Failed { .. })) => self.native.layers.align_aside(),
            _ => {}
        }
        answer
    }

    fn try_answer(
        &self,
        request: Request,
        fds: Vec<OwnedFd>,
        client: BorrowedFd<'_>,
        asker: Asker<'_>,
    ) -> Result<Answer, Failure> {
        let tell = asker.tell;
        match request {
            Request::Session { target, system, spec } => {
                self.session(&target, system, *spec, &fds, client, tell)?;
                return Ok(Answer::HandedOver);
            }
            Request::List => {
                let distributions = self.native.distributions().map_err(failure)?;
                tell(Reply::Distributions { distributions });
            }
            Request::Status => tell(self.status()?),
            Request::SetDefault { name, force } => self.set_default(&name, force, tell)?,
            Request::SetDefaultVersion { version } => self.set_default_version(version)?,
            Request::SetVersion { name, version } => self.set_version(&name, version, asker)?,
            Request::Terminate { name } => self.terminate(&name)?,
            Request::Unregister { name, force } => self.unregister(&name, force, tell)?,
            Request::Import { name, location, version, vhd, source } => {
                let import = Import {
                    name: Some(&name),
                    location: Some(&location),
                    version,
                    vhd,
                    file: only(fds)?,
                    source: &source,
                    size_bytes: None,
                    first_run: false,
                    of_container: false,
                };
                self.import(import, asker)?;
            }
            Request::ImportInPlace { name, disk } => {
                self.import_in_place(&name, &disk, asker)?;
            }
            Request::Export { name, format, file } => {
                self.export(&name, format, only(fds)?, &file, asker)?;
            }
            Request::Manage { name, action } => return self.manage(&name, action, &fds, asker),
            Request::Integration(action) => self.integration(action, tell)?,
            Request::SetPrivileged { name, privileged } => self.set_privileged(&name, privileged)?,
            // Ends the engine too, which is not known here.
            Request::Shutdown { .. } => return Err(Failure::new(Code::Unexpected)),
            Request::Install(install) => {
                let installed = Some(self.install(&install, fds.into_iter().next(), asker)?);
                return Ok(Answer::Last(Reply::Done { installed }));
            }
            Request::Online => tell(Reply::Online { rows: self.online()? }),
            Request::Mount(wanted) => self.mount(&wanted, tell)?,
            Request::Unmount { disk } => self.unmount(disk.as_deref())?,
        }
        Ok(DONE)
    }

    fn manage(
        &self,
        name: &str,
        action: Manage,
        streams: &[OwnedFd],
        asker: Asker<'_>,
    ) -> Result<Answer, Failure> {
        match action {
            Manage::Move { folder } => self.relocate(name, &folder, asker)?,
            Manage::Resize { bytes } => self.resize(name, bytes, asker)?,
            Manage::SetSparse { sparse } => self.set_sparse(name, sparse)?,
            Manage::SetDefaultUser { user } => {
                if let Some(end) = self.set_default_user(name, &user, streams, asker.tell)? {
                    return Ok(Answer::Last(Reply::Ended { end }));
                }
            }
        }
        Ok(DONE)
    }

    fn terminate(&self, name: &str) -> Result<(), Failure> {
        let entry = self.find(name)?;
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        self.stop(&entry.guid, watch::END)
    }

    fn engine_runs(&self) -> Result<bool, Failure> {
        self.native.is_running(ENGINE).map_err(failure)
    }
}

/// Whether `docker` may be to work in other distributions after a request, or the engine is to see other disks: whose is the
/// default one, what is there, or what was in the way.
fn concerns_docker(request: &Request) -> bool {
    match request {
        Request::Session { .. }
        | Request::List
        | Request::Status
        | Request::SetDefaultVersion { .. }
        | Request::Terminate { .. }
        | Request::SetPrivileged { .. }
        | Request::Shutdown { .. }
        | Request::Online
        | Request::Mount(_)
        | Request::Unmount { .. }
        | Request::Integration(Action::List) => false,
        Request::SetDefault { .. }
        | Request::SetVersion { .. }
        | Request::Unregister { .. }
        | Request::Import { .. }
        | Request::ImportInPlace { .. }
        | Request::Export { .. }
        | Request::Manage { .. }
        | Request::Integration(_)
        | Request::Install(_) => true,
    }
}

/// The one descriptor that comes with a request for a file.
fn only(fds: Vec<OwnedFd>) -> Result<OwnedFd, Failure> {
    let [file] = <[OwnedFd; 1]>::try_from(fds).map_err(|_| Failure::new(Code::InvalidArg))?;
    Ok(file)
}
