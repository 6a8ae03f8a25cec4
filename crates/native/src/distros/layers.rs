//! The plain layers of the users' distributions: their disks in the hub, where the engine sees them.
//!
//! A distribution that docker works in, or whose files a container or a volume names, keeps its layer for as long as the
//! engine runs, whether it runs itself or not: so containers that dockerd starts by itself find their files. Every other one
//! has it while it runs.

mod holders;
mod references;
mod side_by_side;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sampan_backend::error::chain;
use sampan_backend::{Error, settings};
use sampan_model::distro::{DATA, ENGINE, Guid};
use sampan_model::instance::Instance;
use sampan_model::integration::{Switch, switches};
use sampan_model::registry::{Entry, Registry};
use sampan_model::wsl::error::{Code, Failure};
use sampan_sys::{loopdev, process as kernel};

use super::boot::{find_storage, require_idle};
use super::fsck;
use super::mount::ensure_not_attached;
use super::turns::{Doing, Turns};
use super::watch::SETTLED;
use crate::distro::Running;
use crate::hub::{Hub, wait_free};
use crate::layer::Layer;
use crate::store::Store;
use crate::tools::guest::Guest;
use crate::{disk, process};

/// How long the engine waits for a layer. Mounting a disk takes milliseconds; one that is on a network may hang for ever.
const LIMIT: Duration = Duration::from_secs(10);

/// How long what just ended, or looked at a layer just now, may hold it when all ends.
const LAST_HOLDERS: Duration = Duration::from_secs(5);

/// How often a layer is tried that is held.
const AGAIN: Duration = Duration::from_millis(20);

/// The layers of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    instance: Instance,
    guest: Guest,
    turns: Turns,
    /// Whether an engine is about to run.
    coming: Arc<AtomicBool>,
    /// The distributions whose layers are missing and that the user was told of since the engine began.
    told: Arc<Mutex<BTreeSet<Guid>>>,
}

