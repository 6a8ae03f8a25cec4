//! The folder that somebody works in, which containers may mount although no setting names it.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::document::Document;

/// How many are remembered. The one that was added first makes room for the next.
pub const MOST: usize = 256;

/// Folders that belong to the system: nobody's work is in them.
const SYSTEMS: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr",
];

/// The working trees that are shared, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkingTrees {
    /// Absolute paths without links.
    pub working_trees: Vec<PathBuf>,
}

impl Document for WorkingTrees {
    const FILE: &'static str = "working-trees.json";
    const SCHEMA: u64 = 1;
}

impl WorkingTrees {
    /// Adds `tree`. Those that are within it need no entry of their own any more.
    pub fn add(&mut self, tree: PathBuf) {
        self.working_trees.retain(|other| !other.starts_with(&tree));
        self.working_trees.push(tree);
        let surplus = self.working_trees.len().saturating_sub(MOST);
        self.working_trees.drain(..surplus);
    }
}

/// The working tree around `folder`, an absolute path without links: what git takes for it, and outside of git the folder
/// itself. `ceilings`: git looks for nothing in these and above, unless it began there.
///
/// None: containers are not given such a folder ([`may_be_shared`]).
pub fn around(folder: &Path, ceilings: &[PathBuf], is_git_s: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let below_ceiling = |tree: &&Path| *tree == folder || !ceilings.iter().any(|ceiling| ceiling == tree);
    let git_s = folder.ancestors().take_while(below_ceiling).find(|tree| is_git_s(tree));
    let tree = git_s.filter(|tree| may_be_shared(tree)).unwrap_or(folder);
    may_be_shared(tree).then(|| tree.to_owned())
}

/// The folders in the text of `GIT_CEILING_DIRECTORIES` (git(1)): absolute ones, with a colon between them.
pub fn ceilings(text: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(text).filter(|path| path.is_absolute()).collect()
}

/// Whether a folder may be shared because somebody works in it: deep enough to be no tree of many people or of the system.
pub fn may_be_shared(tree: &Path) -> bool {
    let mut components = tree.components();
    let plain = components.next() == Some(Component::RootDir)
        && components.clone().all(|part| matches!(part, Component::Normal(_)));
    // A folder in `/root` may be somebody's work; `/root` itself is also somebody's keys.
    plain && components.count() >= 2 && !SYSTEMS.iter().any(|system| tree.starts_with(system))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{parse, render};

    #[test]
    fn git_says_where_the_tree_is_and_otherwise_it_is_the_folder() {
        let git = |trees: &'static [&'static str]| {
            move |path: &Path| trees.iter().any(|tree| path == Path::new(tree))
        };
        for (folder, ceiling, trees, expected) in [
            ("/srv/app/src", "", &["/srv/app"] as &'static [&str], Some("/srv/app")),
            ("/srv/app", "", &["/srv/app"], Some("/srv/app")),
            ("/srv/app/src", "", &[], Some("/srv/app/src")),
            ("/srv/app/src", "/srv/app", &["/srv/app"], Some("/srv/app/src")),
            ("/srv/app", "/srv/app", &["/srv/app"], Some("/srv/app")),
            ("/srv/app/src", "/srv", &["/srv/app"], Some("/srv/app")),
            // A whole machine under git is not a project.
            ("/srv/app", "", &["/"], Some("/srv/app")),
            ("/home/app", "", &["/home"], Some("/home/app")),
            ("/root", "", &["/root"], None),
            ("/srv", "", &[], None),
            ("/", "", &[], None),
            ("/etc/nginx", "", &["/etc/nginx"], None),
            ("/usr/local/src", "", &[], None),
        ] {
            let found = around(Path::new(folder), &ceilings(OsStr::new(ceiling)), git(trees));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{folder}");
        }
    }

    #[test]
    fn only_plain_folders_may_be_shared() {
        for path in ["srv/app", "/srv/../etc", "/proc/1", "/run/user/0", "", "/home"] {
            assert!(!may_be_shared(Path::new(path)), "{path}");
        }
        for path in ["/srv/app", "/opt/a b", "/home/ann", "/usrlocal/x"] {
            assert!(may_be_shared(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn they_are_few_and_none_is_within_another() {
        let mut trees = WorkingTrees::default();
        trees.add("/srv/app/part".into());
        trees.add("/srv/app".into());
        assert_eq!(trees.working_trees, [PathBuf::from("/srv/app")]);
        for number in 0..MOST {
            trees.add(format!("/srv/{number}").into());
        }
        assert_eq!(trees.working_trees.len(), MOST);
        assert_eq!(trees.working_trees[0], Path::new("/srv/0"));
        assert_eq!(parse::<WorkingTrees>(&render(&trees)).unwrap(), trees);
    }
}
