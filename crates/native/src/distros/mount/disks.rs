//! The attached disks of an instance, and what is done with one.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use sampan_backend::error::chain;
use sampan_model::guest::{BlockDevice, DetachSpec, MountDiskSpec};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::Mount;
use sampan_model::wsl::{disk as rules, message};
use sampan_sys::loopdev::{self, Held, LoopError};
use sampan_sys::{SysError, block};

use super::device::{self, Device};
use super::record::{Disk, Image, Mounted, Record};
use super::shown::{self, HubTable};
use super::users;
use crate::distro::Running;
use crate::distros::failure::failure;
use crate::hub::Hub;
use crate::platform::Native;
use crate::tools::guest::GuestError;

/// How long a disk may stay in use after it was unmounted: the kernel needs a moment.
pub(super) const FREE_LIMIT: Duration = Duration::from_secs(2);

/// The attached disks, for whoever has their turn with them.
pub(super) struct Disks<'a> {
    pub(super) native: &'a Native,
    pub(super) record: Record,
    _turn: MutexGuard<'a, ()>,
}

/// Why a disk is not mounted in the hub.
#[derive(Debug)]
pub(super) enum PutError {
    /// The disk, or what it was to be mounted with, is not fit for it.
    Refused(String),
    /// Nobody could be asked.
    Guest(GuestError),
}

impl PutError {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Refused(reason) => reason.clone(),
            Self::Guest(error) => chain(error),
        }
    }

    fn failure(self, disk: &Path) -> Failure {
        match self {
            Self::Refused(reason) => Failure::new(Code::DiskMountFailed)
                .with_message(message::mount_failed(&reason, &disk.display().to_string())),
            Self::Guest(error) => failure(error),
        }
    }
}

impl Native {
    pub(super) fn disks(&self) -> Disks<'_> {
        let turn = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        Disks { native: self, record: Record::read(&self.instance), _turn: turn }
    }
}

