//! Archives: known by their first bytes, unpacked and packed by GNU tar in a root of its own.
//!
//! An archive may be anybody's. What tar can reach is the target and nothing else (`sampan-guest confine`), whatever the
//! names and links in it say.

mod filter;

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::guest::{ConfineSpec, ConfinedRoot, ConfinedTree};

pub(crate) use self::filter::Filter;
use crate::cancel::Cancel;
use crate::ticks;
use crate::tools::guest::Guest;
use crate::tools::{Tool, ToolError, find_confined};

/// What is kept besides names, contents, permissions and times. Numbers, not names: the host's users are not those of
/// the archive.
const ATTRIBUTES: [&str; 4] = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(200);

/// A packer writes, and reads large files, in records of this size: of those of 10 KiB, which tar has by itself, there are so
/// many that they take most of its time. At its end an archive is filled up to a whole one. In units of 512 bytes.
const BLOCKING_FACTOR: u64 = 128;
const RECORD: u64 = BLOCKING_FACTOR * 512;

/// A packer tells how far it is after this many records.
const CHECKPOINT: u64 = 128;

/// How many of tar's complaints are kept, and how many characters of each: they may quote names of any length.
const COMPLAINTS: usize = 5;
const LINE: usize = 200;

/// Exit status of tar when files changed while it read them, and all else went well (GNU tar manual, "Exit status").
const CHANGED: i32 = 1;

/// What tar says without meaning that anything is wrong, or beside what is wrong.
const CHATTER: [&str; 5] = [
    "Removing leading",
    "Extracting contiguous files as regular files",
    ": socket ignored",
    "Exiting with failure status due to previous errors",
    "Error is not recoverable: exiting now",
];

/// Why an archive could not be unpacked or packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("it is not a tar archive (plain, or compressed by gzip, xz, bzip2 or zstd)")]
    NoArchive,
    #[error("it cannot be read")]
    Read(#[source] std::io::Error),
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl ArchiveError {
    /// Whether a full disk is the reason.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::Tool(source) if source.is_disk_full())
    }
}

impl Explain for ArchiveError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoArchive => ErrorCode::Invalid,
            Self::Read(_) => ErrorCode::Failed,
            Self::Tool(source) => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoArchive | Self::Read(_) => None,
            Self::Tool(source) => source.hint(),
        }
    }
}

/// An archive to be unpacked.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    /// What was read of a pipe to see what it is; of a file nothing was read.
    head: Vec<u8>,
    filter: Filter,
    /// There is not one byte.
    empty: bool,
    /// Where in a file it begins and ends.
    range: Option<(u64, u64)>,
    /// Options of tar for members that are left out.
    without: &'static [&'static str],
}

impl Archive {
    /// Looks at the first bytes of a file or pipe, which may keep them back.
    pub(crate) fn open(mut file: File, cancel: &Cancel) -> Result<Self, ArchiveError> {
        let regular = file.metadata().map_err(ArchiveError::Read)?.is_file();
        let mut head = Vec::new();
        let mut range = None;
        if regular {
            let start = file.stream_position().map_err(ArchiveError::Read)?;
            let end = file.metadata().map_err(ArchiveError::Read)?.len().max(start);
            head.resize(filter::HEADER.min(usize::try_from(end - start).unwrap_or(usize::MAX)), 0);
            file.read_exact_at(&mut head, start).map_err(ArchiveError::Read)?;
            range = Some((start, end));
        } else {
            cancel
                .reading(&file)
                .take(filter::HEADER as u64)
                .read_to_end(&mut head)
                .map_err(ArchiveError::Read)?;
        }
        let empty = head.is_empty();
        let filter = if empty { Filter::None } else { Filter::of(&head).ok_or(ArchiveError::NoArchive)? };
        if regular {
            head.clear();
        }
        Ok(Self { file, head, filter, empty, range, without: &[] })
    }

    /// The same without the file by which programs know that they are in a container of Docker's.
    pub(crate) fn of_container(self) -> Self {
        Self {
            without: &["--anchored", "--no-wildcards", "--exclude=.dockerenv", "--exclude=./.dockerenv"],
            ..self
        }
    }

    /// Whether there is not one byte: nothing will be unpacked.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }

