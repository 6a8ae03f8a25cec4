//! Who has a Docker socket at the engine, and what the others are told: the folder that the engine and the user's
//! distributions see ([`sampan_model::integration`]).

pub mod files;
pub(crate) mod seen;
mod shim;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use sampan_backend::platform::Platform;
use sampan_backend::{Error, settings};
use sampan_model::api::ErrorCode;
use sampan_model::distro::{ENGINE, Guid};
use sampan_model::document::{self, Document};
use sampan_model::guest::{BootSpec, IdRange, IntegrationSpec};
use sampan_model::integration::group::TABLE_MAX;
use sampan_model::integration::{Asker, Askers, EngineNotice, Notice, Switch, switches, unknown_names};
use sampan_model::registry::Entry;
use sampan_model::settings::Settings;

use crate::distro::Running;
use crate::distros::probe;
use crate::group;
use crate::hub::Hub;
use crate::platform::Native;

/// Of the folder: what a socket's group is called in a distribution may be another group of the host.
pub(crate) const MODE: u32 = 0o700;
/// Of the folder of a distribution, which its users see.
const OWN_MODE: u32 = 0o755;

/// The group whose members may use the socket, in a distribution.
const GROUP: &str = "docker";

/// The ids of a distribution without a user namespace: the host's.
const HOST: IdRange = IdRange { base: 0, count: u32::MAX };

/// How long a look at a distribution's disk may take.
const READING: Duration = Duration::from_secs(2);

/// What the service knows of integration.
#[derive(Debug, Default)]
pub(crate) struct Integration {
    /// Held while the folder is written; whether the engine is being started.
    starting: Mutex<bool>,
    /// Held while the settings are changed.
    settings: Mutex<()>,
    /// What became of the files of distributions.
    outcomes: Mutex<BTreeMap<Guid, Outcome>>,
    /// Why the last start of a distribution failed, as one sentence.
    failed_starts: Mutex<BTreeMap<Guid, String>>,
    /// Its `docker`.
    shim: shim::Shim,
}

/// What became of the files that integration writes into a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// They are there.
    Written {
        /// Programs called `docker` of somebody else.
        foreign: Vec<PathBuf>,
        /// What it was like then, if that could be seen.
        seen: Option<seen::Seen>,
    },
    /// They are not.
    Failed {
        /// Why, as one sentence.
        why: String,
    },
}

impl Outcome {
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Self::Written { .. })
    }
}

impl Integration {
    fn turn(&self) -> MutexGuard<'_, bool> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one change the settings at a time.
    pub(crate) fn settings(&self) -> MutexGuard<'_, ()> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of the files of a distribution, if this service has done anything with them.
    pub(crate) fn outcome(&self, guid: &Guid) -> Option<Outcome> {
        self.outcomes().get(guid).cloned()
    }

    pub(crate) fn remember(&self, guid: &Guid, outcome: Outcome) {
        self.outcomes().insert(*guid, outcome);
    }

    pub(crate) fn forget(&self, guid: &Guid) {
        self.outcomes().remove(guid);
    }

    /// Why the last start of a distribution failed, if this service has tried it and it did.
    pub(crate) fn failed_start(&self, guid: &Guid) -> Option<String> {
        self.failed_starts().get(guid).cloned()
    }

    /// What became of a start; none: it runs.
    pub(crate) fn remember_start(&self, guid: &Guid, why: Option<String>) {
        let mut failed = self.failed_starts();
        match why {
            Some(why) => failed.insert(*guid, why),
            None => failed.remove(guid),
        };
    }

    fn failed_starts(&self) -> MutexGuard<'_, BTreeMap<Guid, String>> {
        self.failed_starts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outcomes(&self) -> MutexGuard<'_, BTreeMap<Guid, Outcome>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A distribution that runs and has the socket in its place although it should not, or the other way round.
struct Switched {
    running: Running,
    on: bool,
}

impl Native {
    /// Writes down who has a Docker socket by the settings and the registry as they are now, and has running
    /// distributions follow. What could not be done, one sentence each: all else stays as it was.
    ///
    /// Writes nothing that is so already, and may be called at any time. The engine's proxy watches what is written.
    pub(crate) fn publish_askers(&self) -> Vec<String> {
        self.publish_askers_for(None)
    }

