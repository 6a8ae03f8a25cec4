//! `sampan-guest copy-out`: copies files out of an image, e.g. the Docker CLI for the host.
//!
//! The image may be anybody's: every path is resolved with the image as its root (`openat2`), never the host.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

use anyhow::{Context, bail};
use rustix::fs::OFlags;
use sampan_model::guest::{Answer, CopyOut, CopyOutSpec};
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace::{self, Namespaces};

use crate::attach::open_image;

/// Runs the verb.
pub(crate) fn run(spec: &CopyOutSpec) -> anyhow::Result<Answer> {
    mount_privately(&spec.image, &spec.mountpoint)?;
    let root = File::open(&spec.mountpoint).context("cannot open the image's root")?;
    for file in &spec.files {
        copy(&root, file, &spec.dest)?;
    }
    Ok(Answer::Done)
}

/// Mounts `image` on `dir` in a mount namespace of this process alone.
fn mount_privately(image: &Path, dir: &Path) -> anyhow::Result<()> {
    let tree = open_image(image, false, false)?;
    namespace::unshare(Namespaces::MOUNT)?;
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    mount::attach(&tree, dir)?;
    Ok(())
}

fn copy(root: &File, file: &CopyOut, dest: &Path) -> anyhow::Result<()> {
    let found = file.candidates.iter().find_map(|path| {
        // Looked at before it is opened: opening a device acts on the host, opening a pipe waits for ever.
        let seen = sampan_sys::fs::open_in_root(root, Path::new(path), OFlags::PATH).ok()?;
        let seen = File::from(seen);
        let regular = seen.metadata().is_ok_and(|meta| meta.is_file());
        regular.then(|| sampan_sys::fs::open_seen(&seen).ok()).flatten()
    });
    let Some(mut source) = found else {
        if file.required {
            bail!("the image has no {}", file.candidates.join(" or "));
        }
        return Ok(());
    };
    let Some(to) = &file.to else { return Ok(()) };
    if !Path::new(to).components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("`{to}` is not a path below the destination");
    }
    let target = dest.join(to);
    let folder = target.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let executable = source.metadata().is_ok_and(|meta| {
        use std::os::unix::fs::PermissionsExt;
        meta.permissions().mode() & 0o111 != 0
    });
    let mut copy = File::options()
        .write(true)
        .create_new(true)
        .mode(if executable { 0o755 } else { 0o644 })
        .open(&target)
        .with_context(|| format!("cannot make {}", target.display()))?;
    std::io::copy(&mut source, &mut copy).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(())
}