    /// Unpacks it into an empty root. `told` hears how far it is, in thousandths of the archive. What could not be kept,
    /// or looks wrong, is returned; at that time all that was unpacked is on the disk.
    pub(crate) fn unpack(
        self,
        guest: &Guest,
        into: ConfinedRoot,
        limit: Duration,
        told: &(dyn Fn(u16) + Sync),
    ) -> Result<Vec<String>, ArchiveError> {
        if self.empty {
            return Ok(Vec::new());
        }
        let (tar, compression) = tools(self.filter)?;
        let mut complaints: Vec<String> = self.looks_cut_off().into_iter().collect();
        let tree = ConfinedTree { at: PathBuf::from("/target"), root: into, writable: true };
        let spec = ConfineSpec { trees: vec![tree], input: Some(self.head) };
        let position = self.file.try_clone().map_err(ArchiveError::Read)?;
        let tool = guest
            .confine("tar", &spec, limit)
            .input_from(self.file)
            .arg(&tar)
            .args(["--extract", "--preserve-permissions", "--warning=no-timestamp"])
            .args(["--warning=no-unknown-keyword", "--file=-"])
            .args(self.without)
            .args(ATTRIBUTES)
            .args(compression);
        let tick = || {
            if let Some((start, end)) = self.range
                && let Ok(place) = (&position).stream_position()
            {
                told(permille(place.saturating_sub(start), end - start));
            }
        };
        let said = ticks::during(TICK, tick, || run(tool, &tar, |_| false))?;
        complaints.extend(said);
        Ok(complaints)
    }

    /// GNU tar takes the end of the file for the end of the archive, without a word.
    fn looks_cut_off(&self) -> Option<String> {
        let (start, end) = self.range.filter(|_| self.filter == Filter::None)?;
        let mut tail = [1; 2 * filter::HEADER];
        let from = end.checked_sub(tail.len() as u64).filter(|from| *from >= start);
        let read = from.is_some_and(|from| self.file.read_exact_at(&mut tail, from).is_ok());
        let whole = read && tail.iter().all(|byte| *byte == 0);
        (!whole).then(|| "the archive has no end mark: it may be cut off".to_owned())
    }
}

