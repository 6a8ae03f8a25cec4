//! What all distributions stand on: the hub and the network, brought up once, however many ask for them at once.

use std::sync::{MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use sampan_backend::platform::{Boot, Sink};
use sampan_backend::{Error, settings};
use sampan_model::api::{ErrorCode, Event};
use sampan_model::distro::ENGINE;
use sampan_model::engine::Stage;
use sampan_model::guest::ProcessId;
use sampan_model::network::Subnet;
use sampan_model::registry::Entry;
use sampan_sys::namespace;

use super::{Native, stage};
use crate::cgroup;
use crate::distro::Running;
use crate::distros::limits;
use crate::distros::turns::{Doing, Turn};
use crate::hub::{Hub, shared_folders};
use crate::network::Network;

impl Native {
    /// Keeps the hub and the network from being taken down for as long as the result is held.
    pub(crate) fn stand(&self) -> RwLockReadGuard<'_, ()> {
        self.ground.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody is about to stand on the hub, and keeps everybody from doing so.
    pub(crate) fn clear_ground(&self) -> RwLockWriteGuard<'_, ()> {
        self.ground.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bring_up_hub(&self, sink: Sink<'_>) -> Result<(), Error> {
        let _one = self.one_at_a_time();
        self.make_folders()?;
        self.show_current_files()?;
        let folders = shared_folders(&settings::load(&self.instance.settings())?);
        if let Some(hub) = self.hub()? {
            for message in hub.share(&self.guest, folders)? {
                sink(Event::Warning { message });
            }
            return Ok(());
        }
        stage(sink, Stage::Hub);
        let cgroups = cgroup::Host::detect()?;
        for message in limits::set(&cgroups, &self.instance.cgroup()) {
            sink(Event::Warning { message });
        }
        let cgroup = cgroups.create_for_hub(&self.instance.cgroup())?;
        let engine = self.running(ENGINE).map(|engine| engine.process().clone());
        let (hub, mut warnings) =
            Hub::start(&self.instance, &self.guest, cgroup, folders, self.survivor(), engine)?;
        warnings.extend(self.restore_disks(&hub));
        for message in warnings {
            sink(Event::Warning { message });
        }
        Ok(())
    }

    pub(super) fn bring_up_network(&self, subnet: Option<Subnet>, sink: Sink<'_>) -> Result<(), Error> {
        let _one = self.one_at_a_time();
        let hub = self.living_hub()?;
        let netns = hub.netns()?;
        if let Some(network) = Network::find(&self.instance, netns) {
            network.mend(&self.instance)?;
        } else {
            stage(sink, Stage::Network);
            Network::set_up(&self.instance, &hub, netns, subnet)?;
        }
        Ok(())
    }

    /// The turns with everything that a start of the engine uses.
    pub(super) fn turns_for(&self, entry: &Entry, boot: &Boot<'_>) -> Result<Vec<Turn>, Error> {
        let mut used = vec![entry.clone()];
        for (name, _) in boot.disks {
            used.push(self.known(name)?);
        }
        let take = |entry: Entry| {
            self.turns.take(entry.guid, Doing::Briefly).map_err(|_| {
                let message = format!("{} is being exported, converted or removed", entry.name);
                Error::new(ErrorCode::Busy, message, Some("wait until that is done, then try again"))
            })
        };
        used.into_iter().map(take).collect()
    }

    /// A process in the network of the hub before, whose hub has died. Not every distribution has that network: version 1
    /// has the host's, where nothing of ours belongs, and some have one of their own.
    pub(super) fn survivor(&self) -> Option<ProcessId> {
        let own = i32::try_from(std::process::id()).ok()?;
        let host = namespace::netns_inode(own).ok()?;
        let shared = Network::recorded(&self.instance);
        let survives = |running: &Running| {
            let netns = namespace::netns_inode(running.process().pid).ok().filter(|netns| *netns != host);
            netns.is_some() && (!running.is_user_s() || netns == shared)
        };
        Running::all(&self.instance).iter().find(|running| survives(running)).map(|one| one.process().clone())
    }

    fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
