//! `sampan-guest with-image IMAGE DIR -- COMMAND…`: runs a command that sees an ext4 image mounted on DIR.
//!
//! Only the command sees the mount. When it ends, everything it wrote is on the image, or the status says that it is
//! not: a full disk of the host shows only at write-back, long after the command's own writes succeeded.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, bail};
use sampan_sys::Errno;
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Signal};

use crate::attach::open_image;
use crate::child;

/// Status for "what was written could not be kept: no room".
pub(crate) const NO_ROOM: u8 = 75;

/// Runs the verb; the status is the command's own, [`NO_ROOM`], or 70 for our own failures.
pub(crate) fn run(args: &[String]) -> anyhow::Result<u8> {
    let [image, dir, dashes, command @ ..] = args else { bail!("usage: with-image IMAGE DIR -- COMMAND…") };
    if dashes != "--" || command.is_empty() {
        bail!("usage: with-image IMAGE DIR -- COMMAND…");
    }
    process::set_death_signal(Signal::KILL)?;
    mount_privately(Path::new(image), Path::new(dir))?;
    let root = File::open(dir).with_context(|| format!("cannot open {dir}"))?;
    let code = child::run(command)?;
    match rustix::fs::syncfs(&root) {
        Ok(()) => Ok(code),
        // The journal could not be written: the file system has made itself read-only.
        Err(Errno::NOSPC | Errno::IO | Errno::ROFS) => Ok(NO_ROOM),
        Err(error) => Err(error).context("cannot write the image back"),
    }
}

/// Mounts `image` on `dir` in a mount namespace of this process alone.
pub(crate) fn mount_privately(image: &Path, dir: &Path) -> anyhow::Result<()> {
    let tree = open_image(image, false)?;
    namespace::unshare(Namespaces::MOUNT)?;
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    mount::attach(&tree, dir)?;
    Ok(())
}
