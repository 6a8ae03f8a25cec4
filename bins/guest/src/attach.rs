//! Images in the hub: attach one (loop device, ext4, mount) and detach it again.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context;
use sampan_model::guest::{Answer, AttachSpec, DetachSpec, ProcessId};
use sampan_sys::Errno;
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::{loopdev, mount};

use crate::verb;

/// Programs of a hundred megabytes are read in few large pieces: each small one costs a turn of the loop device's worker.
const READ_AHEAD: u32 = 16 << 20;

/// Mounts an image in the hub.
pub(crate) fn attach(spec: &AttachSpec) -> anyhow::Result<Answer> {
    let tree = open_image(&spec.image, spec.cached, spec.read_only)?;
    enter_hub(&spec.hub)?;
    // What a start that was cut off left there: mounts never pile up.
    while take_off(&spec.at)? {}
    fs::create_dir_all(&spec.at).with_context(|| format!("cannot make {} in the hub", spec.at.display()))?;
    mount::attach(&tree, &spec.at)?;
    Ok(Answer::Done)
}

/// Unmounts an image in the hub: synchronous, all is written back when it returns.
pub(crate) fn detach(spec: &DetachSpec) -> anyhow::Result<Answer> {
    enter_hub(&spec.hub)?;
    while take_off(&spec.at)? {}
    // Left from a crash between mkdir and mount, or just now: either way it is only an empty folder on a tmpfs.
    let _ = fs::remove_dir(&spec.at);
    Ok(Answer::Done)
}

/// A detached mount of the file system in `image`. `cached`: read it through the host's page cache.
pub(crate) fn open_image(image: &Path, cached: bool, read_only: bool) -> anyhow::Result<OwnedFd> {
    let mut device = loopdev::attach(image)?;
    // A device that is in use already is open for reading only, and tuned.
    if cached && device.direct_io {
        // Only faster; a kernel that refuses reads all the same.
        let _ = device.read_through_cache(READ_AHEAD);
    }
    let tree = mount::new_ext4(&device.path, mount::DISK, read_only)?;
    // Clears itself on last close: its descriptor must live until the file system is open.
    drop(device);
    Ok(tree)
}

/// Takes the hub's mounts for this process's own.
pub(crate) fn enter_hub(hub: &ProcessId) -> anyhow::Result<()> {
    let pidfd = verb::open_process(hub)?.context("the hub is gone: `sampan restart` builds a new one")?;
    namespace::enter(&pidfd, Namespaces::MOUNT)?;
    Ok(())
}

/// Takes one mount off `at`; says whether there was one.
fn take_off(at: &Path) -> anyhow::Result<bool> {
    match mount::unmount(at, false) {
        Ok(()) => Ok(true),
        // Not a mount point, or not there at all.
        Err(error) if matches!(error.errno(), Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
