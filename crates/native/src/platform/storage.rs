//! Making, replacing and removing the storage of distributions.
//!
//! The order is always the same: write down that a storage is about to be made, make it, and take it into use in the
//! same write that takes it off the unfinished ones. Whatever was cut off in between is removed by identity.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::platform::{Import, Keep, Sink};
use sampan_backend::{Error, Explain};
use sampan_model::api::ErrorCode;
use sampan_model::distro::{Guid, is_internal};
use sampan_model::instance::{RUN_BASE, STATE_BASE};
use sampan_model::registry::{Entry, ImageRecord, Previous, Registry};

use super::Native;
use crate::hub::{Hub, wait_free};
use crate::{disk, distros, image};

/// Folder of files copied out of a root file system, in the storage's own folder.
const FILES: &str = "files";

impl Native {
    pub(super) fn clear_unfinished(&self) -> Result<(), Error> {
        let _ = fs::remove_dir_all(image::workshop(&self.instance));
        for guid in self.store.load()?.unfinished {
            self.discard(&guid)?;
            self.store.finish(guid, |_| {})?;
        }
        Ok(())
    }

    pub(super) fn import_storage(&self, import: &Import<'_>, sink: Sink<'_>) -> Result<(), Error> {
        // An upgrade before this one was cut off. Its engine is worth keeping only if it runs.
        if let Some(entry) = self.store.load()?.find(import.name)
            && entry.previous.is_some()
        {
            let runs = self.running(import.name).is_some_and(|running| *running.guid() == entry.guid);
            self.settle_storage(import.name, if runs { Keep::New } else { Keep::Previous })?;
        }
        let guid = fresh_guid()?;
        self.store.begin(guid)?;
        let made = self.fill(&guid, import, sink);
        if let Err(error) = made {
            self.discard(&guid)?;
            self.store.finish(guid, |_| {})?;
            return Err(error);
        }
        self.store.finish(guid, |registry| match registry.find_mut(import.name) {
            Some(entry) => {
                entry.previous = Some(Box::new(Previous { guid: entry.guid, image: entry.image.take() }));
                entry.guid = guid;
                entry.image = Some(import.record.clone());
            }
            None => registry.distributions.push(entry(guid, import.name, Some(import.record.clone()))),
        })?;
        self.show_files(&guid)
    }

    pub(super) fn settle_storage(&self, name: &str, keep: Keep) -> Result<(), Error> {
        let entry = self.known(name)?;
        let Some(previous) = entry.previous else { return Ok(()) };
        let (kept, dropped) = match keep {
            Keep::New => (entry.guid, previous.guid),
            Keep::Previous => (previous.guid, entry.guid),
        };
        self.store.update(|registry| {
            if let Some(entry) = registry.find_mut(name) {
                entry.guid = kept;
                entry.previous = None;
                if keep == Keep::Previous {
                    entry.image = previous.image;
                }
            }
            registry.unfinished.push(dropped);
        })?;
        self.show_files(&kept)?;
        self.discard(&dropped)?;
        self.store.finish(dropped, |_| {})?;
        Ok(())
    }

    pub(super) fn create_storage(&self, name: &str, size_bytes: u64) -> Result<(), Error> {
        let guid = fresh_guid()?;
        self.store.begin(guid)?;
        if let Err(error) = disk::create(&self.instance, &guid, size_bytes) {
            self.discard(&guid)?;
            self.store.finish(guid, |_| {})?;
            return Err(error.into());
        }
        self.store.finish(guid, |registry| registry.distributions.push(entry(guid, name, None)))?;
        Ok(())
    }

    pub(super) fn remove_storage(&self, name: &str) -> Result<(), Error> {
        let entry = self.known(name)?;
        let mut dropped = vec![entry.guid];
        dropped.extend(entry.previous.map(|previous| previous.guid));
        self.store.update(|registry| {
            registry.distributions.retain(|other| other.guid != entry.guid);
            if registry.default == Some(entry.guid) {
                registry.default = None;
            }
            registry.unfinished.extend(&dropped);
        })?;
        for guid in dropped {
            self.discard(&guid)?;
            self.store.finish(guid, |_| {})?;
        }
        if fs::read_link(self.instance.cli()).is_ok() && !self.instance.cli().exists() {
            let _ = fs::remove_file(self.instance.cli());
        }
        Ok(())
    }

    /// `cli` leads to the files of the engine in use, also after somebody removed it or a switch was cut off.
    pub(super) fn show_current_files(&self) -> Result<(), Error> {
        for entry in self.store.load()?.distributions.iter().filter(|entry| entry.image.is_some()) {
            if fs::canonicalize(self.instance.cli()).ok() != fs::canonicalize(self.files(&entry.guid)).ok() {
                self.show_files(&entry.guid)?;
            }
        }
        Ok(())
    }

