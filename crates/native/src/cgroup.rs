//! Cgroups: one for the instance, below it an outer one per distribution (limits, out of its reach) and in that the
//! inner one, which the distribution sees as its root. The same tree on version 1 and version 2.

mod walk;

use std::fs;
use std::path::{Path, PathBuf};

use sampan_backend::Explain;
use sampan_model::distro::Guid;
use sampan_model::guest::{CgroupView, DistroCgroup, Hierarchy};
use sampan_sys::SysError;
use sampan_sys::mount::{self, MountEntry};

/// Name of the inner cgroup.
const INNER: &str = "ns";

/// How deep a distribution's own cgroups may go, and how many there may be: several times what systemd with containers in
/// containers makes.
const DEEPEST: u64 = 64;
const MOST: u64 = 16_384;

/// What the outer cgroups of users' distributions begin with. Users choose the names of their distributions, so the
/// identity follows: no name can be that of the engine's or the hub's.
const USER: &str = "u-";

/// The outer cgroup of a user's distribution, below the instance's.
pub(crate) fn user_folder(guid: &Guid) -> String {
    format!("{USER}{guid}")
}

/// Why the cgroups could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    #[error("no cgroup hierarchy is mounted below /sys/fs/cgroup")]
    None,
    #[error("the mounts of this machine cannot be read")]
    Mounts(#[source] SysError),
    #[error("cannot make the cgroup {path}")]
    Make { path: PathBuf, source: std::io::Error },
    #[error("cannot set {path}")]
    Set { path: PathBuf, source: std::io::Error },
    #[error("cannot remove the cgroup {path}")]
    Remove { path: PathBuf, source: std::io::Error },
}

impl Explain for CgroupError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::None => Some("mount -t cgroup2 cgroup2 /sys/fs/cgroup".to_owned()),
            Self::Remove { .. } => Some("a process is still in it: `sampan stop`, then try again".to_owned()),
            _ => None,
        }
    }
}

/// The hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// Version 1, maybe with the (controller-less) version 2 beside it: mount options and mount point of each.
    V1(Vec<(String, PathBuf)>),
    /// Version 2 alone: the folder below which cgroups may be made.
    V2(PathBuf),
}

