//! Attached disks in `/dev` of a distribution without a user namespace.

use std::fs;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{CWD, FileType, Mode, makedev};
use rustix::io::Errno;
use sampan_model::guest::{Answer, BlockDevice, DiskNodesSpec};
use sampan_sys::namespace::{self, Namespaces};

use super::open_distribution;
use crate::boot;

/// Makes the nodes of what is present, removes those of what is gone, and has the kernel agree to just that.
pub(crate) fn nodes(spec: &DiskNodesSpec) -> anyhow::Result<Answer> {
    let distribution = open_distribution(&spec.process)?;
    boot::allow_disks(&spec.cgroup, &spec.present, &spec.gone)?;
    namespace::enter(&distribution, Namespaces::MOUNT)?;
    for device in &spec.gone {
        remove(device)?;
    }
    spec.present.iter().try_for_each(make)?;
    Ok(Answer::Done)
}

fn make(device: &BlockDevice) -> anyhow::Result<()> {
    let path = Path::new("/dev").join(&device.name);
    let number = makedev(device.major, device.minor);
    match rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::from_raw_mode(0o600), number) {
        // Made by an earlier request, or by somebody inside, whose it is then.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("cannot make {}", path.display())),
    }
}

fn remove(device: &BlockDevice) -> anyhow::Result<()> {
    let path = Path::new("/dev").join(&device.name);
    let is_it = rustix::fs::lstat(&path).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice
            && found.st_rdev == makedev(device.major, device.minor)
    });
    if is_it {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
