//! Reading a tree a little before a command that packs it.
//!
//! A packer reads one file after the other, and waits for each. From a disk image the way to a small file and back takes
//! longer than its bytes do; somebody who goes the same way a little ahead keeps the loop device at work meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::park_timeout;
use std::time::Duration;

use rustix::fs::{Advice, Dir, FileType, Mode, OFlags, fadvise, fstat, openat, tell};
use rustix::io::Errno;

/// How far ahead of what was packed, in bytes: all of a tree may be more than there is memory.
const AHEAD: u64 = 64 << 20;

/// Folders that lie deeper are left to the packer: each level takes a descriptor.
const DEPTH: u32 = 64;

/// How long whoever is far ahead waits. Nobody tells how far a file was written.
const PAUSE: Duration = Duration::from_millis(5);

/// Has the files below `tree` read into memory, in the order in which its folders have them, no more than [`AHEAD`] before
/// they are written to `output`, a regular file.
pub(super) fn read(tree: impl AsFd, output: impl AsFd) -> Result<(), Errno> {
    let begin = tell(&output)?;
    let mut reader = Reader { output, begin, bytes: 0 };
    reader.folder(&openat(tree, ".", FOLDER, Mode::empty())?, 0)
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

struct Reader<F> {
    output: F,
    /// Where the command began to write.
    begin: u64,
    /// What the files that were read take in an archive, as far as that can be told.
    bytes: u64,
}

impl<F: AsFd> Reader<F> {
    /// What can't be read is left out: the command will say so.
    fn folder(&mut self, folder: &OwnedFd, depth: u32) -> Result<(), Errno> {
        let mut entries = Dir::read_from(folder)?;
        while let Some(Ok(entry)) = entries.read() {
            match entry.file_type() {
                FileType::RegularFile => {
                    if let Ok(file) = openat(folder, entry.file_name(), FILE, Mode::empty()) {
                        self.file(&file)?;
                    }
                }
                FileType::Directory if depth < DEPTH && !is_dots(entry.file_name().to_bytes()) => {
                    if let Ok(inner) = openat(folder, entry.file_name(), FOLDER, Mode::empty()) {
                        self.folder(&inner, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &OwnedFd) -> Result<(), Errno> {
        let stat = fstat(file)?;
        // Of a large one the kernel reads the beginning; the rest follows when that is read.
        fadvise(file, 0, None, Advice::WillNeed)?;
        if stat.st_nlink == 1 {
            // Holes and the second name of a file are not packed.
            self.bytes += u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        }
        while self.bytes > tell(&self.output)?.saturating_sub(self.begin) + AHEAD {
            park_timeout(PAUSE);
        }
        Ok(())
    }
}

fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    #[test]
    fn it_comes_to_an_end_whatever_lies_there_and_waits_for_the_command() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        symlink("..", at("a/b/c/up")).unwrap();
        mkfifoat(CWD, at("a/pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let mut deep = at("deep");
        for _ in 0..2 * DEPTH {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        let large = File::create(at("a/large")).unwrap();
        rustix::fs::fallocate(&large, rustix::fs::FallocateFlags::empty(), 0, 2 * AHEAD).unwrap();
        let output = tempfile::tempfile().unwrap();
        let folder = File::open(tree.path()).unwrap();
        std::thread::scope(|scope| {
            let mut reader = Reader { output: &output, begin: 0, bytes: 0 };
            let top = openat(&folder, ".", FOLDER, Mode::empty()).unwrap();
            let reading = scope.spawn(move || reader.folder(&top, 0));
            // Until so much was written that it is not too far ahead.
            rustix::fs::seek(&output, rustix::fs::SeekFrom::Start(AHEAD - 1)).unwrap();
            assert!(!reading.is_finished());
            rustix::fs::seek(&output, rustix::fs::SeekFrom::Start(2 * AHEAD)).unwrap();
            reading.join().unwrap().unwrap();
        });
        let (pipe, _writer) = std::io::pipe().unwrap();
        assert_eq!(read(&folder, &pipe), Err(Errno::SPIPE));
    }
}