impl Disks<'_> {
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.record.disks.iter().map(|disk| disk.path.clone()).collect()
    }

    /// Attaches a disk unless it is; its place in the record, and its device.
    pub(super) fn attach(&mut self, wanted: &Mount) -> Result<(usize, Device), Failure> {
        let path = &wanted.disk;
        let (device, image) = self.open(path)?;
        match self.record.position(path, image) {
            Some(_) if wanted.bare => Err(Failure::disk_already_attached(&path.display().to_string())),
            // More partitions of it may be mounted.
            Some(disk) => Ok((disk, device)),
            None => {
                self.record.disks.push(Disk { path: path.clone(), image, mounts: Vec::new() });
                self.write()?;
                Ok((self.record.disks.len() - 1, device))
            }
        }
    }

    /// The device of a disk: an image gets one, unless it has it.
    pub(super) fn open(&self, path: &Path) -> Result<(Device, Option<Image>), Failure> {
        let shown = path.display().to_string();
        let cannot = |error: io::Error| {
            let failure = Failure::disk_not_attached(&shown, code_of(&error));
            match failure.code {
                Code::Fail => {
                    failure.with_message(format!("Failed to attach disk '{shown}' to WSL2: {error}"))
                }
                _ => failure,
            }
        };
        let of_call = |error: SysError| cannot(error.errno().into());
        let kind = fs::metadata(path).map_err(cannot)?.file_type();
        if kind.is_block_device() {
            let is_known = self.record.position(path, None).is_some();
            if !is_known && block::is_claimed(path).map_err(of_call)? {
                return Err(in_use(&shown, "unmount it on this machine first (`findmnt` says where it is)"));
            }
            return Ok((Device::at(path).map_err(cannot)?, None));
        }
        if !kind.is_file() {
            let message = format!("'{shown}' is neither a disk image nor a block device.");
            return Err(Failure::new(Code::InvalidArg).with_message(message));
        }
        if let Some(format) = device::foreign_format(path).map_err(cannot)? {
            let message = format!("'{shown}' is a {format} disk: only a raw image can be mounted.");
            let hint = format!("`qemu-img convert -O raw '{shown}' '{shown}.img'`, then mount '{shown}.img'");
            return Err(Failure::new(Code::InvalidArg).with_message(message).hint(hint));
        }
        match loopdev::hold(path, &self.owner()) {
            Ok(held) => Ok((Device::at(&held.path).map_err(cannot)?, Some(held.file.into()))),
            Err(LoopError::ImageInUse { .. }) => Err(in_use(
                &shown,
                "detach it there first (`losetup -a` and `wsl -l --running` say who may have it)",
            )),
            Err(LoopError::Sys(error)) => Err(of_call(error)),
        }
    }

    /// Mounts in the hub; the name. The record has it as pending.
    pub(super) fn mount(
        &mut self,
        hub: &Hub,
        disk: usize,
        device: &Device,
        wanted: &Mount,
    ) -> Result<String, Failure> {
        let name = wanted.name.clone().unwrap_or_else(|| rules::default_name(&wanted.disk, wanted.partition));
        if !rules::is_name(&name) {
            return Err(Failure::new(Code::InvalidMountName));
        }
        if self.record.disks[disk].mounts.iter().any(|mounted| mounted.partition == wanted.partition) {
            return Err(Failure::new(Code::DiskAlreadyMounted));
        }
        let is_taken = self.record.mounts().any(|mounted| mounted.name == name);
        if is_taken || HubTable::read(hub).device(&name).is_some() {
            return Err(Failure::new(Code::MountNameAlreadyExists));
        }
        let mounted = Mounted {
            partition: wanted.partition,
            name: name.clone(),
            fstype: wanted.fstype.clone(),
            options: wanted.options.clone(),
            pending: true,
        };
        self.record.disks[disk].mounts.push(mounted.clone());
        self.write()?;
        if let Err(error) = self.put(hub, device, &mounted) {
            self.record.disks[disk].mounts.pop();
            self.write()?;
            return Err(error.failure(&wanted.disk));
        }
        Ok(name)
    }

    /// Notes that a mount is what it is.
    pub(super) fn settle(&mut self, disk: usize, name: &str) -> Result<(), Failure> {
        self.mark(disk, name, false)
    }

    fn mark(&mut self, disk: usize, name: &str, pending: bool) -> Result<(), Failure> {
        let mounts = self.record.disks[disk].mounts.iter_mut();
        mounts.filter(|mounted| mounted.name == name).for_each(|mounted| mounted.pending = pending);
        self.write()
    }

    /// Mounts in the hub what the record says.
    pub(super) fn put(&self, hub: &Hub, device: &Device, mounted: &Mounted) -> Result<(), PutError> {
        let part = match mounted.partition {
            None => device.whole.clone(),
            Some(number) => device
                .partition(number)
                .map_err(|error| PutError::Refused(format!("its partition table cannot be used: {error}")))?
                .ok_or_else(|| PutError::Refused(format!("it has no partition {number}")))?,
        };
        let mut options = mounted.options.clone().unwrap_or_default();
        if device::is_read_only(&part) {
            options.push_str(",ro");
        }
        let spec = MountDiskSpec {
            hub: hub.process.clone(),
            device: part,
            fstype: mounted.fstype.clone(),
            options,
            at: shown::place(&mounted.name),
        };
        match self.native.guest.ask("mount-disk", &spec, None) {
            Ok(_) => Ok(()),
            Err(GuestError::Refused { message, .. }) => Err(PutError::Refused(message)),
            Err(error) => Err(PutError::Guest(error)),
        }
    }

    /// Mounts in all distributions that need a mount of their own what is mounted in the hub; what their users should know.
    pub(super) fn show(&self, hub: &Hub, name: &str) -> Vec<String> {
        let table = HubTable::read(hub);
        let show = |running: &Running| self.show_in(hub, &table, running, name);
        shown::distributions(self.native).iter().filter_map(show).collect()
    }

    pub(super) fn show_in(
        &self,
        hub: &Hub,
        table: &HubTable,
        running: &Running,
        name: &str,
    ) -> Option<String> {
        let error = shown::show(self.native, hub, table, running, name).err()?;
        Some(format!("In {} the files of {name} belong to nobody: {}", running.name(), chain(&error)))
    }

    /// Lets those distributions that may have devices have those of all attached disks, and those of `gone` no longer.
    pub(super) fn show_nodes(&self, gone: &[BlockDevice]) -> Vec<String> {
        shown::distributions(self.native).iter().filter_map(|one| self.show_nodes_in(one, gone)).collect()
    }

    pub(super) fn show_nodes_in(&self, running: &Running, gone: &[BlockDevice]) -> Option<String> {
        let disks = self.record.disks.iter();
        let devices: Vec<_> =
            disks.filter_map(|disk| self.device(disk)).flat_map(|device| device.all()).collect();
        let error = shown::nodes(self.native, running, &devices, gone).err()?;
        Some(format!("{} does not have the devices of attached disks: {error}", running.name()))
    }

    /// Takes a disk off: unmounts all of it, and detaches it.
    pub(super) fn detach(&mut self, path: &Path) -> Result<(), Failure> {
        let image = fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|found| Image::of(&found));
        let disk = self.record.position(path, image).ok_or_else(|| Failure::new(Code::FileNotFound))?;
        while let Some(mounted) = self.record.disks[disk].mounts.last().cloned() {
            self.mark(disk, &mounted.name, true)?;
            if let Err(failure) = self.take_off(&self.record.disks[disk], &mounted) {
                self.settle(disk, &mounted.name)?;
                return Err(failure);
            }
            self.record.disks[disk].mounts.pop();
            self.write()?;
        }
        let devices = self.device(&self.record.disks[disk]).map(|device| device.all()).unwrap_or_default();
        if !self.free(&self.record.disks[disk]).map_err(|error| lost(&error))? {
            let numbers = devices.iter().map(|device| (device.major, device.minor));
            return Err(busy(numbers.into_iter().find_map(|one| users::with_mounts(self.native, one))));
        }
        self.record.disks.remove(disk);
        self.write()?;
        // A node that stays leads to nothing.
        let _ = self.show_nodes(&devices);
        Ok(())
    }

    /// Unmounts in all distributions and in the hub; when it fails, all is as before.
    pub(super) fn take_off(&self, disk: &Disk, mounted: &Mounted) -> Result<(), Failure> {
        let Some(hub) = self.native.hub().map_err(failure)? else { return Ok(()) };
        let table = HubTable::read(&hub);
        // Root of a distribution that shares its mounts may have taken it off in the hub, and left those of the others.
        let number = table.device(&mounted.name).or_else(|| {
            let part = self.device(disk)?.known(mounted.partition)?;
            Some((part.major, part.minor))
        });
        let Some(number) = number else { return Ok(()) };
        let running = shown::distributions(self.native);
        let hidden =
            running.iter().try_for_each(|one| shown::hide(self.native, &table, one, &mounted.name, number));
        let spec = DetachSpec { hub: hub.process.clone(), at: shown::place(&mounted.name) };
        let off = hidden.and_then(|()| self.native.guest.ask("detach", &spec, None).map(drop));
        off.map_err(|error| {
            let _ = self.show(&hub, &mounted.name);
            if error.is_busy() {
                return busy(users::with_open_files(self.native, number));
            }
            Failure::new(Code::DiskUnmountFailed).with_message(message::detach_failed(&chain(&error)))
        })
    }

    /// Waits until nobody uses an unmounted disk, and lets go of an image. Whether that is so.
    pub(super) fn free(&self, disk: &Disk) -> Result<bool, SysError> {
        match disk.image {
            Some(image) => {
                self.held(image).map_or(Ok(true), |held| loopdev::let_go(&held, &self.owner(), FREE_LIMIT))
            }
            // One that is gone is free.
            None if !disk.path.exists() => Ok(true),
            None => block::wait_unclaimed(&disk.path, FREE_LIMIT),
        }
    }

    /// The device of an attached disk; none: it is gone.
    pub(super) fn device(&self, disk: &Disk) -> Option<Device> {
        match disk.image {
            Some(image) => Device::at(&self.held(image)?.path).ok(),
            None => Device::at(&disk.path).ok(),
        }
    }

    fn held(&self, image: Image) -> Option<Held> {
        loopdev::held(&self.owner()).into_iter().find(|held| image == held.file.into())
    }

    /// The name that this instance's loop devices carry.
    pub(super) fn owner(&self) -> String {
        self.native.instance.cgroup()
    }

    pub(super) fn write(&self) -> Result<(), Failure> {
        self.record.write(&self.native.instance).map_err(|error| lost(&error))
    }
}

fn code_of(error: &io::Error) -> Code {
    match error.kind() {
        ErrorKind::NotFound => Code::FileNotFound,
        ErrorKind::PermissionDenied => Code::AccessDenied,
        ErrorKind::StorageFull => Code::DiskFull,
        _ => Code::Fail,
    }
}

fn in_use(disk: &str, hint: &str) -> Failure {
    Failure::disk_not_attached(disk, Code::SharingViolation).hint(hint)
}

/// A disk does not come free; `user` says why.
fn busy(user: Option<String>) -> Failure {
    let reason = user.map_or_else(
        || "Device or resource busy".to_owned(),
        |user| format!("Device or resource busy ({user})"),
    );
    Failure::new(Code::DiskUnmountFailed).with_message(message::detach_failed(&reason))
}

fn lost(error: &SysError) -> Failure {
    let code = if error.errno() == sampan_sys::Errno::NOSPC { Code::DiskFull } else { Code::Fail };
    Failure::new(code).with_message(format!("{}.", chain(error)))
}
