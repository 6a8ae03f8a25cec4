//! What becomes of attached disks when a distribution, the hub or the service begins or ends.

use std::path::Path;
use std::time::Duration;

use sampan_backend::Error;
use sampan_model::api::ErrorCode;
use sampan_model::instance::Instance;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_sys::loopdev;

use super::device::Device;
use super::disks::{Disks, FREE_LIMIT};
use super::record::{Disk, Image, Mounted, Record};
use super::shown::HubTable;
use crate::distro::Running;
use crate::hub::Hub;
use crate::platform::Native;

impl Native {
    /// Gives a distribution that has just been started what the others have; what its users should know.
    pub(crate) fn show_disks(&self, running: &Running) -> Vec<String> {
        let disks = self.disks();
        let Ok(Some(hub)) = self.hub() else { return Vec::new() };
        if disks.record.disks.is_empty() {
            return Vec::new();
        }
        let table = HubTable::read(&hub);
        let names = disks.record.mounts().map(|mounted| &mounted.name);
        let mut told: Vec<String> =
            names.filter_map(|name| disks.show_in(&hub, &table, running, name)).collect();
        told.extend(disks.show_nodes_in(running, &[]));
        told
    }

    /// Attaches and mounts in a new hub what was in the one before; what could not be.
    pub(crate) fn restore_disks(&self, hub: &Hub) -> Vec<String> {
        let mut disks = self.disks();
        if disks.record.disks.is_empty() { Vec::new() } else { disks.restore(hub) }
    }

    /// Finishes or takes back what was cut off when the last service ended; what could not be.
    pub(crate) fn recover_disks(&self) -> Vec<String> {
        let mut disks = self.disks();
        let told = match self.hub() {
            Ok(Some(hub)) if !disks.record.disks.is_empty() => disks.restore(&hub),
            // Without a hub: the next one gets them.
            _ => Vec::new(),
        };
        disks.let_go_of_strangers(Duration::ZERO);
        told
    }

    /// Detaches all disks, now that the hub is gone. `forget`: for good, else until the next hub comes.
    pub(crate) fn put_disks_away(&self, forget: bool) -> Vec<Error> {
        let mut disks = self.disks();
        let mut errors = Vec::new();
        for disk in &disks.record.disks {
            if !disks.free(disk).unwrap_or(false) {
                let message = format!("the disk {} is still in use", disk.path.display());
                let hint =
                    "`grep -l loop /proc/*/mountinfo` finds who has it mounted; then `wsl --unmount` again";
                errors.push(Error::new(ErrorCode::Busy, message, Some(hint)));
            }
        }
        if forget {
            disks.record = Record::default();
            // In the run folder, which is removed next.
            let _ = disks.write();
        }
        disks.let_go_of_strangers(FREE_LIMIT);
        errors
    }

    /// An error when a distribution's own disk is attached by the user: it can't be its root as well.
    pub(crate) fn ensure_not_attached(&self, image: &Path) -> Result<(), Failure> {
        // Nobody is just about to attach it.
        let _disks = self.disks();
        ensure_not_attached(&self.instance, image)
    }
}

/// An error when a distribution's own disk is attached by the user.
pub(in crate::distros) fn ensure_not_attached(instance: &Instance, image: &Path) -> Result<(), Failure> {
    let found = std::fs::metadata(image).ok().map(|found| Image::of(&found));
    if Record::read(instance).position(image, found).is_none() {
        return Ok(());
    }
    Err(Failure::new(Code::UserVhdAlreadyAttached).in_context(Context::MountDisk))
}

impl Disks<'_> {
    /// Takes off what is pending, and mounts what is missing; what could not be mounted is forgotten, with a word.
    fn restore(&mut self, hub: &Hub) -> Vec<String> {
        let mut told = Vec::new();
        for mut disk in std::mem::take(&mut self.record.disks) {
            let device = self.device(&disk).map_or_else(|| self.attach_again(&mut disk), Ok);
            let mounts = std::mem::take(&mut disk.mounts);
            for mounted in mounts {
                match self.restore_mount(hub, &disk, device.as_ref(), mounted) {
                    Ok(mounted) => disk.mounts.extend(mounted),
                    Err(why) => told.push(format!("{} is not mounted any more: {why}", disk.path.display())),
                }
            }
            match device {
                Ok(_) => self.record.disks.push(disk),
                Err(failure) => told.push(failure.to_string()),
            }
        }
        told.extend(self.write().err().map(|failure| failure.to_string()));
        for name in self.record.mounts().map(|mounted| mounted.name.clone()) {
            told.extend(self.show(hub, &name));
        }
        told.extend(self.show_nodes(&[]));
        told
    }

    fn attach_again(&self, disk: &mut Disk) -> Result<Device, Failure> {
        let (device, image) = self.open(&disk.path)?;
        disk.image = image;
        Ok(device)
    }

    /// The mount as it is then; none: it is taken off, as it should be.
    fn restore_mount(
        &self,
        hub: &Hub,
        disk: &Disk,
        device: Result<&Device, &Failure>,
        mounted: Mounted,
    ) -> Result<Option<Mounted>, String> {
        let Ok(device) = device else {
            // What is mounted of a disk that is gone can't be used any more.
            return self.take_off(disk, &mounted).map(|()| None).map_err(|failure| failure.to_string());
        };
        if mounted.pending {
            // Somebody uses it: then it stays.
            let stays = self.take_off(disk, &mounted).is_err();
            return Ok(stays.then_some(Mounted { pending: false, ..mounted }));
        }
        if HubTable::read(hub).device(&mounted.name).is_none() {
            self.put(hub, device, &mounted).map_err(|error| error.reason())?;
        }
        Ok(Some(mounted))
    }

    /// Detaches what is held in this instance's name and stands in no record: its attachment was cut off.
    fn let_go_of_strangers(&self, timeout: Duration) {
        let owner = self.owner();
        for held in loopdev::held(&owner) {
            let known = self.record.disks.iter().any(|disk| disk.image == Some(held.file.into()));
            if !known {
                // Whoever uses it all the same keeps it; it is tried again by the next service.
                let _ = loopdev::let_go(&held, &owner, timeout);
            }
        }
    }
}
