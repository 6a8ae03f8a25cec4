//! `wsl --mount`: disks that the user attaches to all distributions of version 2.
//!
//! An image is held by a loop device that carries the instance's name; a disk or partition is mounted in the hub. A mount is
//! written down before it is made or taken off, so that one that was cut off is found. The record outlives the hub: with a
//! new one everything is mounted again. `wsl --shutdown` ends it.

mod device;
mod disks;
mod partition;
mod record;
mod shown;
mod stay;
mod users;

pub(super) use self::stay::ensure_not_attached;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sampan_backend::platform::Platform;
use sampan_model::api::Event;
use sampan_model::distro::is_internal;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Mount, Reply};

use super::failure::failure;
use super::turns::{Doing, Turn};
use super::{Distros, Tell};
use crate::disk;

impl Distros {
    /// Attaches a disk, and mounts it or a partition of it.
    pub(super) fn mount(&self, wanted: &Mount, tell: Tell<'_>) -> Result<(), Failure> {
        let attaching = |failure: Failure| failure.in_context(Context::AttachDisk);
        let warn = |message: String| tell(Reply::Warning { message });
        let sink = |event: Event| {
            if let Event::Warning { message } = event {
                warn(message);
            }
        };
        let native = &*self.native;
        self.need_version_2().map_err(attaching)?;
        let _turn = self.turn_with(&wanted.disk).map_err(attaching)?;
        // A distribution that is being started copies what is mounted, and would miss what is mounted meanwhile.
        let _ground = native.clear_ground();
        native.prepare(&sink).map_err(failure)?;
        let hub = native.living_hub().map_err(failure)?;
        let mut disks = native.disks();
        let (disk, device) = disks.attach(wanted).map_err(attaching)?;
        let said = if wanted.bare {
            message::attached(&device.node.display().to_string())
        } else {
            let mounting = |failure: Failure| failure.in_context(Context::MountDisk);
            let name = disks.mount(&hub, disk, &device, wanted).map_err(mounting)?;
            disks.show(&hub, &name).into_iter().for_each(warn);
            disks.settle(disk, &name)?;
            message::mounted(&name, &wanted.disk.display().to_string())
        };
        // Now: a partition may have come to be known by being mounted.
        disks.show_nodes(&[]).into_iter().for_each(warn);
        tell(Reply::Line { text: said.trim_end().to_owned() });
        Ok(())
    }

    /// Takes a disk off everywhere, or all of them.
    pub(super) fn unmount(&self, disk: Option<&Path>) -> Result<(), Failure> {
        let _ground = self.native.clear_ground();
        let mut disks = self.native.disks();
        let paths = disk.map_or_else(|| disks.paths(), |path| vec![path.to_owned()]);
        let mut first = Ok(());
        for path in paths {
            first = first.and(disks.detach(&path));
        }
        first.map_err(|failure| failure.in_context(Context::DetachDisk))
    }

    /// The turn with the distribution whose own disk `path` is, if it is one.
    fn turn_with(&self, path: &Path) -> Result<Option<Turn>, Failure> {
        let Ok(found) = fs::metadata(path) else { return Ok(None) };
        let registry = self.native.store.current().map_err(failure)?;
        let is_it = |image: PathBuf| {
            fs::metadata(image).is_ok_and(|image| (image.dev(), image.ino()) == (found.dev(), found.ino()))
        };
        let mut entries = registry.distributions.iter();
        let Some(entry) = entries.find(|entry| is_it(disk::image_of(&self.native.instance, entry))) else {
            return Ok(None);
        };
        if is_internal(&entry.name) {
            let message = format!("'{}' is the disk of {}, which is internal.", path.display(), entry.name);
            return Err(Failure::new(Code::AccessDenied).with_message(message));
        }
        self.turns.take(entry.guid, Doing::Briefly).map(Some)
    }

    fn need_version_2(&self) -> Result<(), Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        let mut users = registry.distributions.iter().filter(|entry| !is_internal(&entry.name));
        if users.any(|entry| entry.version == 2) { Ok(()) } else { Err(Failure::new(Code::Wsl2Needed)) }
    }
}
