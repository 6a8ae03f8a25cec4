//! Turning WSL integration on and off, and how it is in each distribution.

use std::fs::File;
use std::sync::Arc;
use std::thread;

use sampan_backend::settings;
use sampan_model::distro::{ENGINE, Guid};
use sampan_model::document;
use sampan_model::integration::{Action, PROGRAM, Row, State, Switch, switches};
use sampan_model::registry::{Entry, Registry};
use sampan_model::settings::Settings;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::Reply;

use super::failure::failure;
use super::storage::cannot;
use super::turns::Doing;
use super::{Distros, Tell, guard, probe};
use crate::distro::Running;
use crate::integration::Outcome;
use crate::platform::Native;

impl Distros {
    /// Does what is asked for with integration.
    pub(super) fn integration(&self, action: Action, tell: Tell<'_>) -> Result<(), Failure> {
        match action {
            Action::List => tell(Reply::Integrations { rows: self.integrations()? }),
            Action::Switch { name, on } => self.switch(&name, on, tell)?,
            Action::Default { on } => {
                self.change_settings(|settings| settings.enable_integration_with_default_wsl_distro = on)?;
                let registry = self.native.store.current().map_err(failure)?;
                let default =
                    registry.distributions.iter().find(|entry| Some(entry.guid) == registry.default);
                if let Some(entry) = default.filter(|entry| entry.version == 2) {
                    self.tell_of_containers(entry, tell);
                    self.apply(entry, false, tell)?;
                }
            }
            Action::Repair { name } => {
                let entry = self.find_whole(&name)?;
                if !self.native.switch_of(&entry.guid).map_err(failure)?.is_some_and(Switch::is_on) {
                    let message = format!("`docker` is not to work in {}.", entry.name);
                    let hint = format!("`sampan integration enable {}` changes that", entry.name);
                    return Err(Failure::new(Code::InvalidArg).with_message(message).hint(hint));
                }
                self.apply(&entry, true, tell)?;
                if let Some(running) = Running::find(&self.native.instance, &entry.guid).map_err(failure)? {
                    let warn = |message| tell(Reply::Warning { message });
                    running.integrate(&self.native.instance, true).into_iter().for_each(warn);
                }
            }
        }
        Ok(())
    }

    fn switch(&self, name: &str, on: bool, tell: Tell<'_>) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        guard::integration(&entry.name)?;
        let name = &entry.name;
        if on && entry.version != 2 {
            let message = format!("`docker` cannot work in {name}, which is a distribution of version 1.");
            let hint = format!("`wsl --set-version {name} 2`, then `sampan integration enable {name}`");
            return Err(Failure::new(Code::VmModeInvalidState).with_message(message).hint(hint));
        }
        let registry = self.native.store.current().map_err(failure)?;
        let is_default = registry.default == Some(entry.guid);
        self.change_settings_if(|settings| {
            settings.integrated_wsl_distros.retain(|listed| !listed.eq_ignore_ascii_case(name));
            if on {
                settings.integrated_wsl_distros.push(name.clone());
            } else if is_default && settings.enable_integration_with_default_wsl_distro {
                let message = format!("`docker` works in {name} because it is the default distribution.");
                let hint = "`sampan integration default off` turns that off for whichever is the default one";
                return Err(Failure::new(Code::InvalidArg).with_message(message).hint(hint));
            }
            Ok(())
        })?;
        if !on {
            self.tell_of_containers(&entry, tell);
        }
        self.apply(&entry, false, tell)
    }

    /// After a change of what is on: names the containers of a distribution that is off now.
    pub(super) fn tell_of_containers(&self, entry: &Entry, tell: Tell<'_>) {
        if matches!(self.native.switch_of(&entry.guid), Ok(Some(Switch::Off)))
            && let Some(message) = self.native.layers.told_of_containers(entry)
        {
            tell(Reply::Warning { message });
        }
    }