    /// The same, while a distribution is being started: its ids are known, and what it is told.
    pub(crate) fn publish_askers_for(&self, booting: Option<&BootSpec>) -> Vec<String> {
        let starting = self.integration.turn();
        let published = self.publish(*starting, booting);
        drop(starting);
        let (switched, mut warnings) = published.unwrap_or_else(|error| {
            let warning = format!("docker is where it was in your distributions: {error}");
            (Vec::new(), vec![warning])
        });
        // Side by side: one that hangs keeps nobody else waiting.
        thread::scope(|scope| {
            let ask = |one: &'_ Switched| one.running.integrate(&self.instance, one.on);
            let asked: Vec<_> = switched.iter().map(|one| scope.spawn(move || ask(one))).collect();
            for asked in asked {
                warnings.extend(asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
        warnings
    }

    /// Tells the user's distributions what the engine is about.
    pub(crate) fn announce_engine(&self, starting: bool) -> Vec<String> {
        *self.integration.turn() = starting && !self.is_running(ENGINE).unwrap_or(false);
        let mut untold = self.publish_askers();
        if !starting {
            untold.extend(self.unknown_names());
        }
        untold
    }

    /// A sentence for each choice of the user's that means no distribution.
    fn unknown_names(&self) -> Vec<String> {
        // What can't be read is told of by whoever needs it.
        let settings = settings::load(&self.instance.settings()).unwrap_or_default();
        let Ok(registry) = self.store.current() else { return Vec::new() };
        let sentence = |name: &str| {
            format!("integratedWslDistros of settings.json names {name}, and no distribution is called that")
        };
        unknown_names(&settings, &registry).into_iter().map(sentence).collect()
    }

    /// What a distribution that is about to start sees.
    pub(crate) fn integration_of(&self, entry: &Entry, settings: &Settings) -> IntegrationSpec {
        let registry = self.store.current().ok();
        let switch = registry.as_ref().and_then(|registry| {
            let mut all = switches(settings, registry).into_iter();
            all.find(|(other, _)| other.guid == entry.guid).map(|(_, switch)| switch)
        });
        IntegrationSpec {
            folder: self.integration_folder(&entry.guid),
            cli: self.instance.cli(),
            bin: self.instance.shim(),
            on: switch.is_some_and(Switch::is_on),
        }
    }

    fn integration_folder(&self, guid: &Guid) -> PathBuf {
        self.instance.integration().join(guid.to_string())
    }

    fn publish(
        &self,
        starting: bool,
        booting: Option<&BootSpec>,
    ) -> Result<(Vec<Switched>, Vec<String>), Error> {
        let settings = settings::load(&self.instance.settings())?;
        let registry = self.store.current()?;
        let engine = self.engine_notice(starting)?;
        let place = self.instance.integration();
        make_folder(&place, MODE)?;
        let list = place.join(Askers::FILE);
        let before: Askers = read(&list).unwrap_or_default();
        let (mut askers, mut switched, mut warnings) = (Askers::default(), Vec::new(), Vec::new());
        for (entry, switch) in switches(&settings, &registry) {
            let booting = booting.filter(|spec| spec.guid == entry.guid);
            let running = Running::find(&self.instance, &entry.guid).ok().flatten();
            if switch.is_on() {
                let ids = booting.map(|spec| spec.ids).or(running.as_ref().map(Running::ids));
                let ids = ids.map(|ids| ids.unwrap_or(HOST));
                let before = before.distributions.iter().find(|asker| asker.guid == entry.guid);
                let (uid, gid) = owner(ids, before, || self.groups(&entry.guid));
                askers.distributions.push(Asker { guid: entry.guid, name: entry.name.clone(), uid, gid });
            }
            let notice = Notice { switch, engine, version: entry.version, name: entry.name.clone() };
            match self.tell(&entry.guid, &notice) {
                Ok(told) => {
                    let told =
                        booting.and_then(|spec| spec.integration.as_ref()).map(|told| told.on).or(told);
                    if let Some(running) = running
                        && told.is_some_and(|told| told != switch.is_on())
                    {
                        switched.push(Switched { running, on: switch.is_on() });
                    }
                }
                Err(error) => warnings.push(error.to_string()),
            }
        }
        write(&list, &askers)?;
        let known = |guid: &Guid| registry.distributions.iter().any(|entry| entry.guid == *guid);
        remove_others(&place, known);
        Ok((switched, warnings))
    }

    fn engine_notice(&self, starting: bool) -> Result<EngineNotice, Error> {
        Ok(match (starting, self.is_running(ENGINE)?) {
            (true, _) => EngineNotice::Starting,
            (false, true) => EngineNotice::Running,
            (false, false) => EngineNotice::Stopped,
        })
    }

    /// Writes the notice of a distribution. Whether its switch was on by the one before, if there was one.
    fn tell(&self, guid: &Guid, notice: &Notice) -> Result<Option<bool>, Error> {
        let folder = self.integration_folder(guid);
        make_folder(&folder, OWN_MODE)?;
        let path = folder.join(Notice::FILE);
        let before: Option<Notice> = read(&path);
        write(&path, notice)?;
        Ok(before.map(|before| before.switch.is_on()))
    }

    /// The `/etc/group` of a distribution whose disk is attached; none: it can't be had now.
    fn groups(&self, guid: &Guid) -> Option<Vec<u8>> {
        let look = |root| match probe::read(root, "etc/group", TABLE_MAX) {
            // A program in the distribution keeps it to itself: as long as it does, nothing is known.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            other => Some(other.unwrap_or_default()),
        };
        self.look(guid, look).flatten()
    }

    /// Looks at the root folder of a distribution whose disk is attached, as it is on the disk: what is mounted over it
    /// inside may be anything. None: it is not attached, or takes longer than a look may.
    pub(crate) fn look<T: Send + 'static>(
        &self,
        guid: &Guid,
        look: impl FnOnce(File) -> T + Send + 'static,
    ) -> Option<T> {
        let hub = self.hub().ok()??;
        let view = Hub::view(guid);
        let view = Path::new("/proc")
            .join(hub.process.pid.to_string())
            .join("root")
            .join(view.strip_prefix("/").ok()?);
        let look = move || {
            let is_attached = sampan_sys::mount::is_mount_point(&view).ok()?;
            if is_attached { Some(look(File::open(view).ok()?)) } else { None }
        };
        let (tell, told) = mpsc::sync_channel(1);
        // A disk may hang for ever, and all distributions wait here for each.
        let looking = thread::Builder::new().name("look".to_owned()).spawn(move || tell.send(look()));
        looking.ok().and_then(|_| told.recv_timeout(READING).ok()).flatten()
    }
}

/// Owner and group of the socket of a distribution, as ids of the host. `ids`: what it has or is about to have, if that is
/// known; `before`: what was said the last time; `groups`: its `/etc/group`, if that can be had.
fn owner(
    ids: Option<IdRange>,
    before: Option<&Asker>,
    groups: impl FnOnce() -> Option<Vec<u8>>,
) -> (u32, u32) {
    let Some(IdRange { base, count }) = ids else {
        // Nobody in it can ask before it is started. Until then it is root's.
        return before.map_or((0, 0), |before| (before.uid, before.gid));
    };
    let group = match groups() {
        Some(groups) => {
            let inside = group::parse(&String::from_utf8_lossy(&groups), GROUP);
            inside.filter(|gid| *gid < count).map(|gid| base + gid)
        }
        None => before.filter(|before| before.uid == base).map(|before| before.gid),
    };
    (base, group.unwrap_or(base))
}

/// A document of the folder; none: it is not there, or of no use.
fn read<T: Document>(path: &Path) -> Option<T> {
    document::parse(&fs::read_to_string(path).ok()?).ok()
}

/// Writes a document unless it is there.
fn write<T: Document>(path: &Path, document: &T) -> Result<(), Error> {
    let text = document::render(document);
    if fs::read(path).is_ok_and(|now| now == text.as_bytes()) {
        return Ok(());
    }
    sampan_sys::fs::write_whole(path, text.as_bytes(), 0o644)
        .map_err(|error| Error::new(ErrorCode::Failed, sampan_backend::error::chain(&error), None))
}

fn make_folder(path: &Path, mode: u32) -> Result<(), Error> {
    let make = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(mode).create(path)?;
        if path.metadata()?.permissions().mode() & 0o7777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    make().map_err(|error| {
        Error::new(ErrorCode::Failed, format!("cannot make the folder {}: {error}", path.display()), None)
    })
}

/// Removes what is there of distributions that are not. What can't be removed is tried again the next time.
fn remove_others(place: &Path, known: impl Fn(&Guid) -> bool) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.split('.').next());
        let Some(guid) = stem.and_then(|stem| stem.parse::<Guid>().ok()) else { continue };
        if !known(&guid) {
            let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use sampan_model::registry::Registry;

    use super::*;

    const IDS: IdRange = IdRange { base: 2_000_000, count: 65_536 };

    /// Two distributions of version 2, the first of which is the default one, and one of version 1.
    fn native(folder: &Path) -> (Native, [Guid; 3]) {
        let instance =
            sampan_model::instance::Instance::new("t", &folder.join("s"), &folder.join("r")).unwrap();
        let native = Native::new(instance, "/no/such/program".into()).unwrap();
        let guids = [1, 2, 3].map(|seed| Guid::from_random([seed; 16]));
        let entries = [("a", 2), ("b", 2), ("one", 1)].into_iter().zip(guids);
        let entries = entries.map(|((name, version), guid)| Entry::new(guid, name, version)).collect();
        let change = |registry: &mut Registry| {
            registry.distributions = entries;
            registry.default = Some(guids[0]);
        };
        native.store.update(change).unwrap();
        (native, guids)
    }

    fn names(native: &Native) -> Vec<String> {
        let askers: Askers = read(&native.instance.integration().join(Askers::FILE)).unwrap();
        askers.distributions.into_iter().map(|asker| asker.name).collect()
    }

    fn notice(native: &Native, guid: &Guid) -> Notice {
        read(&native.integration_folder(guid).join(Notice::FILE)).unwrap()
    }

    fn settings(native: &Native, text: &str) {
        sampan_sys::fs::write_atomic(&native.instance.settings(), text.as_bytes(), 0o600).unwrap();
    }

    #[test]
    fn what_is_published_follows_settings_and_registry() {
        let folder = tempfile::tempdir().unwrap();
        let (native, [a, b, one]) = native(folder.path());
        assert_eq!(native.publish_askers(), [""; 0]);
        assert_eq!(names(&native), ["a"]);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&native.instance.integration()), 0o700);
        assert_eq!(mode(&native.integration_folder(&b)), 0o755);
        let told =
            Notice { switch: Switch::Off, engine: EngineNotice::Stopped, version: 2, name: "b".to_owned() };
        assert_eq!(notice(&native, &b), told);

        settings(&native, "{\"schemaVersion\":1,\"integratedWslDistros\":[\"b\",\"one\"]}");
        native.store.update(|registry| registry.default = Some(one)).unwrap();
        assert_eq!(native.publish_askers(), [""; 0]);
        assert_eq!(names(&native), ["b"]);
        assert_eq!(notice(&native, &a).switch, Switch::Off);
        assert_eq!(notice(&native, &one).switch, Switch::VersionOne);

        native.announce_engine(true);
        assert_eq!(notice(&native, &b).engine, EngineNotice::Starting);
        native.announce_engine(false);
        assert_eq!(notice(&native, &b).engine, EngineNotice::Stopped);
    }

