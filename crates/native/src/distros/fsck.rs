//! Whether the file system of a disk needs repair, and repairing what can be repaired without asking anybody.
//!
//! What can't be is remembered, for a look at a large disk takes minutes: the image has an extended attribute with the time
//! of the last check that its superblock knows. Whoever repairs it makes a newer one, and a copy without the attribute is
//! looked at once more.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use sampan_sys::loopdev;

use crate::tools::{Tool, ToolError};

/// Where the superblock of ext4 begins, and its magic number, its state and the time of the last check in it, in bytes
/// (Linux, `Documentation/filesystems/ext4/super.rst`: `s_magic` at 0x38, `s_state` at 0x3a, `s_lastcheck` at 0x40).
const SUPERBLOCK: u64 = 1024;
const MAGIC_AND_STATE: u64 = SUPERBLOCK + 0x38;
const LAST_CHECK: u64 = SUPERBLOCK + 0x40;
const MAGIC: [u8; 2] = [0x53, 0xef];
/// Bit of `s_state`: the kernel met errors in it.
const ERRORS: u8 = 0x2;

/// The attribute of an image that only somebody can repair.
const GIVEN_UP: &str = "user.sampan.given-up";

/// A large disk takes minutes, a very large and slow one hours. What is ended while it writes makes all worse, so this is
/// for one that hangs.
const LIMIT: Duration = Duration::from_hours(24);

/// What a repair may write, in bytes.
const ROOM: u64 = 32 << 20;

/// Bits of the exit status of e2fsck(8).
const CORRECTED: i32 = 1 | 2;

/// What became of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repair {
    /// There was nothing to repair.
    Sound,
    /// It is sound now.
    Done,
    /// Somebody has to decide what may be lost.
    Impossible,
}

/// Whether the superblock says that the file system has errors.
pub(super) fn has_errors(image: &Path) -> std::io::Result<bool> {
    let mut bytes = [0; 4];
    File::open(image)?.read_exact_at(&mut bytes, MAGIC_AND_STATE)?;
    Ok(bytes[..2] == MAGIC && bytes[2] & ERRORS != 0)
}

/// Whether the file system has errors, and a repair without asking was tried since its last check, and was impossible.
pub(super) fn is_given_up(image: &Path) -> bool {
    let mut noted = [0; 4];
    has_errors(image).unwrap_or(false)
        && getxattr(image, GIVEN_UP, &mut noted) == Ok(noted.len())
        && last_check(image).is_ok_and(|last| last == noted)
}

/// Remembers that nobody but a person can repair it.
fn give_up(image: &Path) {
    if let Ok(last) = last_check(image) {
        // Where there are no such attributes it is looked at each time.
        let _ = setxattr(image, GIVEN_UP, &last, XattrFlags::empty());
    }
}

fn last_check(image: &Path) -> std::io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    File::open(image)?.read_exact_at(&mut bytes, LAST_CHECK)?;
    Ok(bytes)
}

