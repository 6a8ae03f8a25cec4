//! Removing a distribution with all its files.

use std::fs;

use sampan_backend::Error;
use sampan_backend::platform::Platform;
use sampan_model::distro::is_internal;
use sampan_model::instance::Instance;
use sampan_model::registry::{Entry, Leftover, Phase, Registry};
use sampan_model::wsl::error::Failure;
use sampan_model::wsl::message;
use sampan_model::wsl::service::Reply;

use super::boot::log_of;
use super::failure::{error, failure};
use super::storage::{Storage, remove_empty};
use super::turns::Doing;
use super::{Distros, Tell, guard};

impl Distros {
    /// Removes a distribution; one that runs ends. `force`: also an internal one, while the engine does not run.
    pub(super) fn unregister(&self, name: &str, force: bool, tell: Tell<'_>) -> Result<(), Failure> {
        let entry = self.find(name)?;
        guard::unregister(&entry.name, force, self.engine_runs()?)?;
        let _turn = self.turns.take(entry.guid, Doing::Uninstalling)?;
        let entry = self.find_again(&entry)?;
        // The engine may have started while this waited.
        guard::unregister(&entry.name, force, self.engine_runs()?)?;
        if is_internal(&entry.name) {
            self.native.unregister(&entry.name).map_err(failure)?;
            return self.native.store.update(Registry::settle_default).map_err(failure);
        }
        self.ensure_stopped(&entry)?;
        tell(Reply::Line { text: message::progress::UNREGISTERING.to_owned() });
        self.change(&entry, |entry| entry.phase = Phase::Uninstalling)?;
        self.forget_switch(&entry.name, tell);
        self.remove_all_of(&entry)
    }

    /// Removes everything of a distribution that does not run; the registry forgets it last.
    pub(super) fn remove_all_of(&self, entry: &Entry) -> Result<(), Failure> {
        remove_files(&self.native.instance, entry)?;
        self.native.forget_files(&entry.guid).map_err(failure)?;
        self.native.integration.forget(&entry.guid);
        self.forget(entry)
    }
}

/// Removes every file of a distribution that does not run, wherever it is.
pub(crate) fn remove_storage(instance: &Instance, entry: &Entry) -> Result<(), Error> {
    remove_files(instance, entry).map_err(|failure| error(&failure))
}

fn remove_files(instance: &Instance, entry: &Entry) -> Result<(), Failure> {
    let storage = Storage::of(instance, entry);
    storage.remove()?;
    match &entry.leftover {
        Some(Leftover::Version { version }) => storage.with_version(*version).remove()?,
        Some(Leftover::Folder { folder, made, .. }) => {
            storage.in_folder(folder).remove()?;
            if *made {
                remove_empty(folder);
            }
        }
        None => {}
    }
    remove_empty(storage.folder());
    let _ = fs::remove_file(instance.log(&log_of(entry)));
    Ok(())
}