impl Host {
    pub(crate) fn detect() -> Result<Self, CgroupError> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let delegated = Path::new("/run/systemd/system").exists();
        Self::of(&mount::mountinfo(None).map_err(CgroupError::Mounts)?, &own, delegated)
            .ok_or(CgroupError::None)
    }

    /// On a host with systemd only the service's own cgroup is delegated to us; elsewhere the root is free.
    fn of(mounts: &[MountEntry], own: &str, delegated: bool) -> Option<Self> {
        let of_type = |fstype: &'static str| {
            mounts.iter().filter(move |m| m.fstype == fstype && m.mount_point.starts_with("/sys/fs/cgroup"))
        };
        let mut hierarchies: Vec<(String, PathBuf)> = of_type("cgroup")
            .filter_map(|m| Some((selector(&m.super_options)?, m.mount_point.clone())))
            .collect();
        let unified = of_type("cgroup2").next().map(|m| m.mount_point.clone());
        if !hierarchies.is_empty() {
            hierarchies.extend(unified.map(|path| (String::new(), path)));
            return Some(Self::V1(hierarchies));
        }
        let top = unified?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
        // `service` is the leaf that the service itself moves to.
        let own = own.strip_suffix("/service").unwrap_or(own);
        Some(Self::V2(if delegated { top.join(own) } else { top }))
    }

    /// Makes the cgroups of the engine's distribution and says how it sees them.
    pub(crate) fn create(&self, instance: &str, distro: &str) -> Result<CgroupView, CgroupError> {
        match self {
            Self::V1(hierarchies) => {
                let mut views = Vec::new();
                for (options, top) in hierarchies {
                    let path = make_v1(options, top, instance, distro)?;
                    let folder = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    views.push(Hierarchy { options: options.clone(), folder, path });
                }
                Ok(CgroupView::V1 { hierarchies: views })
            }
            Self::V2(top) => Ok(CgroupView::V2 { path: make_v2(top, instance, distro)? }),
        }
    }

    /// Makes the cgroups of a user's distribution, in all hierarchies.
    pub(crate) fn create_for_user(&self, instance: &str, guid: &Guid) -> Result<DistroCgroup, CgroupError> {
        let folder = user_folder(guid);
        match self {
            Self::V1(hierarchies) => {
                let mut cgroup = DistroCgroup { unified: None, others: Vec::new() };
                for (options, top) in hierarchies {
                    let path = make_v1(options, top, instance, &folder)?;
                    limit(&top.join(instance).join(&folder))?;
                    if options.is_empty() {
                        cgroup.unified = Some(path);
                    } else {
                        cgroup.others.push(path);
                    }
                }
                Ok(cgroup)
            }
            Self::V2(top) => {
                let path = make_v2(top, instance, &folder)?;
                limit(&top.join(instance).join(&folder))?;
                Ok(DistroCgroup { unified: Some(path), others: Vec::new() })
            }
        }
    }

    /// The instance's cgroup where `controller` acts on it, made if it is missing; none: this machine has no such
    /// controller.
    pub(crate) fn with_controller(
        &self,
        instance: &str,
        controller: &str,
    ) -> Result<Option<PathBuf>, CgroupError> {
        match self {
            Self::V1(hierarchies) => {
                let has = |(options, _): &&(String, PathBuf)| options.split(',').any(|one| one == controller);
                let Some((_, top)) = hierarchies.iter().find(has) else { return Ok(None) };
                let path = top.join(instance);
                make(&path)?;
                Ok(Some(path))
            }
            Self::V2(top) => {
                let path = top.join(instance);
                make(&path)?;
                make_room_for_children(top)?;
                hand_on(top)?;
                let there = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
                Ok(there.split_whitespace().any(|one| one == controller).then_some(path))
            }
        }
    }

    /// The users' distributions that have a cgroup, whether they run or not.
    pub(crate) fn users(&self, instance: &str) -> Result<Vec<Guid>, CgroupError> {
        let folders = fs::read_dir(self.tracking()?.join(instance)).into_iter().flatten().flatten();
        let guid = |name: &str| name.strip_prefix(USER)?.parse().ok();
        Ok(folders.filter_map(|folder| guid(folder.file_name().to_str()?)).collect())
    }

    /// Makes the cgroup of the hub and gives its `cgroup.procs`. One hierarchy is enough: it is there so that the hub can
    /// be found without its record.
    pub(crate) fn create_for_hub(&self, instance: &str) -> Result<PathBuf, CgroupError> {
        let path = self.tracking()?.join(instance).join("hub");
        make(&path)?;
        Ok(path.join("cgroup.procs"))
    }

    /// Every process in a cgroup of the instance (of all of it when `distro` is none), whatever records say.
    pub(crate) fn members(&self, instance: &str, distro: Option<&str>) -> Result<Vec<i32>, CgroupError> {
        let path = self.tracking()?.join(instance);
        Ok(walk::members(&distro.map_or(path.clone(), |distro| path.join(distro))))
    }

    /// The hierarchy in which processes are looked for.
    fn tracking(&self) -> Result<&Path, CgroupError> {
        match self {
            // The unified one has no conditions for joining; the cpuset one has.
            Self::V1(hierarchies) => {
                let free = |(options, _): &&(String, PathBuf)| !options.split(',').any(|o| o == "cpuset");
                let unified = hierarchies.iter().find(|(options, _)| options.is_empty());
                unified.or_else(|| hierarchies.iter().find(free)).map(|(_, top)| top.as_path())
            }
            Self::V2(top) => Some(top.as_path()),
        }
        .ok_or(CgroupError::None)
    }

    /// Removes a cgroup of the instance (all of it when `distro` is none) with all below it.
    pub(crate) fn remove(&self, instance: &str, distro: Option<&str>) -> Result<(), CgroupError> {
        let tops: Vec<&PathBuf> = match self {
            Self::V1(hierarchies) => hierarchies.iter().map(|(_, top)| top).collect(),
            Self::V2(top) => vec![top],
        };
        let mut first = Ok(());
        for top in tops {
            let path = top.join(instance);
            let path = distro.map_or(path.clone(), |distro| path.join(distro));
            first = first.and(walk::remove(&path).map_err(|source| CgroupError::Remove { path, source }));
        }
        first
    }
}

/// The mount options that select a version 1 hierarchy: its controllers, or its name.
fn selector(super_options: &str) -> Option<String> {
    const FLAGS: [&str; 8] =
        ["rw", "ro", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "nodev"];
    let chosen: Vec<&str> = super_options
        .split(',')
        .filter(|option| !FLAGS.contains(option) && !option.starts_with("release_agent="))
        .collect();
    match chosen.as_slice() {
        [] => None,
        [name] if name.starts_with("name=") => Some(format!("none,{name}")),
        options => Some(options.join(",")),
    }
}

fn make_v1(options: &str, top: &Path, instance: &str, distro: &str) -> Result<PathBuf, CgroupError> {
    let path = inner(top, instance, distro);
    make(&path)?;
    if options.split(',').any(|option| option == "cpuset") {
        fill_cpuset(top, &path)?;
    }
    Ok(path)
}

