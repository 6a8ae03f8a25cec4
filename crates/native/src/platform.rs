//! [`Platform`] for Linux: puts the parts of this crate together.

mod ground;
mod storage;
mod teardown;

pub(crate) use self::storage::fresh_guid;

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use sampan_backend::Error;
use sampan_backend::clock::monotonic_us;
use sampan_backend::platform::{Boot, Down, Extent, ImageRecipe, Import, Keep, Platform, Sink};
use sampan_model::api::{Disk, Distribution, ErrorCode, Event};
use sampan_model::check::Check;
use sampan_model::distro::{DATA, DistroState, ENGINE, Guid};
use sampan_model::engine::Stage;
use sampan_model::guest::{LaunchSpec, Placement, SocketSpec};
use sampan_model::instance::Instance;
use sampan_model::integration::PLACE;
use sampan_model::network::Subnet;
use sampan_model::registry::{Entry, ImageRecord, Phase};
use sampan_model::settings::Settings;

use crate::distro::{Running, control_socket, record};
use crate::distros::layers::Layers;
use crate::distros::turns::{Doing, Turns};
use crate::hub::Hub;
use crate::integration::{self, Integration};
use crate::network::Network;
use crate::store::Store;
use crate::tools::guest::Guest;
use crate::{cgroup, check, disk, group, image, process, resolver};

/// The program that dockerd runs for each published port, where Sampan is installed: beside `sampan-guest`.
const DOCKER_PROXY: &str = "sampan-docker-proxy";

/// Linux runs the distributions of one instance.
#[derive(Debug)]
pub struct Native {
    pub(crate) instance: Instance,
    pub(crate) guest: Guest,
    pub(crate) store: Store,
    /// Whose turn it is with each distribution.
    pub(crate) turns: Turns,
    /// The disks that the engine sees.
    pub(crate) layers: Layers,
    /// Held while the hub or the network is brought up: two starts at once stand on the same ones.
    standing: Mutex<()>,
    /// Read-held by whoever starts a user's distribution, from before it looks for the hub until the distribution is
    /// recorded; write-held while all that nobody stands on is taken down.
    ground: RwLock<()>,
    /// Held while something is done with the disks that the user attached.
    pub(crate) disks: Mutex<()>,
    pub(crate) integration: Integration,
}

impl Native {
    /// The platform of `instance`; `guest` is the path of `sampan-guest`. Makes the instance's folders.
    pub fn new(instance: Instance, guest: PathBuf) -> Result<Self, Error> {
        let native = Self::unprepared(instance, guest);
        native.make_folders()?;
        Ok(native)
    }

    fn make_folders(&self) -> Result<(), Error> {
        let instance = &self.instance;
        let gid = group::gid_of(group::GROUP);
        for (path, mode, group) in [
            (instance.state().to_owned(), 0o755, None),
            (instance.distros(), 0o711, None),
            (instance.cache(), 0o711, None),
            (instance.logs(), 0o750, gid),
            (instance.run().to_owned(), 0o755, None),
            (instance.run().join("distros"), 0o700, None),
            (instance.integration(), integration::MODE, None),
        ] {
            make_folder(&path, mode, group).map_err(|source| {
                let code = match source.kind() {
                    std::io::ErrorKind::StorageFull => ErrorCode::DiskFull,
                    std::io::ErrorKind::PermissionDenied => ErrorCode::Denied,
                    _ => ErrorCode::Failed,
                };
                let message = format!("cannot make the folder {}: {source}", path.display());
                Error::new(code, message, Some("check free space and permissions above it"))
            })?;
        }
        Ok(())
    }

    /// As [`Native::new`] for looking only: makes nothing.
    pub fn unprepared(instance: Instance, guest: PathBuf) -> Self {
        let store = Store::new(instance.clone());
        let (guest, turns) = (Guest::new(guest), Turns::default());
        Self {
            layers: Layers::new(instance.clone(), guest.clone(), turns.clone()),
            instance,
            guest,
            store,
            turns,
            standing: Mutex::new(()),
            ground: RwLock::new(()),
            disks: Mutex::new(()),
            integration: Integration::default(),
        }
    }

    fn known(&self, name: &str) -> Result<Entry, Error> {
        self.store.load()?.find(name).cloned().ok_or_else(|| {
            let message = format!("there is no distribution called {name}");
            Error::new(ErrorCode::Invalid, message, Some("`wsl -l -v` lists those that are installed"))
        })
    }

