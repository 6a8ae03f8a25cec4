//! Folders of the host inside a distribution: what a drive is on Windows.

use std::path::{Component, Path, PathBuf};

/// Which folders of the host are where inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedFolders {
    folders: Vec<SharedFolder>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SharedFolder {
    host: PathBuf,
    inside: PathBuf,
}

impl SharedFolders {
    /// The folders in the order in which they are mounted: a place on the host, and the place inside. Both
    /// are absolute; others are left out.
    pub fn new(folders: impl IntoIterator<Item = (PathBuf, PathBuf)>) -> Self {
        let folder = |(host, inside): (PathBuf, PathBuf)| {
            Some(SharedFolder { host: plain(&host)?, inside: plain(&inside)? })
        };
        Self { folders: folders.into_iter().filter_map(folder).collect() }
    }

    /// Where the host's `path` is inside, if it can be seen there. Dots are collapsed as they are written,
    /// links are not followed.
    pub fn to_inside(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path)?;
        let mut folders: Vec<_> =
            self.folders.iter().filter(|folder| path.starts_with(&folder.host)).collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(length(&folder.host)));
        // What another shared folder lies over is there on the host, but not inside.
        folders
            .into_iter()
            .filter_map(|folder| moved(&path, &folder.host, &folder.inside))
            .find(|inside| self.to_host(inside).as_deref() == Some(&path))
    }

    /// Where `path` inside is on the host, if it is in a shared folder.
    pub fn to_host(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path)?;
        // The last of equally long ones: it was mounted over the others.
        let shown = self.folders.iter().filter(|folder| path.starts_with(&folder.inside));
        let folder = shown.max_by_key(|folder| length(&folder.inside))?;
        moved(&path, &folder.inside, &folder.host)
    }
}

/// An absolute path without dots; nothing for a relative one, or if `..` leads above the root.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::from("/");
    let mut components = path.components();
    (components.next() == Some(Component::RootDir)).then_some(())?;
    for component in components {
        match component {
            Component::ParentDir => plain.pop().then_some(())?,
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(plain)
}

fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

fn length(path: &Path) -> usize {
    path.components().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(list: &[(&str, &str)]) -> SharedFolders {
        SharedFolders::new(list.iter().map(|(host, inside)| (PathBuf::from(host), PathBuf::from(inside))))
    }

    #[test]
    fn the_longest_folder_counts_in_whole_components() {
        let shared = folders(&[("/home", "/mnt/host/home"), ("/home/ann/job", "/job")]);
        for (host, inside) in [
            ("/home", Some("/mnt/host/home")),
            ("/home/ann/", Some("/mnt/host/home/ann")),
            ("/home/ann/job/x", Some("/job/x")),
            ("/home/ann/jobshop", Some("/mnt/host/home/ann/jobshop")),
            ("/home/../home/./bob", Some("/mnt/host/home/bob")),
            ("/homes", None),
            ("/home/../etc", None),
            ("/../home", None),
            ("home", None),
            ("", None),
        ] {
            assert_eq!(shared.to_inside(Path::new(host)).as_deref(), inside.map(Path::new), "{host}");
        }
        assert_eq!(shared.to_host(Path::new("/job/x")).as_deref(), Some(Path::new("/home/ann/job/x")));
        assert_eq!(shared.to_host(Path::new("/etc")), None);
    }

    #[test]
    fn what_is_hidden_inside_is_found_elsewhere_or_not_at_all() {
        let hidden = folders(&[("/a", "/mnt/host"), ("/b", "/mnt/host/b")]);
        assert_eq!(hidden.to_inside(Path::new("/a/b/x")), None);
        assert_eq!(hidden.to_inside(Path::new("/b/x")).as_deref(), Some(Path::new("/mnt/host/b/x")));
        let twice = folders(&[("/", "/mnt/root"), ("/a", "/mnt/a"), ("/b", "/mnt/a/b")]);
        assert_eq!(twice.to_inside(Path::new("/a/b/x")).as_deref(), Some(Path::new("/mnt/root/a/b/x")));
    }

    #[test]
    fn folders_without_a_root_are_left_out() {
        assert_eq!(folders(&[("home", "/x"), ("/x", "y"), ("/..", "/z")]), SharedFolders::default());
    }
}
