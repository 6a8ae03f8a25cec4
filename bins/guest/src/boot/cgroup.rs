//! The cgroups of a distribution: handed over to it, and which devices may be opened in them.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sampan_model::guest::{BlockDevice, DistroCgroup, IdRange};
use sampan_sys::device::{self, DeviceRule};
use sampan_sys::mount;

use crate::filesystems::QUIET;

/// Where a distribution sees its own cgroup.
const VIEW: &str = "/sys/fs/cgroup";

/// What belongs to the owner of a cgroup (cgroups(7), "Delegation"), apart from the folder itself.
const DELEGATED: [&str; 3] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

/// The devices that may be opened, whatever nodes there are. A disk that comes from anywhere may have nodes of any device of
/// this machine on it, and no user namespace keeps them from being opened.
const DEVICES: [DeviceRule; 10] = [
    device(1, Some(3)),    // null
    device(1, Some(5)),    // zero
    device(1, Some(7)),    // full
    device(1, Some(8)),    // random
    device(1, Some(9)),    // urandom
    device(5, Some(0)),    // tty
    device(5, Some(2)),    // ptmx
    device(136, None),     // pts/*
    device(10, Some(200)), // net/tun
    device(10, Some(229)), // fuse
];

const fn device(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule { block: false, major, minor }
}

