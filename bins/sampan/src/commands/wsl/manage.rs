//! Changing distributions and disks that are there.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::wsl::args::ManageAction;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Manage, Mount, Reply, Request};
use sampan_sys::process::wait_exit;

use super::caller::Caller;
use super::conversation::{peer, unexpected};
use super::halt::{Halt, of_streams};
use super::reach::Reach;
use super::streams::Streams;
use super::{Wsl, done, list};

/// `--set-default-version`.
pub(super) fn set_default_version(wsl: &mut Wsl<'_>, version: u8) -> Result<u8, Halt> {
    if version == 2 {
        wsl.console.print(message::CONVERSION_INFO)?;
    }
    wsl.order(&Request::SetDefaultVersion { version }, &[])?;
    wsl.say(message::SUCCESS)
}

/// `--set-version`.
pub(super) fn set_version(wsl: &mut Wsl<'_>, name: String, version: u8) -> Result<u8, Halt> {
    if version == 2 {
        wsl.console.print(message::CONVERSION_INFO)?;
    }
    wsl.order(&Request::SetVersion { name, version }, &[])?;
    wsl.say(message::SUCCESS)
}

/// `--terminate`. What does not run is terminated as it is; only that there is such a distribution matters then.
pub(super) fn terminate(wsl: &mut Wsl<'_>, name: &str) -> Result<u8, Halt> {
    let request = Request::Terminate { name: name.to_owned() };
    if let Some(last) = wsl.ask_whom(whoever_runs, &request, &[])? {
        done(last)?;
    } else if !list::rows(wsl)?.iter().any(|row| row.name.eq_ignore_ascii_case(name)) {
        return Err(Failure::new(Code::DistroNotFound).in_context(Context::Service).into());
    }
    wsl.say(message::SUCCESS)
}

/// `--shutdown`, which says nothing.
pub(super) fn shutdown(wsl: &mut Wsl<'_>, force: bool) -> Result<u8, Halt> {
    let service = Cell::new(None);
    let found = |reach: &dyn Reach| {
        let connection = whoever_runs(reach)?;
        service.set(connection.as_ref().and_then(peer));
        Ok(connection)
    };
    if let Some(last) = wsl.ask_whom(found, &Request::Shutdown { force }, &[])? {
        done(last)?;
        // The service ends too. What is typed next must not meet it on its way out.
        if let Some(service) = service.take() {
            let _ = wait_exit(&service, Some(LAST_STEPS));
        }
    }
    Ok(0)
}

/// How long a service that has said its last word may take to be gone.
const LAST_STEPS: Duration = Duration::from_secs(20);

/// `--unregister`.
pub(super) fn unregister(wsl: &mut Wsl<'_>, name: String, force: bool) -> Result<u8, Halt> {
    wsl.order(&Request::Unregister { name, force }, &[])?;
    wsl.say(message::SUCCESS)
}

/// `--manage`.
pub(super) fn manage(wsl: &mut Wsl<'_>, name: String, action: ManageAction) -> Result<u8, Halt> {
    let action = match action {
        ManageAction::Move(folder) => Manage::Move { folder: wsl.caller.absolute(&folder)? },
        ManageAction::Resize(bytes) => Manage::Resize { bytes },
        // Nothing here is unsafe about a sparse file.
        ManageAction::SetSparse(sparse) => Manage::SetSparse { sparse },
        ManageAction::SetDefaultUser(user) => Manage::SetDefaultUser { user },
    };
    let mut streams = Streams::for_errors(&wsl.caller).map_err(|error| of_streams(&error))?;
    let fds = match action {
        Manage::SetDefaultUser { .. } => streams.handed.iter().map(AsFd::as_fd).collect(),
        _ => Vec::new(),
    };
    let last = wsl.ask(&Request::Manage { name, action }, &fds);
    streams.relay.show_rest();
    match last? {
        Reply::Done { .. } => wsl.say(message::SUCCESS),
        // What `id` said of the user is printed already.
        Reply::Ended { end } => Ok(end.code()),
        _ => Err(unexpected().into()),
    }
}

/// `--mount`. The service prints where it is mounted.
pub(super) fn mount(wsl: &mut Wsl<'_>, mount: Mount) -> Result<u8, Halt> {
    let bare = mount.bare;
    let disk = match real(&wsl.caller, &mount.disk) {
        Ok(disk) => disk,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let failure = Failure::disk_not_attached(&mount.disk.display().to_string(), Code::FileNotFound);
            return Err(failure.in_context(Context::Service).in_context(Context::AttachDisk).into());
        }
        // The service may see more than the caller.
        Err(_) => wsl.caller.absolute(&mount.disk)?,
    };
    let disk = wsl.caller.absolute(&disk)?;
    wsl.order(&Request::Mount(Box::new(Mount { disk, ..mount })), &[])?;
    if bare { wsl.say(message::SUCCESS) } else { Ok(0) }
}

/// `--unmount`.
pub(super) fn unmount(wsl: &mut Wsl<'_>, disk: Option<PathBuf>) -> Result<u8, Halt> {
    let disk = match disk {
        // A disk that is gone by now is still mounted under its path.
        Some(disk) => Some(wsl.caller.absolute(&real(&wsl.caller, &disk).unwrap_or(disk))?),
        None => None,
    };
    wsl.order(&Request::Unmount { disk }, &[])?;
    wsl.say(message::SUCCESS)
}

/// `path` without links, so that a disk has one name whatever way led to it.
fn real(caller: &Caller, path: &Path) -> io::Result<PathBuf> {
    caller.folder.as_deref().unwrap_or(Path::new("/")).join(path).canonicalize()
}

/// The service, also a new one where a dead one left something; none: nothing runs.
fn whoever_runs(reach: &dyn Reach) -> Result<Option<OwnedFd>, Failure> {
    match reach.find()? {
        None if reach.left_behind() => reach.start().map(Some),
        found => Ok(found),
    }
}
