//! Ids: those of a distribution are others on the host, those of its users' files in the host's folders are the same.

use std::os::fd::OwnedFd;

use anyhow::anyhow;
use sampan_model::guest::IdRange;
use sampan_sys::mount;
use sampan_sys::namespace::{self, IdMap};

/// Ids of people; below are those of a system, which mean somebody else on each side.
const PEOPLE: std::ops::Range<u32> = 1_000..60_000;

/// All ids of a distribution.
pub(super) fn all(range: IdRange) -> IdMap {
    IdMap { inside: 0, outside: range.base, count: range.count }
}

/// Ids in the host's folders, as a list for the kernel: those of people are the distribution's of the same number. All others
/// stay what they are on the host: inside they show as nobody's, and root inside has no power over them. None may be left
/// out, or nobody could write to what belongs to one: not to a folder that is open for all, nor to a file of the group
/// `users`. What root inside makes belongs to its id on the host.
fn in_host_folders(range: IdRange) -> Vec<IdMap> {
    let people = PEOPLE.start..PEOPLE.end.min(range.count).max(PEOPLE.start);
    let shifted = range.base + people.start..range.base + people.end;
    // What people's ids are shifted to can't be anything else, too.
    let same = [0..people.start, people.end..shifted.start, shifted.end.max(people.end)..u32::MAX];
    let same = same.into_iter().map(|ids| (ids.clone(), ids.start));
    std::iter::once((people, shifted.start))
        .chain(same)
        .filter(|(inside, _)| !inside.is_empty())
        .map(|(inside, outside)| IdMap { inside: inside.start, outside, count: inside.end - inside.start })
        .collect()
}

/// Shifts the ids of trees, for one distribution.
pub(super) struct Shift {
    all: OwnedFd,
    in_host_folders: OwnedFd,
}

/// How much of a tree could be shifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shifted {
    /// All of it.
    Whole,
    /// Its top mount, but some of what is mounted below not.
    Top,
    /// Nothing: its file system, or the kernel, can't.
    Nothing,
}

impl Shift {
    pub(super) fn new(range: IdRange) -> anyhow::Result<Self> {
        let made = |maps: &[IdMap]| {
            namespace::user_namespace(maps).map_err(|error| {
                anyhow!(error).context(
                    "this machine refuses user namespaces (`sysctl user.max_user_namespaces` says how many it allows)",
                )
            })
        };
        Ok(Self { all: made(&[all(range)])?, in_host_folders: made(&in_host_folders(range))? })
    }

    /// The root: every id on the disk is that of the distribution.
    pub(super) fn root(&self, tree: &OwnedFd, name: &str) -> anyhow::Result<()> {
        mount::idmap_tree(tree, &self.all, false).map_err(|error| {
            anyhow!(error).context(format!(
                "the ids of its file system cannot be shifted on this machine; `sampan distro set {name} --privileged` lets \
                 it run without, and makes root in it root of this machine"
            ))
        })
    }

    /// What all distributions share: root of one is root of the other.
    pub(super) fn shared(&self, tree: &OwnedFd) -> Shifted {
        shift(tree, &self.all)
    }

    /// A folder of the host.
    pub(super) fn host_folder(&self, tree: &OwnedFd) -> Shifted {
        shift(tree, &self.in_host_folders)
    }
}

fn shift(tree: &OwnedFd, namespace: &OwnedFd) -> Shifted {
    if mount::idmap_tree(tree, namespace, true).is_ok() {
        Shifted::Whole
    } else if mount::idmap_tree(tree, namespace, false).is_ok() {
        Shifted::Top
    } else {
        Shifted::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_the_host_s_folders_has_one_meaning() {
        for range in [(2_000_000, 65_536), (60_000, 1 << 20), (100_000, 2_000), (65_536, 10)] {
            let range = IdRange { base: range.0, count: range.1 };
            let maps = in_host_folders(range);
            let meaning = |id: u32| {
                let map = maps.iter().find(|map| (map.inside..map.inside + map.count).contains(&id))?;
                Some(map.outside + (id - map.inside))
            };
            for id in [0, 33, 100, 999, 60_000, range.base, u32::MAX - 1] {
                assert_eq!(meaning(id), Some(id), "{id} of {range:?}");
            }
            for id in PEOPLE.filter(|id| *id < range.count) {
                assert_eq!(meaning(id), Some(range.base + id), "{id} of {range:?}");
            }
            let mut outside: Vec<_> =
                maps.iter().map(|map| (u64::from(map.outside), u64::from(map.count))).collect();
            outside.sort_unstable();
            assert!(outside.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0), "{maps:?}");
        }
    }
}