/// Opens the cgroups, hands the visible one over to the distribution's root, and limits devices.
pub(super) fn prepare(
    cgroup: &DistroCgroup,
    ids: Option<IdRange>,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Place> {
    let DistroCgroup { unified, others } = cgroup;
    limit_devices(cgroup)
        .context("its access to this machine's devices cannot be limited, so it is not started")?;
    match (unified, ids) {
        (Some(inner), Some(ids)) => delegate(inner, ids.base)?,
        (Some(_), None) => {}
        (None, _) => {
            warnings
                .push("this machine has no unified cgroup hierarchy: there are no cgroups inside".to_owned());
        }
    }
    Place::open(unified.as_deref(), others)
}

/// The inner cgroup, opened by the host's paths.
///
/// To move another process the kernel first waits until no thread of the machine is at its birth or end, which takes
/// 10 ms and more. So nobody is moved: PID 1 is born in the cgroup of the unified hierarchy, and joins the others as the
/// one thread it is.
pub(super) struct Place {
    unified: Option<File>,
    /// The file `tasks` of each hierarchy of version 1.
    tasks: Vec<(PathBuf, File)>,
}

impl Place {
    fn open(unified: Option<&Path>, others: &[PathBuf]) -> anyhow::Result<Self> {
        let cannot = |path: &Path| format!("cannot open {}", path.display());
        let open = |folder: &PathBuf| {
            let tasks = folder.join("tasks");
            let file = File::options().write(true).open(&tasks).with_context(|| cannot(&tasks))?;
            Ok((tasks, file))
        };
        Ok(Self {
            unified: unified.map(|folder| File::open(folder).with_context(|| cannot(folder))).transpose()?,
            tasks: others.iter().map(open).collect::<anyhow::Result<_>>()?,
        })
    }

    /// The cgroup to be born in.
    pub(super) fn birth(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process, which has one thread, into the rest.
    pub(super) fn join(&self) -> anyhow::Result<()> {
        for (path, file) in &self.tasks {
            let mut file = file;
            file.write_all(b"0").with_context(|| format!("cannot join the cgroup {}", path.display()))?;
        }
        Ok(())
    }
}

/// Mounts the view: what is at its root is the distribution's own cgroup.
pub(super) fn mount(cgroup: &DistroCgroup) -> anyhow::Result<()> {
    if cgroup.unified.is_some() {
        mount::mount_fs("cgroup2", "cgroup2", Path::new(VIEW), QUIET, "")?;
    }
    Ok(())
}

fn delegate(inner: &Path, owner: u32) -> anyhow::Result<()> {
    let files = DELEGATED.iter().map(|file| inner.join(file));
    for path in std::iter::once(inner.to_owned()).chain(files) {
        chown(&path, Some(owner), Some(owner))
            .with_context(|| format!("cannot hand over the cgroup {}", path.display()))?;
    }
    Ok(())
}

/// On the outer cgroup, which nobody inside can reach.
fn limit_devices(cgroup: &DistroCgroup) -> anyhow::Result<()> {
    let by_program = match &cgroup.unified {
        Some(inner) => device::limit_devices(&outer(inner)?, &DEVICES).map_err(anyhow::Error::from),
        None => Err(no_unified()),
    };
    let Err(error) = by_program else { return Ok(()) };
    match with_list(cgroup) {
        Some(inner) => limit_by_list(inner, &outer(inner)?),
        None => Err(error),
    }
}

/// Lets a distribution open these block devices too, `gone` no longer, and no others.
pub(crate) fn allow_disks(
    cgroup: &DistroCgroup,
    present: &[BlockDevice],
    gone: &[BlockDevice],
) -> anyhow::Result<()> {
    let block =
        |device: &BlockDevice| DeviceRule { block: true, major: device.major, minor: Some(device.minor) };
    let rules: Vec<DeviceRule> = DEVICES.into_iter().chain(present.iter().map(block)).collect();
    let by_program = match &cgroup.unified {
        Some(inner) => device::replace_device_limits(&outer(inner)?, &rules).map_err(anyhow::Error::from),
        None => Err(no_unified()),
    };
    let Err(error) = by_program else { return Ok(()) };
    let Some(inner) = with_list(cgroup) else { return Err(error) };
    let outer = outer(inner)?;
    for device in gone {
        // What is refused above is refused below.
        set_list(&outer, "devices.deny", &format!("b {}:{} rw", device.major, device.minor))?;
    }
    for device in present {
        for folder in [&outer, inner] {
            set_list(folder, "devices.allow", &format!("b {}:{} rw", device.major, device.minor))?;
        }
    }
    Ok(())
}

/// The list of the version 1 hierarchy. "All but …" is refused in a cgroup with children, and also for a moment after they
/// are gone: so both are made anew.
fn limit_by_list(inner: &Path, outer: &Path) -> anyhow::Result<()> {
    let write = |file: &str, line: &str| set_list(outer, file, line);
    let anew = |path: &Path| format!("cannot make the cgroup {} anew", path.display());
    fs::remove_dir(inner).with_context(|| anew(inner))?;
    let limited = fs::remove_dir(outer)
        .and_then(|()| fs::create_dir(outer))
        .with_context(|| anew(outer))
        .and_then(|()| {
            write("devices.deny", "a")?;
            // Nodes may be made: archives contain them.
            for line in ["c *:* m", "b *:* m"] {
                write("devices.allow", line)?;
            }
            DEVICES.iter().try_for_each(|rule| {
                let minor = rule.minor.map_or_else(|| "*".to_owned(), |minor| minor.to_string());
                write("devices.allow", &format!("c {}:{minor} rw", rule.major))
            })
        });
    fs::create_dir(inner).with_context(|| anew(inner))?;
    limited
}

fn outer(inner: &Path) -> anyhow::Result<PathBuf> {
    inner.parent().map(Path::to_owned).context("an inner cgroup has an outer one")
}

/// The inner cgroup of the hierarchy that lists devices, where there is one.
fn with_list(cgroup: &DistroCgroup) -> Option<&PathBuf> {
    cgroup.others.iter().find(|inner| inner.join("devices.deny").exists())
}

fn no_unified() -> anyhow::Error {
    anyhow::anyhow!("this machine has no unified cgroup hierarchy")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a cgroup's control file takes one write(2) and is no state file"
)]
fn set_list(cgroup: &Path, file: &str, line: &str) -> anyhow::Result<()> {
    let path = cgroup.join(file);
    fs::write(&path, line).with_context(|| format!("cannot write {line:?} to {}", path.display()))
}