fn make_v2(top: &Path, instance: &str, distro: &str) -> Result<PathBuf, CgroupError> {
    let path = inner(top, instance, distro);
    make(&path)?;
    make_room_for_children(top)?;
    for parent in [top.to_owned(), top.join(instance), top.join(instance).join(distro)] {
        hand_on(&parent)?;
    }
    Ok(path)
}

fn inner(top: &Path, instance: &str, distro: &str) -> PathBuf {
    top.join(instance).join(distro).join(INNER)
}

fn make(path: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(path).map_err(|source| CgroupError::Make { path: path.to_owned(), source })
}

/// A cpuset without CPUs takes no process; new ones begin empty.
fn fill_cpuset(top: &Path, inner: &Path) -> Result<(), CgroupError> {
    let below = inner.strip_prefix(top).unwrap_or(inner);
    let mut parent = top.to_owned();
    for part in below.components() {
        let child = parent.join(part);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let error = |source| CgroupError::Set { path: child.join(file), source };
            let now = fs::read_to_string(child.join(file)).map_err(error)?;
            if now.trim().is_empty() {
                set(&child.join(file), &fs::read_to_string(parent.join(file)).map_err(error)?)?;
            }
        }
        parent = child;
    }
    Ok(())
}

/// A cgroup with processes can't hand on controllers: the service moves from its own into a leaf below.
fn make_room_for_children(top: &Path) -> Result<(), CgroupError> {
    let Ok(procs) = fs::read_to_string(top.join("cgroup.procs")) else { return Ok(()) };
    let own = std::process::id().to_string();
    if top.join("cgroup.type").exists() && procs.lines().any(|pid| pid == own) {
        let leaf = top.join("service");
        make(&leaf)?;
        for pid in procs.lines() {
            set(&leaf.join("cgroup.procs"), pid)?;
        }
    }
    Ok(())
}

fn hand_on(path: &Path) -> Result<(), CgroupError> {
    let file = path.join("cgroup.controllers");
    let controllers = fs::read_to_string(&file).map_err(|source| CgroupError::Set { path: file, source })?;
    for controller in controllers.split_whitespace() {
        set(&path.join("cgroup.subtree_control"), &format!("+{controller}"))?;
    }
    Ok(())
}

/// Writes a control file of a cgroup.
#[expect(
    clippy::disallowed_methods,
    reason = "a cgroup's control file takes one write(2) and is no state file"
)]
pub(crate) fn set(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|source| CgroupError::Set { path: path.to_owned(), source })
}

/// Limits what a user's distribution takes of what this machine has only so much of, where there is such a limit.
fn limit(outer: &Path) -> Result<(), CgroupError> {
    let number = |file: &str| {
        fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).ok()?.trim().parse::<u64>().ok()
    };
    let processes = number("pid_max").into_iter().chain(number("threads-max")).min().unwrap_or(32_768);
    for (file, value) in [
        // One that starts programs without end leaves the host enough to end it.
        ("pids.max", processes / 4),
        // And its own cgroups can be walked through.
        ("cgroup.max.depth", DEEPEST),
        ("cgroup.max.descendants", MOST),
    ] {
        let path = outer.join(file);
        if path.exists() {
            set(&path, &value.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(text: &str) -> Vec<MountEntry> {
        mount::parse_mountinfo(text.as_bytes())
    }

    #[test]
    fn version_1_with_a_unified_one_beside() {
        let table = mounts(
            "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
             40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        let expected = [
            ("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"),
            ("none,name=systemd", "/sys/fs/cgroup/systemd"),
            ("", "/sys/fs/cgroup/unified"),
        ];
        let expected = expected.map(|(a, b)| (a.to_owned(), PathBuf::from(b))).to_vec();
        assert_eq!(Host::of(&table, "0::/x\n", true), Some(Host::V1(expected)));
    }

    #[test]
    fn version_2_uses_the_root_or_what_systemd_delegated() {
        let table = mounts("30 20 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
        let own = "0::/system.slice/sampand.service\n";
        let top = Path::new("/sys/fs/cgroup");
        assert_eq!(Host::of(&table, own, false), Some(Host::V2(top.into())));
        let delegated = Some(Host::V2(top.join("system.slice/sampand.service")));
        assert_eq!(Host::of(&table, own, true), delegated);
        assert_eq!(Host::of(&table, "0::/system.slice/sampand.service/service\n", true), delegated);
        assert_eq!(Host::of(&[], own, true), None);
    }
}