    /// The running distribution called `name`, by what runs: during an upgrade the registry names its next storage.
    fn running(&self, name: &str) -> Option<Running> {
        Running::all(&self.instance).into_iter().find(|running| running.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn hub(&self) -> Result<Option<Hub>, Error> {
        Ok(Hub::find(&self.instance)?)
    }

    /// Mounts a disk in the hub, unless anything else still holds it: two daemons on one disk would be its end.
    fn attach(&self, hub: &Hub, name: &str, guid: &Guid, cached: bool) -> Result<(), Error> {
        disk::verify(&self.instance, name, guid)?;
        let image = disk::image(&self.instance, guid);
        if sampan_sys::loopdev::loops_of(&image).is_ok_and(|loops| !loops.is_empty()) {
            hub.detach(&self.guest, &image, guid)?;
        }
        Ok(hub.attach(&self.guest, &image, guid, cached)?)
    }

    /// Mounts the disks of a start that are no root in the hub; what they are for.
    fn attach_engine_disks(&self, hub: &Hub, boot: &Boot<'_>) -> Result<Vec<Placement>, Error> {
        let mut disks = Vec::new();
        for (name, to) in boot.disks {
            let guid = self.known(name)?.guid;
            // Direct: what containers read and write is cached once, and counted to them.
            self.attach(hub, name, &guid, false)?;
            disks.push(Placement { from: Hub::place(&guid), to: PathBuf::from(to) });
        }
        Ok(disks)
    }

    /// Ends what is in the instance's cgroup although no record names it (of one distribution, or all of it). The
    /// cgroup's name has the identity of the state folder in it, so what is in it is ours.
    pub(crate) fn end_lost(&self, distro: Option<&str>) -> Result<(), Error> {
        let lost = cgroup::Host::detect()?.members(&self.instance.cgroup(), distro)?;
        if !process::kill_all(&lost)
            .map_err(|error| Error::new(ErrorCode::Failed, sampan_backend::error::chain(&error), None))?
        {
            let message =
                format!("processes of {} do not end although they were killed", self.instance.cgroup());
            return Err(Error::new(
                ErrorCode::Busy,
                message,
                Some("the kernel log (`dmesg`) says what they wait for"),
            ));
        }
        Ok(())
    }

    pub(crate) fn living_hub(&self) -> Result<Hub, Error> {
        self.hub()?.ok_or_else(|| {
            Error::new(ErrorCode::Failed, "the hub ended during the start", Some("`sampan start` again"))
        })
    }

    /// Every storage there is, by the folders alone: right even when the registry can't be read.
    fn storages(&self) -> Vec<Guid> {
        let folders = fs::read_dir(self.instance.distros()).into_iter().flatten().flatten();
        folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).collect()
    }
}

impl Platform for Native {
    fn recover(&self) -> Result<(), Error> {
        self.clear_unfinished()
    }

    fn distributions(&self) -> Result<Vec<Distribution>, Error> {
        let registry = self.store.current()?;
        let running = Running::all(&self.instance);
        let state = |entry: &Entry| {
            // The data's disk has no init of its own: it is in use while the engine is.
            let name = if entry.name == DATA { ENGINE } else { &entry.name };
            let runs = running.iter().any(|running| running.name().eq_ignore_ascii_case(name));
            match (self.turns.doing(&entry.guid).and_then(Doing::state), entry.phase) {
                (Some(state), _) => state,
                (None, Phase::Installing) => DistroState::Installing,
                (None, Phase::Uninstalling) => DistroState::Uninstalling,
                (None, Phase::Installed) if runs => DistroState::Running,
                (None, Phase::Installed) => DistroState::Stopped,
            }
        };
        let listed = |entry: &Entry| Distribution {
            name: entry.name.clone(),
            guid: entry.guid,
            state: state(entry),
            version: entry.version,
            default: registry.default == Some(entry.guid),
        };
        Ok(registry.distributions.iter().map(listed).collect())
    }

    fn entry(&self, name: &str) -> Result<Option<Entry>, Error> {
        Ok(self.store.load()?.find(name).cloned())
    }

    fn disks(&self) -> Result<Vec<Disk>, Error> {
        let entries = self.store.load()?.distributions.into_iter().filter(|entry| entry.version == 2);
        let disk = |entry: Entry| {
            let path = disk::image_of(&self.instance, &entry);
            let size_bytes = fs::metadata(&path).map_or(0, |meta| meta.len());
            let allocated_bytes = sampan_sys::fs::allocated_bytes(&path).unwrap_or(0);
            Disk { distribution: entry.name, path, size_bytes, allocated_bytes }
        };
        Ok(entries.map(disk).collect())
    }

    fn cached_image(&self) -> Option<PathBuf> {
        image::cached(&self.instance)
    }

    fn build_image(&self, recipe: &ImageRecipe<'_>, sink: Sink<'_>) -> Result<PathBuf, Error> {
        Ok(image::build(&self.instance, &self.guest, recipe, sink)?)
    }

    fn identify(&self, archive: &Path) -> Result<ImageRecord, Error> {
        Ok(image::identify(archive)?)
    }

    fn import(&self, import: &Import<'_>, sink: Sink<'_>) -> Result<(), Error> {
        self.import_storage(import, sink)
    }

    fn settle(&self, name: &str, keep: Keep) -> Result<(), Error> {
        self.settle_storage(name, keep)
    }

    fn create_disk(&self, name: &str, size_bytes: u64) -> Result<(), Error> {
        self.create_storage(name, size_bytes)
    }

