//! Changing the largest size of a disk that nothing uses.
//!
//! resize2fs marks the file system as one with errors before it changes anything, and unmarks it at the end. So one that is
//! cut off is repaired by the next start, and has all its files.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::size;

use super::copy::dig_holes;
use crate::ticks;
use crate::tools::{Tool, ToolError};

/// A file system that is being made smaller must not be stopped half way; this is for one that hangs.
const LIMIT: Duration = Duration::from_hours(12);

/// Sizes are multiples of this, the block size of ext4.
const BLOCK: u64 = 4096;

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(200);

/// How much of a bar of resize2fs is done, and how long the whole bar is (`resize/online.c` and `resize/sim_progress.c` of
/// e2fsprogs).
const BAR_DONE: char = 'X';
const BAR: u64 = 40;

/// Where the passes of resize2fs(8) begin and end on our own bar, in permille: it moves blocks in the second, which takes
/// longest by far.
const PASSES: [(u64, u64); 5] = [(0, 50), (50, 850), (850, 900), (900, 950), (950, 1000)];

/// The largest part of e2fsck's exit status (e2fsck(8)) that means "sound now".
const CORRECTED: i32 = 3;

/// Why a disk did not get its size.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResizeError {
    #[error("the disk {path} is in use")]
    InUse { path: PathBuf },
    #[error("cannot resize the disk {path}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the file system of {path} cannot be repaired")]
    Damaged { path: PathBuf, source: ToolError },
    #[error("the content of the disk {path} takes more than {}", size::human(*bytes))]
    TooSmall { path: PathBuf, bytes: u64, smallest: u64 },
    #[error("cannot resize the file system of {path}")]
    Tool { path: PathBuf, source: ToolError },
}

impl Explain for ResizeError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::InUse { .. } => ErrorCode::Busy,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                ErrorCode::DiskFull
            }
            Self::File { .. } | Self::Damaged { .. } | Self::TooSmall { .. } => ErrorCode::Failed,
            Self::Tool { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooSmall { smallest, .. } => Some(format!("give it at least {}", size::human(*smallest))),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::FileTooLarge => {
                Some("the file system that it lies on has no larger files: give it less".to_owned())
            }
            Self::Damaged { path, .. } => {
                Some(format!("`e2fsck -f {}` asks what may be lost", path.display()))
            }
            Self::Tool { source, .. } => source.hint(),
            Self::InUse { .. } | Self::File { .. } => None,
        }
    }
}

/// Makes the file system in `image` `bytes` large, and the image with it. `told` hears how far it is, in permille.
pub(crate) fn resize(image: &Path, bytes: u64, told: &(dyn Fn(u64) + Sync)) -> Result<(), ResizeError> {
    let path = || image.to_owned();
    let failed = |source| ResizeError::File { path: path(), source };
    let bytes = bytes - bytes % BLOCK;
    let file = File::options().read(true).write(true).open(image).map_err(failed)?;
    // The lock of loop devices, shared with the programs below: they go on when this service is killed.
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| ResizeError::InUse { path: path() })?;
    let before = file.metadata().map_err(failed)?.len();
    let run = |program: &str, args: &[&str]| {
        let lock = file.try_clone().map_err(failed)?;
        let tool = Tool::new(program, LIMIT).map_err(|source| ResizeError::Tool { path: path(), source })?;
        Ok(tool.input_from(lock).args(args).arg(image))
    };
    // What they say goes to a file, as they go on when this service is killed: a pipe that nobody reads would end them.
    let said = || -> std::io::Result<File> {
        Ok(rustix::fs::memfd_create("said", rustix::fs::MemfdFlags::CLOEXEC)?.into())
    };
    match run("e2fsck", &["-f", "-y"])?.output_to(said().map_err(failed)?).output() {
        Err(ToolError::Failed { status, .. }) if status.code().is_some_and(|code| code <= CORRECTED) => {}
        Err(source @ ToolError::Failed { .. }) => return Err(ResizeError::Damaged { path: path(), source }),
        Err(source) => return Err(ResizeError::Tool { path: path(), source }),
        Ok(_) => {}
    }
    if bytes > before {
        file.set_len(bytes).map_err(failed)?;
    }
    let words = said().map_err(failed)?;
    let tool = run("resize2fs", &["-p"])?
        .arg(format!("{}K", bytes / 1024))
        .output_to(words.try_clone().map_err(failed)?);
    let resized = ticks::during(TICK, || told(permille(&words)), || tool.output());
    told(permille(&words));
    if let Err(source) = resized {
        let _ = file.set_len(before);
        let smallest = run("resize2fs", &["-P"])?.output().ok().and_then(|said| smallest(&said));
        return Err(match smallest {
            Some(smallest) if smallest > bytes => ResizeError::TooSmall { path: path(), bytes, smallest },
            _ => ResizeError::Tool { path: path(), source },
        });
    }
    if bytes < before {
        file.set_len(bytes).map_err(failed)?;
        // The journal moved, and was written out in its new place.
        dig_holes(&file).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}

