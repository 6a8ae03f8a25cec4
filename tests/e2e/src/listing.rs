//! All that a tree of files consists of, to be compared with what it is later.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::instance::Instance;
use crate::tools::Tool;
use crate::{kernel, waiting};

/// Names and values of extended attributes are shorter (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`), in bytes.
const ATTRIBUTES: usize = 64 << 10;

/// What each file of a tree is, by its path below the root: type and mode, owner, size, number of links, modification
/// time, device, extended attributes, target of a link, and the SHA-256 of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, String>);

impl Listing {
    /// Of the folder `root` and what is below it on the same file system.
    #[track_caller]
    pub fn of(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        // With the slash it is a folder also where the path is a link of `/proc`.
        let root = root.join("");
        let device = fs::metadata(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display())).dev();
        let mut left = vec![PathBuf::new()];
        while let Some(path) = left.pop() {
            let at = root.join(&path);
            let meta =
                if path.as_os_str().is_empty() { fs::metadata(&at) } else { fs::symlink_metadata(&at) };
            let meta = meta.unwrap_or_else(|error| panic!("{}: {error}", at.display()));
            if meta.is_dir() && meta.dev() == device {
                let entries = fs::read_dir(&at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
                left.extend(entries.map(|entry| path.join(entry.expect("a name").file_name())));
            }
            files.insert(path, described(&at, &meta));
        }
        let sums = "find . -xdev -type f -print0 | xargs -0 -r sha256sum -z";
        let sums = Tool::new("sh").args(["-c", sums]).folder(&root).run();
        sums.expect(0);
        for sum in sums.bytes().split(|&byte| byte == 0).filter(|sum| !sum.is_empty()) {
            // 64 digits and two blanks.
            let path =
                Path::new(std::ffi::OsStr::from_bytes(&sum[66..])).strip_prefix(".").expect("find says so");
            let file = files.get_mut(path).unwrap_or_else(|| panic!("{} appeared", path.display()));
            let _ = write!(file, " {}", String::from_utf8_lossy(&sum[..64]));
        }
        Self(files)
    }

    /// Of the disk of the distribution `name`, as the hub has it: without what is mounted inside.
    #[track_caller]
    pub fn of_view(instance: &Instance, name: &str) -> Self {
        let guid = instance.registry().find(name).expect("it was imported").guid;
        Self::of(Path::new(&format!("/proc/{}/root/views/{guid}", instance.hub().pid)))
    }

    /// Of the disk of the distribution `name`, which nobody has attached.
    #[track_caller]
    pub fn of_image(instance: &Instance, name: &str) -> Self {
        let disk = instance.disk_of(name);
        let mounted = Mounted(instance.scratch("listing"));
        Tool::new("mount").args(["-o", "loop,ro,noload"]).arg(&disk).arg(&mounted.0).run().ok();
        let listing = Self::of(&mounted.0);
        drop(mounted);
        let folder = disk.parent().expect("a folder");
        waiting::until("nobody has its disk any more", || kernel::loops_below(folder).is_empty());
        listing
    }

    /// The line of a file, if it is there.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(Path::new(path)).map(String::as_str)
    }

    /// The paths below the root that differ, in the order of their names.
    pub fn differences(&self, later: &Self) -> Vec<PathBuf> {
        let all = self.0.keys().chain(later.0.keys().filter(|path| !self.0.contains_key(*path)));
        let mut paths: Vec<_> = all.filter(|path| self.0.get(*path) != later.0.get(*path)).cloned().collect();
        paths.sort();
        paths
    }

    /// Requires that `later` is the same but for the files of `others`.
    #[track_caller]
    pub fn assert_same_but(&self, later: &Self, others: &[&str], when: &str) {
        let mut lines = String::new();
        for path in
            self.differences(later).iter().filter(|path| others.iter().all(|it| Path::new(it) != *path))
        {
            let _ =
                writeln!(lines, "{}:\n  {:?}\n  {:?}", path.display(), self.0.get(path), later.0.get(path));
        }
        assert!(lines.is_empty(), "{when}:\n{lines}");
    }

    /// Requires that `later` is the same.
    #[track_caller]
    pub fn assert_same(&self, later: &Self, when: &str) {
        self.assert_same_but(later, &[], when);
    }
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        Tool::new("umount").arg(&self.0).run();
    }
}

fn described(at: &Path, meta: &fs::Metadata) -> String {
    let mut line = format!(
        "{:o} {}:{} size {} links {} device {} modified {}.{:09}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        // That of a folder is how many blocks its names once needed.
        if meta.is_dir() { 0 } else { meta.len() },
        meta.nlink(),
        meta.rdev(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    let mut names = vec![0; ATTRIBUTES];
    let length =
        rustix::fs::llistxattr(at, &mut names).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
    let mut names: Vec<&[u8]> =
        names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    for name in names {
        let mut value = vec![0; ATTRIBUTES];
        let length = rustix::fs::lgetxattr(at, name, &mut value).expect("it was just listed");
        let _ = write!(line, " {}={:?}", String::from_utf8_lossy(name), &value[..length]);
    }
    if meta.is_symlink() {
        let _ = write!(line, " -> {}", fs::read_link(at).expect("it is a link").display());
    }
    line
}
