//! Turning WSL integration on and off, and how it is in each distribution.

use std::sync::Arc;

use sampan_backend::settings;
use sampan_model::document;
use sampan_model::integration::{Action, Row, State, Switch, switches};
use sampan_model::registry::Entry;
use sampan_model::settings::Settings;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::Reply;

use super::failure::failure;
use super::storage::cannot;
use super::turns::Doing;
use super::{Distros, Tell, guard};
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
        self.apply(&entry, false, tell)
    }

    /// Brings a distribution to what its switch says now. `anew`: also what is there already.
    fn apply(&self, entry: &Entry, anew: bool, tell: Tell<'_>) -> Result<(), Failure> {
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        let entry = self.find_again(entry)?;
        let warn = |message| tell(Reply::Warning { message });
        if anew {
            self.native.undo_files(&entry).map_err(failure)?;
        }
        let aligned = self.native.align_files(&entry);
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
        let all = switches(&settings, &registry).into_iter();
        Ok(all.map(|(entry, switch)| native.integration_row(entry, switch)).collect())
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
        let has = native.has_files(&entry.guid);
        let runs = || matches!(Running::find(&native.instance, &entry.guid), Ok(Some(_)));
        if has == switch.is_on() || (switch.is_on() && !runs()) {
            continue;
        }
        let (native, entry) = (Arc::clone(native), entry.clone());
        // Without a thread the next change does it.
        let _ = std::thread::Builder::new().name("integration".to_owned()).spawn(move || {
            // Refused: whoever has the turn for long does it when that is done.
            let Ok(_turn) = native.turns.take(entry.guid, Doing::Briefly) else { return };
            if native.align_files(&entry).is_ok() {
                native.publish_askers();
            }
        });
    }
}

impl Native {
    /// Whether `docker` is to work in a distribution.
    fn switch_of(&self, guid: &sampan_model::distro::Guid) -> Result<Option<Switch>, sampan_backend::Error> {
        let settings = settings::load(&self.instance.settings())?;
        let registry = self.store.current()?;
        Ok(switches(&settings, &registry)
            .into_iter()
            .find(|(entry, _)| entry.guid == *guid)
            .map(|(_, it)| it))
    }

    /// Brings the files of a distribution to what its switch says; what is to be told. The caller has its turn.
    pub(super) fn align_files(&self, entry: &Entry) -> Result<Vec<String>, sampan_backend::Error> {
        let on = self.switch_of(&entry.guid)?.is_some_and(Switch::is_on);
        if !on {
            let kept = self.undo_files(entry)?;
            self.integration.forget(&entry.guid);
            let kept = kept.iter().map(|path| {
                format!("{} of {} was left: somebody else has changed it", path.display(), entry.name)
            });
            return Ok(kept.collect());
        }
        if !self.instance.cli().exists() {
            // Without an engine there is no CLI either; the next start of the distribution looks again.
            return Ok(Vec::new());
        }
        if self.has_files(&entry.guid) && self.integration.outcome(&entry.guid).is_none_or(|it| it.is_good())
        {
            return Ok(Vec::new());
        }
        match self.write_files(entry) {
            Ok(written) => {
                let mut told = written.warnings;
                told.extend(written.foreign.iter().map(|path| {
                    format!("{} has a `docker` of its own, {}, which is used", entry.name, path.display())
                }));
                self.integration.remember(&entry.guid, Outcome::Written { foreign: written.foreign });
                Ok(told)
            }
            Err(error) => {
                self.integration.remember(&entry.guid, Outcome::Failed { why: error.to_string() });
                Err(error)
            }
        }
    }

    fn integration_row(&self, entry: &Entry, switch: Switch) -> Row {
        let name = entry.name.clone();
        let (state, detail) = match (switch, self.integration.outcome(&entry.guid)) {
            (Switch::Off, _) => (State::Off, None),
            (Switch::VersionOne, _) => {
                (State::Failed, Some(format!("of version 1: `wsl --set-version {name} 2`")))
            }
            (_, Some(Outcome::Failed { why })) => (State::Failed, Some(why)),
            (_, outcome) => {
                let runs = matches!(Running::find(&self.instance, &entry.guid), Ok(Some(_)));
                let state = match (self.has_files(&entry.guid), runs) {
                    (false, _) => State::Preparing,
                    (true, false) => State::DistributionStopped,
                    (true, true) => State::Ready,
                };
                let foreign = match outcome {
                    Some(Outcome::Written { foreign }) => foreign.first().cloned(),
                    _ => None,
                };
                (state, foreign.map(|path| format!("its own {} is used", path.display())))
            }
        };
        Row { name, switch, state, detail }
    }
}