    /// Takes a distribution that is removed off the list of those in which docker works: another one of its name is not to
    /// have it without a word of the user.
    pub(super) fn forget_switch(&self, name: &str, tell: Tell<'_>) {
        let forgotten = self.change_settings(|settings| {
            settings.integrated_wsl_distros.retain(|listed| !listed.eq_ignore_ascii_case(name));
        });
        if let Err(failure) = forgotten {
            let message = format!(
                "docker works in the next distribution called {name}, too, until `{name}` is taken out of \
                 `integratedWslDistros`: {}",
                failure.message
            );
            tell(Reply::Warning { message });
        }
    }

    /// Brings a distribution to what its switch says now. `anew`: also what is there already.
    fn apply(&self, entry: &Entry, anew: bool, tell: Tell<'_>) -> Result<(), Failure> {
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        let entry = self.find_again(entry)?;
        let warn = |message| tell(Reply::Warning { message });
        let aligned = if anew { self.native.repair_files(&entry) } else { self.native.align_files(&entry) };
        // Whatever became of the files: the socket follows the switch.
        self.native.publish_askers().into_iter().for_each(warn);
        aligned.map_err(failure)?.into_iter().for_each(warn);
        Ok(())
    }

    /// How it is in each of the users' distributions.
    fn integrations(&self) -> Result<Vec<Row>, Failure> {
        let native = &self.native;
        let settings = settings::load(&native.instance.settings()).map_err(failure)?;
        let registry = native.store.current().map_err(failure)?;
        // Side by side: each that hangs is waited for.
        Ok(thread::scope(|scope| {
            let look = |(entry, switch): (_, Switch)| {
                scope.spawn(move || {
                    native.look_again(entry, switch);
                    native.integration_row(entry, switch)
                })
            };
            let rows: Vec<_> = switches(&settings, &registry).into_iter().map(look).collect();
            let join = |row: thread::ScopedJoinHandle<'_, Row>| {
                row.join().unwrap_or_else(|p| std::panic::resume_unwind(p))
            };
            rows.into_iter().map(join).collect()
        }))
    }

    fn change_settings(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Failure> {
        self.change_settings_if(|settings| {
            change(settings);
            Ok(())
        })
    }

    /// Changes the settings, unless `change` refuses.
    fn change_settings_if(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let path = self.native.instance.settings();
        let _one = self.native.integration.settings();
        let (before, text) = settings::load_text(&path).map_err(failure)?;
        let mut settings = before.clone();
        change(&mut settings)?;
        if settings == before {
            return Ok(());
        }
        sampan_sys::fs::write_atomic(
            &path,
            document::render_change(&text, &before, &settings).as_bytes(),
            0o644,
        )
        .map_err(|error| cannot("write", &path, &error.errno().into()))
    }
}

/// Brings the files of all distributions to what the switches say, with nobody who waits for it. A distribution that does
/// not run gets its files when it is started; what it has too much is undone at once.
pub(super) fn align_files_aside(native: &Arc<Native>) {
    let (Ok(settings), Ok(registry)) = (settings::load(&native.instance.settings()), native.store.current())
    else {
        return;
    };
    for (entry, switch) in switches(&settings, &registry) {
        let runs = || matches!(Running::find(&native.instance, &entry.guid), Ok(Some(_)));
        let is_to_do = if is_wanted(switch, &registry) {
            !native.is_served(&entry.guid) && runs()
        } else {
            native.has_files(&entry.guid)
        };
        if !is_to_do {
            continue;
        }
        let (native, entry) = (Arc::clone(native), entry.clone());
        // Without a thread the next change does it.
        let _ = thread::Builder::new().name("integration".to_owned()).spawn(move || {
            // Refused: whoever has the turn for long does it when that is done.
            let Ok(_turn) = native.turns.take(entry.guid, Doing::Briefly) else { return };
            if native.align_files(&entry).is_ok() {
                native.publish_askers();
            }
        });
    }
}