/// Writes a root file system to `output` as a tar whose members begin with `./`. `told` hears how many bytes were
/// written before compression.
pub(crate) fn pack(
    guest: &Guest,
    root: ConfinedRoot,
    filter: Filter,
    output: File,
    limit: Duration,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Vec<String>, ArchiveError> {
    let (tar, compression) = tools(filter)?;
    let tree = ConfinedTree { at: PathBuf::from("/source"), root, writable: false };
    let tool = guest
        .confine("tar", &ConfineSpec { trees: vec![tree], input: None }, limit)
        .output_to(output)
        .arg(&tar)
        // POSIX' own format has room for nanoseconds.
        .args(["--create", "--one-file-system", "--sparse", "--format=posix", "--file=-"])
        .arg(format!("--blocking-factor={BLOCKING_FACTOR}"))
        .arg(format!("--checkpoint={CHECKPOINT}"))
        .args(ATTRIBUTES)
        .args(compression)
        .arg(".");
    let written = |line: &str| {
        let number = line.rsplit_once(" checkpoint ").and_then(|(_, number)| number.parse::<u64>().ok());
        number.map(|number| told(RECORD.saturating_mul(number))).is_some()
    };
    Ok(or_changed(run(tool, &tar, written))?)
}

/// Of a tree that is in use, what is there is written as it was found; what changed meanwhile is a complaint.
fn or_changed(packed: Result<Vec<String>, ToolError>) -> Result<Vec<String>, ToolError> {
    match packed {
        Err(ToolError::Failed { status, stderr, .. }) if status.code() == Some(CHANGED) => Ok(stderr),
        packed => packed,
    }
}

/// Runs tar; what it complains of, whether it failed or not. `is_progress` takes the lines that are no complaint.
fn run(tool: Tool, tar: &Path, is_progress: impl Fn(&str) -> bool + Sync) -> Result<Vec<String>, ToolError> {
    let said = Mutex::new(Vec::new());
    let own_name = format!("{}: ", tar.display());
    let outcome = tool.run(None, |line| {
        let own = line.strip_prefix(&own_name).map(|rest| format!("tar: {rest}"));
        let line = own.as_deref().unwrap_or(line);
        if is_progress(line) || CHATTER.iter().any(|chatter| line.contains(chatter)) {
            return;
        }
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let line: String = line.chars().take(LINE).collect();
        if said.len() < COMPLAINTS && !said.contains(&line) {
            said.push(line);
        }
    });
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    match outcome {
        Ok(_) => Ok(said),
        // The first words tell why, and those of the tool are the last.
        Err(ToolError::Failed { program, status, .. }) if !said.is_empty() => {
            Err(ToolError::Failed { program, status, stderr: said })
        }
        Err(error) => Err(error),
    }
}

/// The paths of tar, and of the filter's program as an option for it.
fn tools(filter: Filter) -> Result<(PathBuf, Option<String>), ToolError> {
    let path = |program: &str| {
        find_confined(program).ok_or_else(|| ToolError::Missing { program: program.to_owned() })
    };
    let option = |program| {
        // Of those that pack it is much the slowest, and has a way to use all processors.
        let threads = if filter == Filter::Xz { " --threads=0" } else { "" };
        Ok(format!("--use-compress-program={}{threads}", path(program)?.display()))
    };
    Ok((path("tar")?, filter.program().map(option).transpose()?))
}

fn permille(done: u64, total: u64) -> u16 {
    u16::try_from(done.min(total).saturating_mul(1000) / total.max(1)).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use std::io::{SeekFrom, Write};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn open(file: File) -> Result<Archive, ArchiveError> {
        Archive::open(file, &Cancel::default())
    }

    #[test]
    fn a_file_is_looked_at_from_where_it_is_and_left_there() {
        let mut bytes = vec![b'x'; 100];
        bytes.extend_from_slice(b"BZh91");
        let mut at_the_end = file(&bytes);
        at_the_end.seek(SeekFrom::Start(100)).unwrap();
        let archive = open(at_the_end).unwrap();
        assert_eq!(
            (archive.filter, archive.range, archive.is_empty()),
            (Filter::Bzip2, Some((100, 105)), false)
        );
        assert_eq!((&archive.file).stream_position().unwrap(), 100);
        assert!(archive.head.is_empty(), "it is read again");
        assert!(matches!(open(file(b"plain text")), Err(ArchiveError::NoArchive)));
        assert!(open(file(b"")).unwrap().is_empty());
    }

    #[test]
    fn what_was_read_of_a_pipe_is_kept() {
        let (pipe, mut other) = std::io::pipe().unwrap();
        other.write_all(b"BZh91").unwrap();
        drop(other);
        let archive = open(File::from(std::os::fd::OwnedFd::from(pipe))).unwrap();
        assert_eq!((archive.head.as_slice(), archive.range), (b"BZh91".as_slice(), None));
    }

    #[test]
    fn a_plain_archive_without_an_end_is_noticed() {
        let open = |bytes: &[u8]| Archive { range: Some((0, bytes.len() as u64)), ..plain(file(bytes)) };
        let plain_with_end = [vec![b'x'; 512], vec![0; 1024]].concat();
        assert_eq!(open(&plain_with_end).looks_cut_off(), None);
        assert!(open(&plain_with_end[..1024]).looks_cut_off().is_some());
        assert!(open(&plain_with_end[..100]).looks_cut_off().is_some());
    }

    fn plain(file: File) -> Archive {
        Archive { file, head: Vec::new(), filter: Filter::None, empty: false, range: None, without: &[] }
    }

    #[test]
    fn files_that_change_while_they_are_packed_are_complaints_and_no_failure() {
        let tool = |status: u8| {
            let script = format!("echo 'tar: ./log: file changed as we read it' >&2; exit {status}");
            Tool::new("sh", Duration::from_mins(1)).unwrap().args(["-c", &script])
        };
        let packed = |status| or_changed(run(tool(status), Path::new("/x/tar"), |_| false));
        assert_eq!(packed(1).unwrap(), ["tar: ./log: file changed as we read it"]);
        assert!(matches!(packed(2), Err(ToolError::Failed { .. })));
    }

    #[test]
    fn complaints_are_the_first_lines_and_short() {
        let script = "echo 'I: 1' >&2; for n in 1 2 3 4 5 6 7; do echo \"/x/tar: bad $n\" >&2; done; exit 2";
        let tool = || Tool::new("sh", Duration::from_mins(1)).unwrap().args(["-c", script]);
        let failed = run(tool(), Path::new("/x/tar"), |line| line.starts_with("I: "));
        let Err(ToolError::Failed { stderr, .. }) = failed else { panic!("{failed:?}") };
        assert_eq!(stderr, ["tar: bad 1", "tar: bad 2", "tar: bad 3", "tar: bad 4", "tar: bad 5"]);
    }
}