/// How far resize2fs is by all that it said, in permille.
fn permille(words: &File) -> u64 {
    let mut bytes = vec![0; usize::try_from(words.metadata().map_or(0, |meta| meta.len())).unwrap_or(0)];
    // It is at the end of the file, which another process writes.
    let said =
        words.read_exact_at(&mut bytes, 0).map_or(String::new(), |()| String::from_utf8_lossy(&bytes).into());
    let Some((_, pass)) = said.rsplit_once("Begin pass ") else { return 0 };
    let number = pass.split(' ').next().and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
    let Some((begin, end)) = number.checked_sub(1).and_then(|index| PASSES.get(index)) else { return 0 };
    let done = pass.chars().filter(|char| *char == BAR_DONE).count() as u64;
    begin + (end - begin) * done.min(BAR) / BAR
}

/// The size that resize2fs estimates, in bytes.
fn smallest(said: &str) -> Option<u64> {
    said.lines()
        .find_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok())
        .map(|blocks| blocks * BLOCK)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::disk::format;

    /// Size of the file system in the image, in bytes (`s_blocks_count_lo`, ext4's documentation of its superblock).
    fn size_of(image: &Path) -> u64 {
        let mut blocks = [0; 4];
        File::open(image).unwrap().read_exact_at(&mut blocks, 1024 + 4).unwrap();
        u64::from(u32::from_le_bytes(blocks)) * BLOCK
    }

    #[test]
    fn larger_smaller_and_too_small() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("ext4.img");
        drop(format(&image, 4 << 30).unwrap());
        for bytes in [10 << 30, (5 << 30) + 4097] {
            resize(&image, bytes, &|_| {}).unwrap();
            let file = image.metadata().unwrap();
            assert_eq!(file.len(), bytes - bytes % BLOCK);
            // A last group that is too small for its own tables is left out.
            assert!(size_of(&image) <= file.len() && file.len() - size_of(&image) < 1 << 20);
            assert!(file.blocks() * 512 < 64 << 20, "it stays sparse: {}", file.blocks() * 512);
        }
        let error = resize(&image, 1 << 20, &|_| {}).unwrap_err();
        assert!(matches!(error, ResizeError::TooSmall { smallest, .. } if smallest > 1 << 20), "{error:?}");
        assert_eq!(image.metadata().unwrap().len(), (5 << 30) + BLOCK, "it is as it was");
        let _held = File::open(&image)
            .map(|file| flock(&file, FlockOperation::LockExclusive).map(|()| file))
            .unwrap();
        assert!(matches!(resize(&image, 6 << 30, &|_| {}), Err(ResizeError::InUse { .. })));
    }

    #[test]
    fn its_own_bar_says_how_far_it_is() {
        let at = |said: &str| {
            let words = tempfile::tempfile().unwrap();
            words.write_all_at(said.as_bytes(), 0).unwrap();
            permille(&words)
        };
        let bar = |done: usize| format!("{}{}{}", "-".repeat(40), "\u{8}".repeat(40), "X".repeat(done));
        let begin = "Resizing the filesystem on /X/d to 76800 (4k) blocks.\n";
        let second = format!("{begin}Begin pass 2 (max = 16384)\nRelocating blocks             {}", bar(20));
        let third =
            format!("{second}{}\nBegin pass 3 (max = 32)\nScanning inode table          ", "X".repeat(20));
        assert_eq!([at(""), at(begin), at(&second), at(&third)], [0, 0, 450, 850]);
        assert_eq!(
            [at(&format!("{third}{}", bar(40))), at("Begin pass 9 (max"), at("Begin pass ")],
            [900, 0, 0]
        );
    }

    #[test]
    fn blocks_that_move_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("ext4.img");
        drop(format(&image, 8 << 30).unwrap());
        let (content, back) = (folder.path().join("content"), folder.path().join("back"));
        let bytes: Vec<u8> = (0..32_u32 << 20).map(|at| (at % 251) as u8).collect();
        sampan_sys::fs::write_atomic(&content, &bytes, 0o600).unwrap();
        let debugfs = |request: &str| {
            Tool::new("debugfs", LIMIT).unwrap().args(["-w", "-R", request]).arg(&image).output().unwrap();
        };
        // The first 400 MiB are taken while it is written, so that it has to move.
        debugfs("setb 10000 90000");
        debugfs(&format!("write {} content", content.display()));
        debugfs("freeb 10000 90000");
        let heard = std::sync::Mutex::new(Vec::new());
        resize(&image, 300 << 20, &|permille| heard.lock().unwrap().push(permille)).unwrap();
        let heard = heard.into_inner().unwrap();
        assert!(
            heard.is_sorted() && heard.last().is_some_and(|last| (850..=1000).contains(last)),
            "{heard:?}"
        );
        debugfs(&format!("dump content {}", back.display()));
        assert!(std::fs::read(&back).unwrap() == bytes, "what is in it is what was in it");
    }

    #[test]
    fn what_is_no_file_system_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("ext4.img");
        super::super::new_file(&image).unwrap().set_len(1 << 30).unwrap();
        assert!(matches!(resize(&image, 2 << 30, &|_| {}), Err(ResizeError::Damaged { .. })));
        assert_eq!((image.metadata().unwrap().len(), image.metadata().unwrap().blocks()), (1 << 30, 0));
    }
}
