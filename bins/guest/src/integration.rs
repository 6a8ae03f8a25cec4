//! The Docker socket where clients look for it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sampan_model::integration::{PLACE, SOCKET};

/// The folders in which clients look for it. The second is the first, almost everywhere.
const FOLDERS: [&str; 2] = ["/run", "/var/run"];

/// Makes the links that lead to the socket, or takes them away; what the user should know. Whatever else is in their
/// place is somebody's own, and stays.
pub(crate) fn link(on: bool) -> Vec<String> {
    let target = Path::new(PLACE).join(SOCKET);
    let folders = FOLDERS.iter().map(Path::new).filter(|folder| is_folder(folder));
    folders.filter_map(|folder| set(&folder.join(SOCKET), &target, on).err()).collect()
}

/// Not a link: what it led to is linked by itself, or is not this distribution's business.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

fn set(link: &Path, target: &Path, on: bool) -> Result<(), String> {
    let there: Option<PathBuf> = match fs::read_link(link) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        // No link.
        Err(_) => Some(PathBuf::new()),
    };
    let is_ours = there.as_deref() == Some(target);
    let done = match (on, is_ours) {
        (true, false) if there.is_some() => {
            let link = link.display();
            return Err(format!(
                "{link} is there already and is not Sampan's, so it stays: what uses it does not talk to Sampan's engine"
            ));
        }
        (true, false) => symlink(target, link),
        (false, true) => fs::remove_file(link),
        _ => Ok(()),
    };
    let what = if on { "make" } else { "remove" };
    done.map_err(|error| format!("cannot {what} {}: {error}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystems::write_fresh;

    #[test]
    fn only_our_own_link_comes_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join(SOCKET);
        let target = Path::new("/run/sampan/integration/docker.sock");
        assert_eq!(set(&link, target, false), Ok(()));
        for _ in 0..2 {
            assert_eq!(set(&link, target, true), Ok(()));
            assert_eq!(fs::read_link(&link).unwrap(), target);
        }
        for _ in 0..2 {
            assert_eq!(set(&link, target, false), Ok(()));
            assert!(link.symlink_metadata().is_err());
        }
        // A link of somebody else's, even to nothing, and a file.
        symlink("/run/theirs.sock", &link).unwrap();
        assert!(set(&link, target, true).unwrap_err().contains("docker.sock is there already"));
        assert_eq!(set(&link, target, false), Ok(()));
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/run/theirs.sock"));
        fs::remove_file(&link).unwrap();
        write_fresh(&link, "theirs").unwrap();
        assert!(set(&link, target, true).is_err());
        assert_eq!(set(&link, target, false), Ok(()));
        assert_eq!(fs::read_to_string(&link).unwrap(), "theirs");
        let nowhere = folder.path().join("none").join(SOCKET);
        assert!(set(&nowhere, target, true).unwrap_err().starts_with("cannot make "));
    }

    #[test]
    fn a_link_is_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        symlink(folder.path(), folder.path().join("link")).unwrap();
        assert!(is_folder(folder.path()) && !is_folder(&folder.path().join("link")));
        assert!(!is_folder(&folder.path().join("none")));
    }
}
