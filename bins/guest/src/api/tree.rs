//! Where a path leads in a tree that is not one's own.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path from the tree's root, without links as far as it exists.
    pub path: PathBuf,
    /// Whether it lies on the mount of the tree's root itself, as far as it exists.
    pub on_root: bool,
}

/// Follows `path`, a [`clean`] one, in the tree at `root` as somebody would whose `/` it is. What does not exist is kept as
/// it is.
pub(super) fn find(root: &Path, path: &Path) -> io::Result<Place> {
    let root_fd = open(None, root)?;
    let mut there = path;
    let found = loop {
        match open(Some(&root_fd), there) {
            Ok(found) => break found,
            // A link to nothing is no way to something that could be made.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_link(&root_fd, there) => {
                there = there.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    };
    let missing = path.strip_prefix(there).unwrap_or(Path::new(""));
    let real = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    let inside = real.strip_prefix(root).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    // An empty end would be a slash.
    let path: PathBuf = Path::new("/").join(inside).iter().chain(missing.iter()).collect();
    Ok(Place { path, on_root: mount_of(&found)? == mount_of(&root_fd)? })
}

/// `..` taken back by name, as dockerd does it before it looks at a path.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

fn open(root: Option<&OwnedFd>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(match root {
        None => rustix::fs::open(path, flags, Mode::empty())?,
        Some(root) => {
            openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?
        }
    })
}

fn is_link(root: &OwnedFd, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags, Mode::empty(), resolve).is_ok()
}

fn mount_of(file: &OwnedFd) -> io::Result<u64> {
    let name = OsStr::from_bytes(b"");
    Ok(statx(file, name, AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn lead(root: &Path, path: &str) -> io::Result<String> {
        find(root, &clean(Path::new(path))).map(|place| place.path.into_os_string().into_string().unwrap())
    }

    #[test]
    fn links_lead_inside_and_what_is_missing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("data/real")).unwrap();
        symlink("/data/real", root.join("absolute")).unwrap();
        symlink("data/../data/real", root.join("relative")).unwrap();
        symlink("../../../../../etc", root.join("up")).unwrap();
        symlink("/nowhere/at/all", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for (path, expected) in [
            ("/", "/"),
            ("/data/real/", "/data/real"),
            ("/absolute", "/data/real"),
            ("/relative/new/one", "/data/real/new/one"),
            ("/absolute/../x", "/x"),
            ("/../../data", "/data"),
            ("/none/a b/ü", "/none/a b/ü"),
        ] {
            assert_eq!(lead(&root, path).unwrap(), expected, "{path}");
        }
        for path in ["/dangling", "/dangling/x", "/up", "/loop", "/loop/x"] {
            assert!(lead(&root, path).is_err(), "{path}: {:?}", lead(&root, path));
        }
        assert!(find(&root, Path::new("/data")).unwrap().on_root);
    }

    #[test]
    fn other_mounts_are_told() {
        let root = Path::new("/");
        assert!(!find(root, Path::new("/proc/self/status")).unwrap().on_root);
        assert!(lead(root, "/proc/self/root").is_err(), "a magic link");
    }
}