/// The engine counts as running while this is held.
#[derive(Debug)]
pub(crate) struct Coming(Arc<AtomicBool>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Layers {
    pub(crate) fn new(instance: Instance, guest: Guest, turns: Turns) -> Self {
        Self { instance, guest, turns, coming: Arc::default(), told: Arc::default() }
    }

    /// From here on layers stay although the engine does not run yet.
    pub(crate) fn expect_engine(&self) -> Coming {
        self.coming.store(true, Ordering::SeqCst);
        self.told().clear();
        Coming(Arc::clone(&self.coming))
    }

    /// Attaches the layers that are to be there, each at its own risk, and takes off those that are not; what could not be
    /// attached, in words, once for each start of the engine. Nobody waits for it longer than [`LIMIT`]. The caller has
    /// nobody's turn.
    pub(crate) fn align(&self) -> Vec<String> {
        let Ok(Some(hub)) = Hub::find(&self.instance) else { return Vec::new() };
        let (shown, wanted) = match (hub.views(), self.wanted()) {
            (Ok(shown), Ok(wanted)) => (shown, wanted),
            // Nothing is taken off because something cannot be read.
            (Err(error), _) => return vec![chain(&error)],
            (_, Err(error)) => return vec![error.to_string()],
        };
        let missing: Vec<Entry> =
            wanted.iter().filter(|entry| !shown.contains(&entry.guid)).cloned().collect();
        let told = self.attach_all(&hub, missing);
        for guid in shown.iter().filter(|guid| wanted.iter().all(|entry| entry.guid != **guid)) {
            self.take_off_unwanted(&hub, guid);
        }
        told
    }

    /// As [`Layers::align`], with nobody who waits for it.
    pub(crate) fn align_aside(&self) {
        let this = self.clone();
        // Without a thread the next request does it.
        let _ = std::thread::Builder::new().name("align".to_owned()).spawn(move || drop(this.align()));
    }

    /// Whether a distribution keeps its layer when it does not run.
    pub(crate) fn stays(&self, guid: &Guid) -> bool {
        let wanted = self.wanted().map(|wanted| wanted.into_iter().find(|entry| entry.guid == *guid));
        match wanted {
            // One that needs repair is free for it.
            Ok(entry) => entry.is_some_and(|entry| {
                !fsck::has_errors(&disk::image_of(&self.instance, &entry)).unwrap_or(true)
            }),
            Err(_) => true,
        }
    }

    /// Whether a distribution has its layer, because it runs or for the engine.
    pub(crate) fn is_attached(&self, guid: &Guid) -> bool {
        Hub::find(&self.instance)
            .ok()
            .flatten()
            .and_then(|hub| hub.views().ok())
            .is_some_and(|all| all.contains(guid))
    }

    /// Takes the layer of a distribution off that does not run. A container may hold its disk all the same.
    pub(crate) fn take_off(&self, entry: &Entry) -> Result<(), Error> {
        let Some(hub) = Hub::find(&self.instance)? else { return Ok(()) };
        match hub.detach_view(&self.guest, &disk::image_of(&self.instance, entry), &entry.guid) {
            Err(error) if !error.is_in_use() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Takes off the layers of all distributions that do not run, but for `busy` ones, when there is no engine any more.
    pub(crate) fn take_all_off(&self, busy: &[Guid]) -> Vec<Error> {
        let shown =
            match Hub::find(&self.instance).and_then(|hub| hub.map_or(Ok(Vec::new()), |hub| hub.views())) {
                Ok(shown) => shown,
                Err(error) => return vec![error.into()],
            };
        let running: Vec<Guid> = Running::all(&self.instance).iter().map(|running| *running.guid()).collect();
        let off = shown.into_iter().filter(|guid| !busy.contains(guid) && !running.contains(guid));
        off.filter_map(|guid| self.take_off_at_the_end(&guid).err()).collect()
    }

    /// Takes the layer of a disk off that needs repair, so that a start can repair it; what is to be told when containers keep
    /// it. The caller has the turn.
    pub(crate) fn free_for_repair(&self, entry: &Entry) -> Result<Option<String>, Error> {
        let image = disk::image_of(&self.instance, entry);
        if entry.version != 2 || !fsck::has_errors(&image).unwrap_or(false) {
            return Ok(None);
        }
        self.take_off(entry)?;
        let containers = holders::containers(&self.instance, &image);
        Ok((!containers.is_empty()).then(|| {
            let (name, list) = (&entry.name, containers.join(", "));
            format!(
                "The file system of {name} has errors. It is repaired when containers do not use it: {list}."
            )
        }))
    }

    /// What is wrong with the disk of a distribution that does not run, in words; none: nothing that can be seen from outside.
    pub(crate) fn obstacle(&self, entry: &Entry) -> Option<String> {
        let image = disk::image_of(&self.instance, entry);
        let looked = find_storage(&self.instance, entry).and_then(|()| require_sound(entry, &image));
        looked.err().map(in_words)
    }

    /// An error when containers use files of a distribution, which names them.
    pub(crate) fn require_unused(&self, entry: &Entry) -> Result<(), Failure> {
        let containers = holders::containers(&self.instance, &disk::image_of(&self.instance, entry));
        if containers.is_empty() { Ok(()) } else { Err(held(&entry.name, &containers)) }
    }

    /// What is to be told when the files of a distribution are read while containers may change them.
    pub(crate) fn told_of_writers(&self, entry: &Entry) -> Option<String> {
        let containers = holders::containers(&self.instance, &disk::image_of(&self.instance, entry));
        (!containers.is_empty()).then(|| {
            let (name, list) = (&entry.name, containers.join(", "));
            format!(
                "Containers use files of {name} ({list}): what they change meanwhile may be there by half."
            )
        })
    }

    /// What is to be told when docker is not to work any more in a distribution whose files containers use.
    pub(crate) fn told_of_containers(&self, entry: &Entry) -> Option<String> {
        let containers = holders::containers(&self.instance, &disk::image_of(&self.instance, entry));
        (!containers.is_empty()).then(|| {
            let (name, list) = (&entry.name, containers.join(", "));
            format!(
                "Containers use files of {name} ({list}): they go on to, and its disk stays in use until they are removed."
            )
        })
    }

    fn take_off_at_the_end(&self, guid: &Guid) -> Result<(), Error> {
        let Some(hub) = Hub::find(&self.instance)? else { return Ok(()) };
        let image = self.image_of(guid);
        let deadline = Instant::now() + LAST_HOLDERS;
        while let Err(error) = hub.detach_view(&self.guest, &image, guid) {
            if !error.is_in_use() || Instant::now() >= deadline {
                return Err(error.into());
            }
            std::thread::park_timeout(AGAIN);
        }
        if image.exists() { Ok(wait_free(&image)?) } else { Ok(()) }
    }

    /// The distributions whose layers are to be there.
    fn wanted(&self) -> Result<Vec<Entry>, Error> {
        if !self.coming.load(Ordering::SeqCst) && !self.engine_runs() {
            return Ok(Vec::new());
        }
        let settings = settings::load(&self.instance.settings())?;
        let registry = Store::new(self.instance.clone()).load()?;
        let named = self.named(&registry);
        let is_wanted = |(entry, switch): &(&Entry, Switch)| {
            switch.is_on() || (entry.version == 2 && named.contains(&entry.guid))
        };
        let switches = switches(&settings, &registry).into_iter();
        Ok(switches.filter(is_wanted).map(|(entry, _)| entry.clone()).collect())
    }

    /// The distributions that containers or volumes name. Before the engine's data is mounted there are none.
    fn named(&self, registry: &Registry) -> BTreeSet<Guid> {
        let hub = Hub::find(&self.instance).ok().flatten();
        let (Some(hub), Some(data)) = (hub, registry.find(DATA)) else { return BTreeSet::new() };
        let data = Hub::place(&data.guid);
        let root = Path::new("/proc").join(hub.process.pid.to_string()).join("root");
        references::below(&root.join(data.strip_prefix("/").unwrap_or(&data)))
    }

    fn engine_runs(&self) -> bool {
        Running::all(&self.instance).iter().any(|running| running.name().eq_ignore_ascii_case(ENGINE))
    }

    fn attach_all(&self, hub: &Hub, missing: Vec<Entry>) -> Vec<String> {
        if missing.is_empty() {
            return Vec::new();
        }
        let layers: Vec<(Guid, String, PathBuf)> = missing
            .iter()
            .map(|entry| (entry.guid, entry.name.clone(), disk::image_of(&self.instance, entry)))
            .collect();
        let (this, its_hub) = (self.clone(), hub.clone());
        let work = move |entry: Entry| this.attach(&its_hub, &entry);
        let outcomes = side_by_side::within(LIMIT, missing, work);
        let mut all_told = self.told();
        let told = layers.iter().zip(&outcomes).filter_map(|((guid, name, _), outcome)| {
            let why = match outcome {
                Some(Ok(())) => {
                    all_told.remove(guid);
                    return None;
                }
                Some(Err(failure)) => in_words(failure.clone()),
                None => format!("its disk could not be mounted within {} s", LIMIT.as_secs()),
            };
            all_told.insert(*guid).then(|| format!("containers do not see the files of {name}: {why}"))
        });
        let told = told.collect();
        bypass_cache_later(hub, layers.into_iter().map(|(_, _, image)| image).collect());
        told
    }

    /// Attaches one, unless it is not to be any more when its turn has come.
    fn attach(&self, hub: &Hub, entry: &Entry) -> Result<(), Failure> {
        // Whoever has it for long puts the layers in order when that is done.
        let Ok(_turn) = self.turns.take(entry.guid, Doing::Briefly) else { return Ok(()) };
        let wanted = self.wanted().map_err(super::failure::failure)?;
        let Some(entry) = wanted.iter().find(|wanted| wanted.guid == entry.guid) else { return Ok(()) };
        let image = disk::image_of(&self.instance, entry);
        find_storage(&self.instance, entry)?;
        ensure_not_attached(&self.instance, &image)?;
        require_idle(&image)?;
        require_sound(entry, &image)?;
        Layer::begin(&hub.process, &image, &Hub::view(&entry.guid), false).wait(LIMIT).map_err(|refusal| {
            let code = if refusal.busy { Code::SharingViolation } else { Code::Fail };
            Failure::new(code).with_message(refusal.message)
        })
    }

    fn told(&self) -> MutexGuard<'_, BTreeSet<Guid>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_off_unwanted(&self, hub: &Hub, guid: &Guid) {
        let runs = || Running::find(&self.instance, guid).map_or(true, |running| running.is_some());
        if runs() {
            return;
        }
        let Ok(_turn) = self.turns.take(*guid, Doing::Briefly) else { return };
        if !runs() && !self.stays(guid) {
            // One that is in use is taken off when it is not any more, with the engine at the latest.
            let _ = hub.detach_view(&self.guest, &self.image_of(guid), guid);
        }
    }

    /// The image of a distribution that the registry may not know any more.
    pub(crate) fn image_of(&self, guid: &Guid) -> PathBuf {
        let registry = Store::new(self.instance.clone()).current().ok();
        let entry = registry.as_ref().and_then(|it| it.distributions.iter().find(|one| one.guid == *guid));
        entry.map_or_else(|| disk::image(&self.instance, guid), |entry| disk::image_of(&self.instance, entry))
    }
}

/// The start of a distribution repairs its disk, and tells of it; the engine waits for nothing of the kind.
fn require_sound(entry: &Entry, image: &Path) -> Result<(), Failure> {
    let name = &entry.name;
    let failure = || Failure::new(Code::DiskCorrupted).with_message("its file system is damaged");
    if fsck::is_given_up(image) {
        return Err(failure().hint(format!("`e2fsck -f {}` repairs what can be repaired", image.display())));
    }
    match fsck::has_errors(image) {
        Ok(false) => Ok(()),
        Ok(true) => Err(failure().hint(format!("`wsl -d {name}` repairs it; then start the containers"))),
        Err(error) => Err(super::storage::cannot("read", image, &error)),
    }
}

/// A failure with what mends it, on one line.
fn in_words(failure: Failure) -> String {
    match failure {
        Failure { hint: Some(hint), message, .. } => format!("{} ({hint})", message.trim_end()),
        failure => failure.to_string(),
    }
}

fn held(name: &str, containers: &[String]) -> Failure {
    let list = containers.join(" ");
    let message = format!("Containers use files of {name}: {}.", containers.join(", "));
    Failure::new(Code::Busy)
        .with_message(message)
        .hint(format!("`sampan docker stop {list}`, or `sampan stop`, then try again"))
}

/// As for a distribution that has been started: what is read first goes through the host's cache, and from then on it is
/// cached once.
fn bypass_cache_later(hub: &Hub, images: Vec<PathBuf>) {
    let hub = hub.process.clone();
    let thread = std::thread::Builder::new().name("layers".to_owned());
    // Without a thread, or without a hub any more, all stays as it is, which is only slower.
    let _ = thread.spawn(move || {
        if let Ok(Some(pidfd)) = process::open(&hub)
            && let Ok(false) = kernel::wait_exit(&pidfd, Some(SETTLED))
        {
            for image in images.iter().filter(|image| fs::exists(image).unwrap_or(false)) {
                let _ = loopdev::bypass_cache(image);
            }
        }
    });
}
