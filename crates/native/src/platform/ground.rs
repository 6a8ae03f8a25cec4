//! What all distributions stand on: the hub and the network, brought up once, however many ask for them at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use sampan_backend::platform::{Boot, Sink};
use sampan_backend::{Error, settings};
use sampan_model::api::{ErrorCode, Event};
use sampan_model::distro::ENGINE;
use sampan_model::engine::Stage;
use sampan_model::gateway::Duty;
use sampan_model::guest::{ProcessId, SharedFolder};
use sampan_model::network::Subnet;
use sampan_model::proxies::Proxies;
use sampan_model::registry::Entry;
use sampan_model::settings::Settings;
use sampan_sys::{namespace, nftables};

use super::{Native, stage};
use crate::distro::Running;
use crate::distros::limits;
use crate::distros::turns::{Doing, Turn};
use crate::hub::{Hub, present, shared_folders};
use crate::network::{Network, Wanted};
use crate::wslconfig::HostConfig;
use crate::{cgroup, gateway, proxies, working_trees};

/// How long nobody has to change the packet filter before it is looked at: a firewall is reloaded in many steps.
const QUIET: Duration = Duration::from_millis(200);

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
        let folders = self.folders_for_containers(&settings::load(&self.instance.settings())?, sink);
        if let Some(hub) = self.hub()? {
            return self.show_folders(&hub, folders, sink);
        }
        stage(sink, Stage::Hub);
        let cgroups = cgroup::Host::detect()?;
        for message in limits::set(&cgroups, &self.instance.cgroup()) {
            sink(Event::Warning { message });
        }
        let cgroup = cgroups.create_for_hub(&self.instance.cgroup())?;
        let engine = self.running(ENGINE).map(|engine| engine.process().clone());
        let mirrored = HostConfig::read().is_mirrored();
        let (hub, mut warnings) =
            Hub::start(&self.instance, &self.guest, cgroup, folders, mirrored, self.survivor(), engine)?;
        warnings.extend(self.restore_disks(&hub));
        for message in warnings {
            sink(Event::Warning { message });
        }
        Ok(())
    }

    /// Shares the folder that somebody works in, now and from every start on.
    pub(super) fn share_working_tree(&self, tree: &Path, sink: Sink<'_>) -> Result<(), Error> {
        let _one = self.one_at_a_time();
        let settings = settings::load(&self.instance.settings())?;
        let covers = |shared: &PathBuf| tree.starts_with(shared);
        if settings.filesharing_directories.iter().any(covers) {
            return Ok(());
        }
        let known = working_trees::load(&self.instance)?.working_trees.iter().any(covers);
        if !known {
            working_trees::remember(&self.instance, tree)?;
        }
        match self.hub()? {
            Some(hub) => self.show_folders(&hub, self.folders_for_containers(&settings, sink), sink),
            None if known => Ok(()),
            None => {
                sink(shared(tree));
                Ok(())
            }
        }
    }

    /// What the settings share, and the working trees.
    fn folders_for_containers(&self, settings: &Settings, sink: Sink<'_>) -> Vec<SharedFolder> {
        let mut folders = shared_folders(settings);
        match working_trees::load(&self.instance) {
            Ok(trees) => folders.extend(present(&trees.working_trees)),
            // All else works without them.
            Err(error) => sink(Event::Warning { message: sampan_backend::error::chain(&error) }),
        }
        folders
    }

    fn show_folders(&self, hub: &Hub, folders: Vec<SharedFolder>, sink: Sink<'_>) -> Result<(), Error> {
        let newly = hub.share(&self.guest, folders)?;
        newly.folders.iter().for_each(|folder| sink(shared(folder)));
        newly.warnings.into_iter().for_each(|message| sink(Event::Warning { message }));
        Ok(())
    }

    pub(super) fn bring_up_network(&self, settings: &Settings, sink: Sink<'_>) -> Result<(), Error> {
        let _one = self.one_at_a_time();
        let hub = self.living_hub()?;
        let netns = hub.netns()?;
        let (proxies, unusable) = proxies::of(settings);
        for why in unusable {
            sink(Event::Warning { message: format!("no proxy is used for it: {why}") });
        }
        let wanted = |subnet| wanted(settings, proxies, subnet);
        if let Some(network) = Network::find(&self.instance, netns) {
            network.mend(&self.instance, &self.guest, wanted)?;
        } else if !HostConfig::read().is_without_network() {
            stage(sink, Stage::Network);
            let network = Network::claim(&self.instance, &hub, netns, settings.vpnkit_cidr)?;
            let warning = network.complete(&self.instance, &self.guest, &hub, wanted)?;
            if let Some(message) = warning {
                sink(Event::Warning { message });
            }
        }
        Ok(())
    }

    /// The subnet of the network, whether it is up already or will be in a moment. None: there is to be none, or can be none;
    /// why is told by whoever brings it up.
    pub(crate) fn claim_subnet(&self, wanted: Option<Subnet>) -> Option<Subnet> {
        let hub = self.hub().ok()??;
        let netns = hub.netns().ok()?;
        let network = Network::claimed(&self.instance, netns).or_else(|| {
            let is_wanted = !HostConfig::read().is_without_network();
            is_wanted.then(|| Network::claim(&self.instance, &hub, netns, wanted).ok())?
        });
        network.map(|network| network.subnet)
    }

    /// Puts back what somebody takes away of the instance's rules (`nft flush ruleset`, a firewall that is restarted), and
    /// the gateway when it dies, for as long as this process lives. What can't be done is told.
    pub fn keep_network(self: &Arc<Self>, tell: impl Fn(String) + Send + 'static) {
        let changes = match nftables::Changes::subscribe() {
            Ok(changes) => changes,
            Err(error) => {
                return tell(format!(
                    "{error}: what is taken away of the network comes back with the next start"
                ));
            }
        };
        let native = Arc::clone(self);
        std::thread::spawn(move || {
            loop {
                // A new gateway is followed by new rules, which are a change.
                let gateway = gateway::alive(&native.instance);
                match changes.wait(QUIET, gateway.as_ref()) {
                    Ok(()) => {}
                    Err(error) => return tell(error.to_string()),
                }
                if let Err(error) = native.restore_network() {
                    tell(error.to_string());
                }
            }
        });
    }

    fn restore_network(&self) -> Result<(), Error> {
        let _one = self.one_at_a_time();
        let Some(hub) = self.hub()? else { return Ok(()) };
        if let Some(network) = Network::find(&self.instance, hub.netns()?) {
            let settings = settings::load(&self.instance.settings())?;
            let (proxies, _) = proxies::of(&settings);
            network.mend(&self.instance, &self.guest, |subnet| wanted(&settings, proxies, subnet))?;
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

/// What the settings want of the network.
fn wanted(settings: &Settings, proxies: Proxies, subnet: Subnet) -> Wanted {
    let (hidden, loopback) = (settings.dns_inhibition, settings.host_loopback.clone());
    Wanted { duty: Duty { subnet, hidden, loopback, proxies }, keeps_clients: settings.keep_client_addresses }
}

fn shared(folder: &Path) -> Event {
    Event::Note { message: format!("{} is shared with containers from now on", folder.display()) }
}
