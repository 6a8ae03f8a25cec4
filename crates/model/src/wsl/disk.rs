//! `wsl --mount`: what a mounted disk is called.
//!
//! Rules: microsoft/WSL `src/windows/service/exe/LxssUserSession.cpp` and `test/windows/MountTests.cpp`.

use std::path::Path;

/// The longest name that is made of a path, in bytes: one of a file has at most 255.
const LONGEST: usize = 200;

/// The name of a disk below `/mnt/wsl` that the user has not chosen: the letters and digits of its path, and `p` with the
/// number of the partition. Of a very long path the end.
pub fn default_name(disk: &Path, partition: Option<u32>) -> String {
    let path = disk.as_os_str().to_string_lossy();
    let name: String = path.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = &name[name.len().saturating_sub(LONGEST)..];
    let name = if name.is_empty() { "disk" } else { name };
    partition.map_or_else(|| name.to_owned(), |partition| format!("{name}p{partition}"))
}

/// Whether a mounted disk can be called `name`.
pub fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_made_of_the_path() {
        let name = |path: &str, partition| default_name(Path::new(path), partition);
        assert_eq!(name("/dev/sdb", None), "devsdb");
        assert_eq!(name("/srv/my disks/a_b.img", Some(12)), "srvmydisksabimgp12");
        assert_eq!(name("/—/ß", Some(1)), "diskp1");
        let long = format!("/{}end", "x/".repeat(2000));
        assert!(name(&long, Some(1)).ends_with("xendp1") && is_name(&name(&long, Some(u32::MAX))));
    }

    #[test]
    fn a_name_is_one_of_a_folder() {
        for bad in ["", ".", "..", "foo/bar", "/", "a\0b"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in ["...", "a b", "Np1", "-x"] {
            assert!(is_name(good), "{good:?}");
        }
    }
}
