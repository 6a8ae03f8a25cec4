//! The end of users' distributions: brought about, seen, and cleared up after.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use sampan_backend::Error;
use sampan_model::distro::{Guid, is_internal};
use sampan_model::integration;
use sampan_model::registry::Entry;
use sampan_model::wsl::error::{Code, Failure};
use sampan_sys::{SysError, loopdev, process};

use super::Distros;
use super::failure::failure;
use super::turns::Doing;
use crate::cgroup::{self, user_folder};
use crate::disk;
use crate::distro::Running;
use crate::platform::Native;

/// How long a distribution gets to end in order: WSL's own default (`boot.initTimeout`).
pub(super) const END: Duration = Duration::from_secs(10);

/// The kernel frees a loop device a moment after the last unmount.
const DISK_LIMIT: Duration = Duration::from_secs(5);

/// After this long what a start reads has been read.
pub(super) const SETTLED: Duration = Duration::from_secs(10);

impl Native {
    /// Ends a user's distribution, in order within `limit`, then by force, and clears up after it.
    pub(crate) fn end(&self, running: &Running, limit: Duration) -> Result<(), Error> {
        running.terminate(&self.instance, limit)?;
        self.clear_after(running.guid())
    }

    /// Removes what a user's distribution that has ended left: its mount in the hub, its cgroups, its run folder. A mount
    /// that the engine uses or is to see stays, with all written back: the next start finds it.
    pub(crate) fn clear_after(&self, guid: &Guid) -> Result<(), Error> {
        let folder = user_folder(guid);
        self.end_lost(Some(&folder))?;
        if let Some(hub) = self.hub()? {
            if self.layers.stays(guid) {
                // Not mounted, or on a disk that is gone: there is nothing to write back then.
                let _ = hub.write_view_back(guid);
            } else {
                match hub.detach_view(&self.guest, &self.layers.image_of(guid), guid) {
                    Err(error) if error.is_in_use() => {}
                    detached => detached?,
                }
            }
        }
        cgroup::Host::detect()?.remove(&self.instance.cgroup(), Some(&folder))?;
        let _ = fs::remove_file(self.instance.integration().join(integration::path_socket(guid)));
        let _ = fs::remove_dir_all(self.instance.distro_run(guid));
        Ok(())
    }

    /// Whether [`Native::clear_after`] has something to remove, after a death that nobody saw.
    pub(crate) fn has_traces_of(&self, guid: &Guid) -> Result<bool, Error> {
        let cgroups = || cgroup::Host::detect()?.users(&self.instance.cgroup());
        Ok(self.instance.distro_run(guid).exists() || cgroups()?.contains(guid))
    }

    /// Waits for its end. What it reads in its first moments goes through the host's cache, where the next start finds it;
    /// from then on it is cached once, and counted to the distribution.
    fn attend(&self, running: &Running, pidfd: &OwnedFd) -> Result<(), SysError> {
        if !process::wait_exit(pidfd, Some(SETTLED))? {
            // Of version 1, or on a file system that can't: all stays as it is, which is only slower.
            let _ = loopdev::bypass_cache(&self.layers.image_of(running.guid()));
            process::wait_exit(pidfd, None)?;
        }
        Ok(())
    }
}

impl Distros {
    /// Makes sure that a distribution does not run and that nothing holds its disk; refused while containers use its files,
    /// before anything has ended. The caller has its turn; the layer comes back when the request has ended.
    pub(super) fn ensure_stopped(&self, entry: &Entry) -> Result<(), Failure> {
        if entry.version != 2 {
            return self.stop(&entry.guid, END);
        }
        let layers = &self.native.layers;
        layers.require_unused(entry)?;
        self.stop(&entry.guid, END)?;
        layers.take_off(entry).map_err(failure)?;
        let image = disk::image_of(&self.native.instance, entry);
        if image.exists() && !loopdev::wait_free(&image, DISK_LIMIT).unwrap_or(false) {
            layers.require_unused(entry)?;
            return Err(Failure::new(Code::DistroNotStopped));
        }
        Ok(())
    }

    /// Ends a distribution if it runs. The caller has its turn.
    pub(super) fn stop(&self, guid: &Guid, limit: Duration) -> Result<(), Failure> {
        let native = &self.native;
        match Running::find(&native.instance, guid).map_err(failure)? {
            Some(running) => native.end(&running, limit).map_err(failure),
            None => native.clear_after(guid).map_err(failure),
        }
    }

    /// Takes over what runs and clears up after what ended while there was no service.
    pub(super) fn adopt(&self) -> Result<(), Error> {
        let native = &self.native;
        let running: Vec<Running> =
            Running::all(&native.instance).into_iter().filter(Running::is_user_s).collect();
        let alive: BTreeSet<Guid> = running.iter().map(|running| *running.guid()).collect();
        for running in running {
            watch(native, running);
        }
        // Only what the registry says is a user's, and what has a user's cgroup: the engine's leftovers are its own.
        let registry = native.store.current()?;
        let user_s = registry.distributions.iter().filter(|entry| !is_internal(&entry.name));
        let recorded =
            user_s.map(|entry| entry.guid).filter(|guid| native.instance.distro_run(guid).exists());
        let mut dead: BTreeSet<Guid> = recorded.collect();
        dead.extend(cgroup::Host::detect()?.users(&native.instance.cgroup())?);
        let mut cleared = Ok(());
        for guid in dead.difference(&alive) {
            // Nobody has asked for anything yet, so that the turn is free.
            let _turn = native.turns.take(*guid, Doing::Briefly);
            // One that can't be cleared does not keep the others.
            cleared = cleared.and(native.clear_after(guid));
        }
        cleared
    }
}

/// Waits for the end of a running distribution, on a thread of its own, and clears up after it.
pub(super) fn watch(native: &Arc<Native>, running: Running) {
    let native = Arc::clone(native);
    let thread = std::thread::Builder::new().name("watch".to_owned());
    // Without a thread the next start clears up.
    let _ = thread.spawn(move || {
        if let Ok(Some(pidfd)) = running.open()
            && native.attend(&running, &pidfd).is_err()
        {
            return;
        }
        // Refused: whoever has the turn for long has seen to it that nothing runs, and cleared up.
        let Ok(_turn) = native.turns.take(*running.guid(), Doing::Briefly) else { return };
        if let Ok(None) = Running::find(&native.instance, running.guid()) {
            // What could not be removed is tried again by the next start, which tells of it.
            let _ = native.clear_after(running.guid());
        }
    });
}