    #[test]
    fn what_is_so_already_is_not_written_again() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (native, [a, ..]) = native(folder.path());
        let files = || {
            let list = native.instance.integration().join(Askers::FILE);
            [list, native.integration_folder(&a).join(Notice::FILE)]
                .map(|path| path.metadata().unwrap().ino())
        };
        native.publish_askers();
        let first = files();
        native.publish_askers();
        assert_eq!(files(), first);
    }

    #[test]
    fn settings_that_cannot_be_read_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (native, [_, b, _]) = native(folder.path());
        native.publish_askers();
        settings(&native, "{");
        native.store.update(|registry| registry.default = Some(b)).unwrap();
        let warnings = native.publish_askers();
        assert!(warnings.len() == 1 && warnings[0].contains("settings.json"), "{warnings:?}");
        assert_eq!(names(&native), ["a"]);
        assert_eq!(notice(&native, &b).switch, Switch::Off);
    }

    #[test]
    fn what_is_gone_leaves_nothing_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (native, [a, b, _]) = native(folder.path());
        native.publish_askers();
        let place = native.instance.integration();
        for name in [format!("{a}.paths"), format!("{b}.paths"), "other".to_owned()] {
            sampan_sys::fs::write_atomic(&place.join(name), b"", 0o600).unwrap();
        }
        native.store.update(|registry| registry.distributions.retain(|entry| entry.guid != a)).unwrap();
        native.publish_askers();
        assert!(!native.integration_folder(&a).exists() && !place.join(format!("{a}.paths")).exists());
        assert!(native.integration_folder(&b).exists() && place.join(format!("{b}.paths")).exists());
        assert!(place.join("other").exists());
    }

    #[test]
    fn two_at_once_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let (native, _) = native(folder.path());
        thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| native.publish_askers())).collect();
            for one in all {
                assert_eq!(one.join().unwrap(), [""; 0]);
            }
        });
        assert_eq!(names(&native), ["a"]);
    }

    #[test]
    fn a_socket_belongs_to_root_and_the_group_docker() {
        let before = |uid, gid| Asker { guid: Guid::NIL, name: "d".to_owned(), uid, gid };
        let groups = |text: &str| Some(text.as_bytes().to_vec());
        let unasked = || unreachable!("not before it runs");
        assert_eq!(owner(None, None, unasked), (0, 0));
        assert_eq!(owner(None, Some(&before(7, 8)), unasked), (7, 8));
        let with = |text: &str| owner(Some(IDS), Some(&before(1, 2)), || groups(text));
        assert_eq!(with("root:x:0:\ndocker:x:101:ann\n"), (2_000_000, 2_000_101));
        for none in ["", "root:x:0:\n", "docker:x:65536:\n", "docker:x:-1:\n", "docker"] {
            assert_eq!(with(none), (2_000_000, 2_000_000), "{none:?}");
        }
        // Its disk can't be looked at: as it was, if it has the same ids.
        assert_eq!(owner(Some(IDS), Some(&before(2_000_000, 2_000_009)), || None), (2_000_000, 2_000_009));
        assert_eq!(owner(Some(IDS), Some(&before(3_000_000, 3_000_009)), || None), (2_000_000, 2_000_000));
        assert_eq!(owner(Some(HOST), None, || groups("docker:x:999:\n")), (0, 999));
    }
}
