//! Taking down: the engine's part, or everything. Every step is tried, whatever became of the one before.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use sampan_backend::Error;
use sampan_backend::platform::{Down, Extent};
use sampan_model::distro::{ENGINE, Guid, is_internal};
use sampan_model::registry::Entry;

use super::Native;
use crate::distro::Running;
use crate::distros::turns::Doing;
use crate::hub::wait_free;
use crate::network::Network;
use crate::{cgroup, disk};

impl Native {
    pub(super) fn take_down(&self, extent: Extent, deadline: Duration) -> Down {
        if extent == Extent::Everything && deadline.is_zero() {
            // By force: a start under way is not waited for, it fails when its init is gone.
            self.end_users(deadline);
        }
        let _ground = self.clear_ground();
        let busy = self.worked_on();
        let remaining = match extent {
            Extent::Everything => busy.iter().map(|(_, name)| name.clone()).collect(),
            Extent::Engine => self.in_use(&busy),
        };
        let busy: Vec<Guid> = busy.into_iter().map(|(guid, _)| guid).collect();
        let mut down = if extent == Extent::Everything || remaining.is_empty() {
            let mut down = self.take_everything_down(&busy, deadline);
            // The disks that the user attached come back after a plain stop.
            down.errors.extend(self.put_disks_away(extent == Extent::Everything));
            down
        } else {
            self.take_engine_down(&busy, deadline)
        };
        if extent == Extent::Everything {
            down.errors.append(&mut down.warnings);
        }
        if Running::all(&self.instance).is_empty() {
            // Nobody sees it any more.
            let _ = fs::remove_dir_all(self.instance.integration());
        } else {
            // What can't be told is told of by the next start.
            let _ = self.announce_engine(false);
        }
        Down { remaining, ..down }
    }

    fn take_everything_down(&self, busy: &[Guid], deadline: Duration) -> Down {
        let mut errors = self.end_users(deadline);
        let mut note = |result: Result<(), Error>| errors.extend(result.err());
        for running in Running::all(&self.instance) {
            note(running.terminate(&self.instance, deadline).map_err(Error::from));
        }
        let mut warnings = self.layers.take_all_off(busy);
        if let Ok(Some(hub)) = self.hub() {
            for guid in self.engine_storages() {
                let image = disk::image(&self.instance, &guid);
                if !busy.contains(&guid) {
                    note(hub.detach(&self.guest, &image, &guid).map_err(Error::from));
                }
            }
        }
        note(Network::take_down(&self.instance).map_err(Error::from));
        if let Ok(Some(hub)) = self.hub() {
            note(hub.stop(&self.instance).map_err(Error::from));
        }
        note(self.end_lost(None));
        let (engine_s, user_s) = self.images(busy);
        let held =
            |image: &PathBuf| image.exists().then(|| wait_free(image).err()).flatten().map(Error::from);
        engine_s.iter().filter_map(held).for_each(|error| note(Err(error)));
        warnings.extend(user_s.iter().filter_map(held));
        note(
            cgroup::Host::detect()
                .and_then(|host| host.remove(&self.instance.cgroup(), None))
                .map_err(Error::from),
        );
        // What is left in the run folder names nothing that lives.
        for left in
            [self.instance.docker_socket(), self.instance.hub_record(), self.instance.network_record()]
        {
            let _ = fs::remove_file(left);
        }
        let _ = fs::remove_dir_all(self.instance.run().join("distros"));
        let _ = fs::remove_dir_all(self.instance.programs());
        let _ = fs::remove_dir(self.instance.run().join("hub"));
        Down { errors, warnings, remaining: Vec::new() }
    }

    /// The engine's distribution and its disks; hub and network go on.
    fn take_engine_down(&self, busy: &[Guid], deadline: Duration) -> Down {
        let mut errors = Vec::new();
        let mut note = |result: Result<(), Error>| errors.extend(result.err());
        for running in Running::all(&self.instance).iter().filter(|running| !running.is_user_s()) {
            note(running.terminate(&self.instance, deadline).map_err(Error::from));
        }
        note(self.end_lost(Some(ENGINE)));
        let warnings = self.layers.take_all_off(busy);
        if let Ok(Some(hub)) = self.hub() {
            for guid in self.engine_storages() {
                let image = disk::image(&self.instance, &guid);
                note(hub.detach(&self.guest, &image, &guid).map_err(Error::from));
            }
        }
        note(
            cgroup::Host::detect()
                .and_then(|host| host.remove(&self.instance.cgroup(), Some(ENGINE)))
                .map_err(Error::from),
        );
        let _ = fs::remove_file(self.instance.docker_socket());
        Down { errors, warnings, remaining: Vec::new() }
    }

    /// Ends all of the user's distributions, side by side: each may take its whole time.
    fn end_users(&self, deadline: Duration) -> Vec<Error> {
        let running = Running::all(&self.instance);
        std::thread::scope(|scope| {
            let ends: Vec<_> = running
                .iter()
                .filter(|running| running.is_user_s())
                .map(|running| scope.spawn(move || self.end(running, deadline)))
                .collect();
            let ended =
                ends.into_iter().map(|end| end.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
            ended.filter_map(Result::err).collect()
        })
    }

    /// The user's distributions that something is done with that takes its time.
    pub(super) fn worked_on(&self) -> Vec<(Guid, String)> {
        let Ok(registry) = self.store.current() else { return Vec::new() };
        let busy = |guid: &Guid| self.turns.doing(guid).is_some_and(|doing| doing != Doing::Briefly);
        let entries = registry.distributions.iter().filter(|entry| busy(&entry.guid));
        entries.map(|entry| (entry.guid, entry.name.clone())).collect()
    }

    /// The user's distributions that need the hub and the service: those that run, and those that are worked on.
    pub(super) fn in_use(&self, busy: &[(Guid, String)]) -> Vec<String> {
        let running = Running::all(&self.instance);
        let running = running.iter().filter(|one| one.is_user_s()).map(|one| one.name().to_owned());
        let mut names: Vec<String> = running.chain(busy.iter().map(|(_, name)| name.clone())).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The storages that the engine may have in the hub; without a registry all but those of the user's that run.
    fn engine_storages(&self) -> Vec<Guid> {
        let running = Running::all(&self.instance);
        let registry = self.store.current().ok();
        let is_engine_s = |guid: &Guid| match &registry {
            Some(registry) => {
                let user_s = registry.distributions.iter().filter(|entry| !is_internal(&entry.name));
                !user_s.map(|entry| entry.guid).any(|other| other == *guid)
            }
            None => !running.iter().any(|one| one.is_user_s() && one.guid() == guid),
        };
        self.storages().into_iter().filter(is_engine_s).collect()
    }

    /// The images of all storages that nobody works on: the engine's, and those of the user's distributions, in the
    /// instance's own folder and where users put them.
    fn images(&self, busy: &[Guid]) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let engine_s = self.engine_storages();
        let free = self.storages().into_iter().filter(|guid| !busy.contains(guid));
        let (engine_s, user_s): (Vec<Guid>, Vec<Guid>) = free.partition(|guid| engine_s.contains(guid));
        let image = |guid: &Guid| disk::image(&self.instance, guid);
        let mut user_s: Vec<PathBuf> = user_s.iter().map(image).collect();
        if let Ok(registry) = self.store.current() {
            let free = |entry: &&Entry| entry.base.is_some() && !busy.contains(&entry.guid);
            let elsewhere = registry.distributions.iter().filter(free);
            user_s.extend(elsewhere.map(|entry| disk::image_of(&self.instance, entry)));
        }
        (engine_s.iter().map(image).collect(), user_s)
    }
}