/// Whether a distribution is to have the files: without an engine they are of no use.
fn is_wanted(switch: Switch, registry: &Registry) -> bool {
    switch.is_on() && registry.find(ENGINE).is_some()
}

impl Native {
    /// Takes the files out of all distributions that are not to have them; what could not be done, one sentence each.
    pub(crate) fn withdraw_files(&self) -> Vec<String> {
        let Ok(registry) = self.store.current() else { return Vec::new() };
        let withdraw = |entry: &Entry| {
            let failed = |why: String| vec![format!("{}: {why}", entry.name)];
            let Ok(_turn) = self.turns.take(entry.guid, Doing::Briefly) else {
                return failed(
                    "it is being worked on, and what integration has written into it stays until then"
                        .to_owned(),
                );
            };
            self.align_files(entry).unwrap_or_else(|error| failed(error.to_string()))
        };
        thread::scope(|scope| {
            let has = registry.distributions.iter().filter(|entry| self.has_files(&entry.guid));
            let all: Vec<_> = has.map(|entry| scope.spawn(move || withdraw(entry))).collect();
            all.into_iter()
                .flat_map(|one| one.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                .collect()
        })
    }

    /// Whether `docker` is to work in a distribution.
    fn switch_of(&self, guid: &Guid) -> Result<Option<Switch>, sampan_backend::Error> {
        let settings = settings::load(&self.instance.settings())?;
        let registry = self.store.current()?;
        Ok(switches(&settings, &registry)
            .into_iter()
            .find(|(entry, _)| entry.guid == *guid)
            .map(|(_, it)| it))
    }

    /// Brings the files of a distribution to what its switch says; what is to be told. The caller has its turn.
    pub(super) fn align_files(&self, entry: &Entry) -> Result<Vec<String>, sampan_backend::Error> {
        let switch = self.switch_of(&entry.guid)?.unwrap_or(Switch::Off);
        let registry = self.store.current()?;
        if !is_wanted(switch, &registry) {
            let kept = self.undo_files(entry)?;
            let kept = kept.iter().map(|path| {
                format!("{} of {} was left: somebody else has changed it", path.display(), entry.name)
            });
            return Ok(kept.collect());
        }
        if !self.instance.cli().exists() {
            // The engine is not whole; the next start of the distribution looks again.
            return Ok(Vec::new());
        }
        if self.is_settled(entry) {
            return Ok(Vec::new());
        }
        self.write_and_remember(entry, false)
    }

    /// Makes anew what integration has in a distribution whose switch is on; what is to be told. What works stays until there
    /// is something in its place. The caller has its turn.
    fn repair_files(&self, entry: &Entry) -> Result<Vec<String>, sampan_backend::Error> {
        let registry = self.store.current()?;
        let is_on = self.switch_of(&entry.guid)?.is_some_and(|switch| is_wanted(switch, &registry));
        if !is_on || !self.instance.cli().exists() {
            return self.align_files(entry);
        }
        self.write_and_remember(entry, true)
    }

    fn write_and_remember(&self, entry: &Entry, anew: bool) -> Result<Vec<String>, sampan_backend::Error> {
        match self.write_files(entry, anew) {
            Ok(written) => {
                let mut told = written.warnings;
                told.extend(written.foreign.iter().map(|path| {
                    format!("{} has a `docker` of its own, {}, which is used", entry.name, path.display())
                }));
                let seen = self.seen(entry);
                self.integration.remember(&entry.guid, Outcome::Written { foreign: written.foreign, seen });
                Ok(told)
            }
            Err(error) => {
                // What could not be made anew goes on as it was, if it was any good.
                if !(anew && self.is_served(&entry.guid) && self.has_docker(&entry.guid)) {
                    self.integration.remember(&entry.guid, Outcome::Failed { why: error.to_string() });
                }
                Err(error)
            }
        }
    }

    /// Whether all has been done for `docker` to work in a distribution. One with a `docker` and a group `docker` of its own
    /// needs nothing of ours.
    fn is_served(&self, guid: &Guid) -> bool {
        self.integration.outcome(guid).map_or_else(|| self.has_files(guid), |outcome| outcome.is_good())
    }

    /// Whether a distribution is as this service has left it: it may have other users meanwhile, or a `docker` of its own.
    fn is_settled(&self, entry: &Entry) -> bool {
        match self.integration.outcome(&entry.guid) {
            Some(Outcome::Written { seen, .. }) => {
                // What can't be seen nobody has changed either, or nothing can be done about it.
                self.seen(entry).is_none_or(|now| seen == Some(now))
            }
            _ => false,
        }
    }

    /// Whether the `docker` that is to be used in a distribution is still there. Where that can't be seen nobody has
    /// changed it either, or nothing can be done about it.
    fn has_docker(&self, guid: &Guid) -> bool {
        let mut programs = match self.integration.outcome(guid) {
            Some(Outcome::Written { foreign, .. }) => foreign,
            _ => Vec::new(),
        };
        if programs.is_empty() {
            programs.push(PROGRAM.into());
        }
        let look = move |root: File| programs.iter().all(|path| probe::is_program(&root, path));
        self.look(guid, look).unwrap_or(true)
    }

    /// Brings a distribution that has changed since to what its switch says, so that what is told of it is true.
    fn look_again(&self, entry: &Entry, switch: Switch) {
        let is_written = matches!(self.integration.outcome(&entry.guid), Some(Outcome::Written { .. }));
        if switch.is_on() && is_written && !self.is_settled(entry) {
            // Refused: whoever has the turn for long looks when that is done.
            let Ok(_turn) = self.turns.take(entry.guid, Doing::Briefly) else { return };
            // What went wrong is remembered, and told.
            let _ = self.align_files(entry);
        }
    }

    fn integration_row(&self, entry: &Entry, switch: Switch) -> Row {
        let (state, detail) = self.integration_state(entry, switch);
        Row { name: entry.name.clone(), switch, state, detail }
    }

    /// How integration is in a distribution, and why. Nothing is started for it.
    fn integration_state(&self, entry: &Entry, switch: Switch) -> (State, Option<String>) {
        let (name, guid) = (&entry.name, &entry.guid);
        let has_files = self.has_files(guid);
        match switch {
            Switch::Off => {
                let left = || format!("`sampan integration disable {name}` undoes what is left of it");
                return (State::Off, has_files.then(left));
            }
            Switch::VersionOne => {
                return (State::Failed, Some(format!("of version 1: `wsl --set-version {name} 2`")));
            }
            Switch::Default | Switch::Chosen => {}
        }
        let running = Running::find(&self.instance, guid).ok().flatten();
        let doing = self.turns.doing(guid);
        let in_hand = doing.is_some();
        let outcome = self.integration.outcome(guid);
        let obstacle = match &running {
            Some(running) if !in_hand && !running.answers(&self.instance) => {
                Some(format!("it does not answer: `wsl --terminate {name}` ends it"))
            }
            // Its disk may be on its way to another place.
            None if doing.is_none_or(|doing| doing == Doing::Briefly) => {
                self.layers.obstacle(entry).or_else(|| self.integration.failed_start(guid))
            }
            _ => None,
        };
        if let Some(why) = obstacle {
            return (State::Failed, Some(why));
        }
        let foreign = match &outcome {
            Some(Outcome::Failed { why }) => {
                let again = format!("{why}; `sampan integration repair {name}` tries again");
                return (State::Failed, Some(again));
            }
            Some(Outcome::Written { foreign, .. }) => foreign.first(),
            None if in_hand => return (State::Preparing, None),
            None => None,
        };
        let detail = foreign.map(|path| format!("its own {} is used", path.display()));
        match (self.is_served(guid), running) {
            (false, _) => (State::Preparing, Some("begins with its next start".to_owned())),
            (true, None) => (State::DistributionStopped, detail),
            (true, Some(_)) => (State::Ready, detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use sampan_model::instance::Instance;

    use super::*;

    #[test]
    fn a_state_comes_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::new("x", &folder.path().join("state"), &folder.path().join("run")).unwrap();
        let native = Native::unprepared(instance, "/no/such/sampan-guest".into());
        let entry = Entry::new(Guid::from_random([3; 16]), "d", 2);
        let why = |switch| native.integration_state(&entry, switch);

        assert_eq!(why(Switch::Off), (State::Off, None));
        let (state, gone) = why(Switch::Chosen);
        assert_eq!(state, State::Failed);
        assert!(gone.unwrap().contains("ext4.img"));
        let image = crate::disk::image_of(&native.instance, &entry);
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        sampan_sys::fs::write_atomic(&image, &[0; 4096], 0o600).unwrap();
        let waits = (State::Preparing, Some("begins with its next start".to_owned()));
        assert_eq!(why(Switch::Chosen), waits);

        native.integration.remember_start(&entry.guid, Some("it died".to_owned()));
        assert_eq!(why(Switch::Default), (State::Failed, Some("it died".to_owned())));
        native.integration.remember_start(&entry.guid, None);
        assert_eq!(why(Switch::Default), waits);
        let outcome = Outcome::Failed { why: "it is full".to_owned() };
        native.integration.remember(&entry.guid, outcome);
        let again = "it is full; `sampan integration repair d` tries again";
        assert_eq!(why(Switch::Chosen), (State::Failed, Some(again.to_owned())));

        let journal = native.instance.integration_journal(&entry.guid);
        std::fs::create_dir_all(journal.parent().unwrap()).unwrap();
        sampan_sys::fs::write_atomic(&journal, b"{}", 0o600).unwrap();
        let outcome = Outcome::Written { foreign: vec!["/bin/docker".into()], seen: None };
        native.integration.remember(&entry.guid, outcome);
        let used = Some("its own /bin/docker is used".to_owned());
        assert_eq!(why(Switch::Chosen), (State::DistributionStopped, used));
        assert!(why(Switch::Off).1.unwrap().contains("`sampan integration disable d`"));
        // One that has all it needs of its own is ready without a journal too.
        std::fs::remove_file(&journal).unwrap();
        assert_eq!(why(Switch::Chosen).0, State::DistributionStopped);
        native.undo_files(&entry).unwrap();
        assert_eq!(why(Switch::Chosen), waits);
    }

    #[test]
    fn a_list_that_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::new("x", &folder.path().join("state"), &folder.path().join("run")).unwrap();
        let settings = instance.settings();
        std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
        sampan_sys::fs::write_atomic(&settings, b"{", 0o600).unwrap();
        let distros = Distros::new(Arc::new(Native::unprepared(instance, "/no/such/sampan-guest".into())));
        let told = std::sync::Mutex::new(Vec::new());
        distros.forget_switch("d", &|reply| told.lock().unwrap().push(reply));
        let told = told.into_inner().unwrap();
        let [Reply::Warning { message }] = &told[..] else { panic!("{told:?}") };
        assert!(message.contains("the next distribution called d"), "{message}");
    }

    #[test]
    fn without_an_engine_no_distribution_has_the_files() {
        let mut registry = Registry::default();
        assert!(!is_wanted(Switch::Chosen, &registry));
        registry.distributions.push(Entry::new(Guid::from_random([1; 16]), ENGINE, 2));
        assert!(is_wanted(Switch::Chosen, &registry) && is_wanted(Switch::Default, &registry));
        assert!(!is_wanted(Switch::Off, &registry) && !is_wanted(Switch::VersionOne, &registry));
    }
}