    fn verify_storage(&self, name: &str) -> Result<(), Error> {
        match self.entry(name)? {
            Some(entry) => Ok(disk::verify(&self.instance, name, &entry.guid)?),
            None => Ok(()),
        }
    }

    fn prepare(&self, sink: Sink<'_>) -> Result<(), Error> {
        if let Err(error) = self.place_shim() {
            sink(Event::Warning { message: sampan_backend::error::chain(&error) });
        }
        self.bring_up_hub(sink)
    }

    fn share(&self, tree: &Path, sink: Sink<'_>) -> Result<(), Error> {
        self.share_working_tree(tree, sink)
    }

    fn connect(&self, settings: &Settings, sink: Sink<'_>) -> Result<(), Error> {
        self.bring_up_network(settings, sink)
    }

    fn start(&self, boot: &Boot<'_>, sink: Sink<'_>) -> Result<(), Error> {
        let entry = self.known(boot.name)?;
        let _turns = self.turns_for(&entry, boot)?;
        let hub = self.living_hub()?;
        stage(sink, Stage::Disks);
        self.end_lost(Some(boot.name))?;
        let _coming = self.layers.expect_engine();
        // First: they say whose files containers name.
        let disks = self.attach_engine_disks(&hub, boot)?;
        // Side by side: dockerd is to find what its containers use, and the engine's own disk takes its time, too.
        std::thread::scope(|scope| {
            let layers = scope.spawn(|| self.layers.align());
            let root = self.attach(&hub, boot.name, &entry.guid, true);
            for message in layers.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                sink(Event::Warning { message });
            }
            root
        })?;

        stage(sink, Stage::Boot);
        let cgroup = cgroup::Host::detect()?.create(&self.instance.cgroup(), boot.name)?;
        let gid = group::gid_of(group::GROUP);
        let mut sockets = vec![SocketSpec {
            name: "control".to_owned(),
            path: control_socket(&self.instance, &entry.guid),
            mode: 0o600,
            gid: None,
        }];
        for socket in &boot.sockets {
            let own = || self.instance.distro_run(&entry.guid).join(format!("{}.sock", socket.name));
            let (mode, gid) = match gid {
                gid if socket.group => (0o660, gid),
                _ => (0o600, None),
            };
            let path = socket.path.clone().unwrap_or_else(own);
            sockets.push(SocketSpec { name: socket.name.clone(), path, mode, gid });
        }
        let subnet = self.claim_subnet(boot.subnet);
        let spec = LaunchSpec {
            name: boot.name.to_owned(),
            guid: entry.guid,
            hub: hub.process.clone(),
            netns: hub.netns()?,
            record: record(&self.instance, &entry.guid),
            root: Hub::place(&entry.guid),
            disks,
            folders: vec![
                Placement { from: self.instance.logs(), to: PathBuf::from(boot.logs) },
                Placement { from: self.instance.integration(), to: PathBuf::from(PLACE) },
            ],
            cgroup,
            resolv_conf: resolver::by_gateway(subnet).to_string(),
            host_gateway: subnet.map(Subnet::services),
            sockets,
            services: boot.services.clone(),
            docker_proxy: self.guest.beside(DOCKER_PROXY),
            log: self.instance.log(boot.name),
        };
        Running::start(&self.guest, &spec)?;
        Ok(())
    }

    fn is_running(&self, name: &str) -> Result<bool, Error> {
        Ok(self.running(name).is_some())
    }

    fn socket(&self, name: &str, socket: &str) -> Result<Option<PathBuf>, Error> {
        let path = |running: Running| self.instance.distro_run(running.guid()).join(format!("{socket}.sock"));
        Ok(self.running(name).map(path))
    }

    fn announce(&self, starting: bool) -> Vec<String> {
        self.announce_engine(starting)
    }

    fn terminate(&self, name: &str, deadline: Duration) -> Result<(), Error> {
        if let Some(running) = self.running(name) {
            running.terminate(&self.instance, deadline)?;
        }
        cgroup::Host::detect()?.remove(&self.instance.cgroup(), Some(name))?;
        Ok(())
    }

    fn shut_down(&self, extent: Extent, deadline: Duration) -> Down {
        self.take_down(extent, deadline)
    }

    fn unregister(&self, name: &str) -> Result<(), Error> {
        self.remove_storage(name)
    }

    fn withdraw(&self) -> Vec<String> {
        self.withdraw_files()
    }

    fn erase(&self) -> Result<(), Error> {
        self.erase_everything()
    }

    fn subnet(&self) -> Option<String> {
        let netns = self.hub().ok()??.netns().ok()?;
        Network::find(&self.instance, netns).map(|network| network.subnet.to_string())
    }

    fn check(&self) -> Vec<Check> {
        check::all(&self.instance)
    }
}

fn stage(sink: Sink<'_>, stage: Stage) {
    sink(Event::Stage { stage, at_us: monotonic_us() });
}

fn make_folder(path: &Path, mode: u32, group: Option<u32>) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