    /// Removes every file of the instance. In an order in which what was cut off is gone on with: first nothing is known
    /// any more, then nothing is there; the lock goes last, so that no other service begins in between.
    pub(super) fn erase_everything(&self) -> Result<(), Error> {
        // Those of the user may be anywhere; without a registry nobody knows where.
        if let Ok(registry) = self.store.load() {
            for entry in registry.distributions.iter().filter(|entry| !is_internal(&entry.name)) {
                distros::remove_storage(&self.instance, entry)?;
            }
        }
        let given_up = self.store.update(|registry| {
            let all = registry.known();
            *registry = Registry { unfinished: all, ..Registry::default() };
        });
        if let Err(error) = given_up
            && Explain::code(&error) != ErrorCode::State
        {
            return Err(error.into());
        }
        for guid in self.storages() {
            self.discard(&guid)?;
        }
        let lock = self.instance.lock();
        let (state, run) = (self.instance.state(), self.instance.run());
        remove_children(state, &lock)?;
        remove_children(run, &lock)?;
        for folder in [run, state] {
            let _ = fs::remove_file(&lock);
            // A folder that is a link was put there by the user: link and target stay, empty.
            let _ = fs::remove_dir(folder);
        }
        // The usual base folders go with the last instance in them; one that the user chose is the user's.
        for base in [RUN_BASE, STATE_BASE] {
            let _ = fs::remove_dir(base);
        }
        Ok(())
    }

    fn fill(&self, guid: &Guid, import: &Import<'_>, sink: Sink<'_>) -> Result<(), Error> {
        disk::create(&self.instance, guid, import.size_bytes)?;
        let image = disk::image(&self.instance, guid);
        let mountpoint = self.instance.run().join(format!("import-{guid}"));
        fs::create_dir_all(&mountpoint).map_err(|source| {
            let message = format!("cannot make {}: {source}", mountpoint.display());
            Error::new(ErrorCode::Failed, message, None)
        })?;
        let filled = self.unpack_and_copy(&image, &mountpoint, guid, import, sink);
        let _ = fs::remove_dir(&mountpoint);
        filled?;
        wait_free(&image)?;
        let settled = File::open(&image).and_then(|file| disk::settle(&file, &self.instance.distro(guid)));
        settled.map_err(|source| {
            Error::new(ErrorCode::Failed, format!("cannot write {} back: {source}", image.display()), None)
        })
    }

    fn unpack_and_copy(
        &self,
        image: &Path,
        mountpoint: &Path,
        guid: &Guid,
        import: &Import<'_>,
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        image::unpack(&self.guest, import.archive, image, sink)?;
        let files = self.files(guid);
        image::copy_out(&self.guest, import.archive, image, mountpoint, &files, &import.files)?;
        Ok(())
    }

    /// `cli` leads to the files of the storage in use; switched in one step.
    fn show_files(&self, guid: &Guid) -> Result<(), Error> {
        let files = self.files(guid);
        if !files.is_dir() {
            return Ok(());
        }
        let link = self.instance.cli();
        let new = self.instance.state().join(".cli.new");
        let _ = fs::remove_file(&new);
        let target = files.strip_prefix(self.instance.state()).unwrap_or(&files);
        std::os::unix::fs::symlink(target, &new).and_then(|()| fs::rename(&new, &link)).map_err(|source| {
            Error::new(ErrorCode::Failed, format!("cannot link {}: {source}", link.display()), None)
        })
    }

    fn files(&self, guid: &Guid) -> PathBuf {
        self.instance.distro(guid).join(FILES)
    }

    /// Removes a storage that is in nobody's use any more.
    fn discard(&self, guid: &Guid) -> Result<(), Error> {
        let image = disk::image(&self.instance, guid);
        if image.exists() {
            if let Some(hub) = Hub::find(&self.instance)? {
                hub.detach(&self.guest, &image, guid)?;
            }
            // A tool of an earlier service may still be on its way out.
            let free = sampan_sys::loopdev::wait_free(&image, Duration::from_secs(10));
            if !free.unwrap_or(false) {
                let message = format!("{} is still in use", image.display());
                return Err(Error::new(ErrorCode::Busy, message, Some("try again in a moment")));
            }
        }
        let _ = fs::remove_dir(self.instance.run().join(format!("import-{guid}")));
        Ok(disk::remove(&self.instance, guid)?)
    }
}

/// Removes everything in `folder` but `kept`. What is a link is removed as a link, but for the storages' own folder,
/// whose content was removed before.
fn remove_children(folder: &Path, kept: &Path) -> Result<(), Error> {
    let failed = |path: &Path, source: std::io::Error| {
        let message = format!("cannot remove {}: {source}", path.display());
        Error::new(ErrorCode::Failed, message, Some("see what still uses it, then try again"))
    };
    let entries = match fs::read_dir(folder) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| failed(folder, source))?,
    };
    for entry in entries.flatten().filter(|entry| entry.path() != kept) {
        let path = entry.path();
        let removed = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        match removed {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(&path, source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A new identity.
pub(crate) fn fresh_guid() -> Result<Guid, Error> {
    let mut bytes = [0; 16];
    let random = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if random != Ok(bytes.len()) {
        return Err(Error::new(ErrorCode::Failed, "the kernel gave no random bytes", None));
    }
    Ok(Guid::from_random(bytes))
}

fn entry(guid: Guid, name: &str, image: Option<ImageRecord>) -> Entry {
    Entry { image, ..Entry::new(guid, name, 2) }
}