/// Whether a program is at work on the image without having it attached: a resize that outlived its service.
pub(super) fn is_worked_on(image: &Path) -> bool {
    let attached = loopdev::loops_of(image).map_or(true, |loops| !loops.is_empty());
    !attached && lock(image).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The lock of an attached image.
fn lock(image: &Path) -> std::io::Result<File> {
    let file = File::open(image)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Whether the host has too little room for a repair.
pub(super) fn no_room(image: &Path) -> bool {
    image.parent().and_then(|folder| sampan_sys::fs::free_space(folder).ok()).is_some_and(|free| free < ROOM)
}

/// Repairs what is safe to repair (`e2fsck -p`). The image must not be in use.
pub(super) fn repair(image: &Path) -> Result<Repair, ToolError> {
    const PROGRAM: &str = "e2fsck";
    // The program has it as its standard input: should this process die, nobody attaches the image before the program has
    // ended.
    let lock = lock(image).map_err(|source| ToolError::Start { program: PROGRAM.to_owned(), source })?;
    match Tool::new(PROGRAM, LIMIT)?.arg("-p").arg(image).input_from(lock).output() {
        Ok(_) => Ok(Repair::Sound),
        Err(ToolError::Failed { status, .. })
            if status.code().is_some_and(|code| code != 0 && code & !CORRECTED == 0) =>
        {
            Ok(Repair::Done)
        }
        // A sparse disk is repaired where there is room for what it writes, or it is damaged further.
        Err(error @ ToolError::Failed { .. }) if no_room(image) => Err(error),
        Err(ToolError::Failed { .. }) => {
            give_up(image);
            Ok(Repair::Impossible)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn disk(folder: &Path) -> PathBuf {
        let image = folder.join("disk");
        File::create(&image).unwrap().set_len(8 << 20).unwrap();
        Tool::new("mke2fs", LIMIT).unwrap().args(["-q", "-F", "-t", "ext4"]).arg(&image).output().unwrap();
        image
    }

    /// Does to a file system what a broken disk would, checksums in order.
    fn damage(image: &Path, request: &str) {
        Tool::new("debugfs", LIMIT).unwrap().args(["-w", "-R", request]).arg(image).output().unwrap();
    }

    #[test]
    fn what_is_safe_is_repaired_and_the_rest_is_for_people() {
        let folder = tempfile::tempdir().unwrap();
        let image = disk(folder.path());
        assert!(!has_errors(&image).unwrap());
        assert_eq!(repair(&image).unwrap(), Repair::Sound);
        // The kernel met errors: 1 is "unmounted cleanly".
        damage(&image, "ssv state 3");
        assert!(has_errors(&image).unwrap());
        damage(&image, "sif <2> links_count 9");
        assert_eq!(repair(&image).unwrap(), Repair::Done);
        assert!(!has_errors(&image).unwrap());
        damage(&image, "ssv state 3");
        damage(&image, "sif <2> mode 0");
        assert!(!is_given_up(&image));
        assert_eq!(repair(&image).unwrap(), Repair::Impossible);
        assert!(has_errors(&image).unwrap());
    }

    #[test]
    fn what_was_given_up_is_looked_at_again_after_somebody_s_check() {
        let folder = tempfile::tempdir().unwrap();
        let image = disk(folder.path());
        damage(&image, "ssv state 3");
        damage(&image, "ssv lastcheck 20200101000000");
        damage(&image, "sif <2> mode 0");
        assert_eq!(repair(&image).unwrap(), Repair::Impossible);
        assert!(is_given_up(&image));
        // As the kernel does when somebody meets the errors of a disk that is mounted for looking.
        damage(&image, "ssv error_count 3");
        assert!(is_given_up(&image), "it is the same damage");
        let forced = Tool::new("e2fsck", LIMIT).unwrap().args(["-f", "-y"]).arg(&image).output();
        assert!(matches!(forced, Err(ToolError::Failed { status, .. }) if status.code() == Some(1)));
        assert!(!is_given_up(&image), "it is sound");
        damage(&image, "ssv state 3");
        assert!(!is_given_up(&image), "new errors");
        assert_eq!(repair(&image).unwrap(), Repair::Sound);
    }

    #[test]
    fn what_another_program_works_on_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let image = disk(folder.path());
        assert!(!is_worked_on(&image) && !is_worked_on(Path::new("/no/such/disk")));
        let held = lock(&image).unwrap();
        assert!(is_worked_on(&image));
        assert!(matches!(repair(&image), Err(ToolError::Start { .. })));
        drop(held);
        assert!(!is_worked_on(&image));
    }

    #[test]
    fn what_is_no_file_system_any_more_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        File::create(&image).unwrap().set_len(8 << 20).unwrap();
        assert!(!has_errors(&image).unwrap());
        assert_eq!(repair(&image).unwrap(), Repair::Impossible);
        assert!(std::fs::read(&image).unwrap().iter().all(|byte| *byte == 0), "nothing is written");
        assert!(has_errors(Path::new("/no/such/disk")).is_err());
    }
}
