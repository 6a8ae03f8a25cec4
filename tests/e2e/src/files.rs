//! Files that tests make. A crash of the machine in a test needs no care, so these are plain writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes `content` to `path`, making the folders above it.
#[track_caller]
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    if let Some(folder) = path.parent() {
        make_folder(folder);
    }
    #[expect(clippy::disallowed_methods, reason = "nothing of a test has to survive a crash")]
    let written = fs::write(path, content);
    if let Err(error) = written {
        panic!("cannot write {}: {error}", path.display());
    }
}

/// Reads the whole of `path`.
#[track_caller]
pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Makes `path` and the folders above it.
#[track_caller]
pub fn make_folder(path: &Path) {
    if let Err(error) = fs::create_dir_all(path) {
        panic!("cannot make the folder {}: {error}", path.display());
    }
}

/// Sets the permissions of `path`.
#[track_caller]
pub fn set_mode(path: &Path, mode: u32) {
    if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        panic!("cannot change the mode of {}: {error}", path.display());
    }
}

/// The entries of a folder, sorted; none when there is no folder.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

/// Names of the entries of a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    entries(folder).iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}
