//! Where a path leads in a tree that is not one's own.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxFlags, makedev, statx};
use sampan_sys::SysError;
use sampan_sys::fs::open_in_root;

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What exists of it: the path from the tree's root, without links.
    pub(crate) path: PathBuf,
    /// What does not exist, below that.
    pub(crate) missing: PathBuf,
    /// The device and the inode of what exists.
    pub(crate) file: (u64, u64),
    /// The mount it lies on, by its number in mount tables.
    pub(crate) mount: u64,
    /// Whether that is the mount of the tree's root itself.
    pub(crate) on_root: bool,
}

impl Place {
    /// All of the path.
    pub(crate) fn whole(&self) -> PathBuf {
        below(&self.path, &self.missing)
    }
}

/// Follows `path`, a [`clean`] one, in the tree at `root` as somebody would whose `/` it is. What does not exist is kept as
/// it is.
pub(crate) fn find(root: &Path, path: &Path) -> io::Result<Place> {
    let root_fd = rustix::fs::open(root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let open = |path: &Path, flags| open_in_root(&root_fd, path, OFlags::PATH | flags).map_err(kernel_s);
    let mut there = path;
    let found = loop {
        match open(there, OFlags::empty()) {
            Ok(found) => break found,
            // A link to nothing is no way to something that could be made.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && open(there, OFlags::NOFOLLOW).is_err() =>
            {
                there = there.parent().ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
    };
    let missing = path.strip_prefix(there).unwrap_or(Path::new("")).to_owned();
    let (known, of_root) = (look(&found)?, look(&root_fd)?);
    // What was removed just now has a path no more.
    if known.stx_nlink == 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    let real = std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    let inside = real.strip_prefix(root).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(Place {
        path: below(Path::new("/"), inside),
        missing,
        file: (makedev(known.stx_dev_major, known.stx_dev_minor), known.stx_ino),
        mount: known.stx_mnt_id,
        on_root: known.stx_mnt_id == of_root.stx_mnt_id,
    })
}

/// `rest` below `path`. Unlike `join` it makes no slash of an empty rest.
pub(crate) fn below(path: &Path, rest: &Path) -> PathBuf {
    path.iter().chain(rest.iter()).collect()
}

/// `..` taken back by name, as dockerd does it before it looks at a path.
pub(crate) fn clean(path: &Path) -> PathBuf {
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

/// Nothing here waits for a server of files to say anew what is known of one.
fn look(file: &OwnedFd) -> io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(statx(file, c"", flags, StatxFlags::MNT_ID | StatxFlags::INO | StatxFlags::NLINK)?)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error becomes another")]
fn kernel_s(error: SysError) -> io::Error {
    error.errno().into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn lead(root: &Path, path: &str) -> io::Result<String> {
        find(root, &clean(Path::new(path))).map(|place| place.whole().into_os_string().into_string().unwrap())
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
