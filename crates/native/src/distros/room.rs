//! Whether the host still has room for the disk of a distribution, which takes more of it with every file in it.

use std::path::Path;

use sampan_model::size;

/// With less room than this, in bytes, a user is told: an upgrade of packages writes as much.
const LITTLE: u64 = 512 << 20;

/// What the user of a distribution should know about the room for its disk; none: there is enough.
pub(super) fn little_room(name: &str, image: &Path) -> Option<String> {
    let folder = image.parent()?;
    let free = sampan_sys::fs::free_space(folder).ok()?;
    word(name, folder, free)
}

fn word(name: &str, folder: &Path, free: u64) -> Option<String> {
    (free < LITTLE).then(|| {
        format!(
            "The host's disk with {} has {} left: free some space, or what {name} writes is lost when it is full.",
            folder.display(),
            size::human(free),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_before_it_is_full() {
        let folder = Path::new("/srv/d");
        assert_eq!(word("d", folder, LITTLE), None);
        let told = word("d", folder, 12 << 20).unwrap();
        assert!(told.starts_with("The host's disk with /srv/d has 12 MiB left: free some space"), "{told}");
        assert!(word("d", folder, 0).is_some());
    }
}
