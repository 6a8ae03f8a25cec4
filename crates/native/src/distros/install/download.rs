//! What is fetched: lists and archives, from the net by `curl`, or from a file of this machine.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::OFlags;
use sampan_backend::Explain;
use sampan_backend::error::chain;
use sampan_model::size;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::manifest::file_path;
use sha2::{Digest, Sha256};

use crate::cancel::Cancel;
use crate::digest;
use crate::distros::progress::Progress;
use crate::tools::{Tool, ToolError};

/// The largest list, in bytes; Microsoft's has 20 KiB.
const LIST_MAX: u64 = 8 << 20;

/// How long a list may take.
const LIST_LIMIT: Duration = Duration::from_mins(1);

/// How long an archive may take. A transfer that stands still is given up after [`STALLED`].
const ARCHIVE_LIMIT: Duration = Duration::from_hours(12);

/// How long curl waits for a connection, and for a byte of one that stands still, in seconds.
const STALLED: &str = "30";

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A file of this machine.
    File(PathBuf),
    /// An address of the net.
    Web(String),
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("`{0}` does not begin with https://, http:// or file:///")]
    NoAddress(String),
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is not a regular file")]
    NotRegular { path: PathBuf },
    #[error("It is larger than {}", size::human(*limit))]
    TooLarge { limit: u64 },
    #[error("What is downloaded cannot be kept in {folder}")]
    Keep { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Curl(#[from] ToolError),
}

/// An archive that was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The archive, to be read from its beginning. One from the net has no name, so that nobody else can change it and
    /// nothing is left of it, whatever happens.
    pub(super) file: File,
    /// Its SHA-256.
    pub(super) sha256: [u8; 32],
}

impl Address {
    /// What an address leads to.
    pub(super) fn of(url: &str) -> Result<Self, FetchError> {
        let starts =
            |start: &str| url.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        if starts("https://") || starts("http://") {
            return Ok(Self::Web(url.to_owned()));
        }
        let path = file_path(url).filter(|path| path.is_absolute());
        path.map(Self::File).ok_or_else(|| FetchError::NoAddress(url.to_owned()))
    }
}

impl FetchError {
    /// The failure that `describe` makes of a code and a sentence, with what to do about it.
    pub(super) fn failure(&self, describe: impl FnOnce(Code, &str) -> Failure) -> Failure {
        let (code, why) = self.reason();
        let failure = describe(code, &why);
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    fn reason(&self) -> (Code, String) {
        let code = match self {
            Self::Curl(error) => return of_curl(error),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Code::FileNotFound,
            Self::Keep { source, .. } if source.kind() == io::ErrorKind::StorageFull => Code::DiskFull,
            Self::NoAddress(_) => Code::InvalidArg,
            _ => Code::Fail,
        };
        (code, format!("{}.", chain(self)))
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Curl(error @ (ToolError::Missing { .. } | ToolError::Start { .. })) => error.hint(),
            Self::Curl(_) => {
                Some("check the address and the network, and https_proxy if there is a proxy".to_owned())
            }
            Self::Keep { .. } => Some("free some space on the disk of the state folder".to_owned()),
            _ => None,
        }
    }
}

/// The code of a failure of curl, by the exit codes of curl(1), and curl's own words where the code has none.
fn of_curl(error: &ToolError) -> (Code, String) {
    let ToolError::Failed { status, stderr, .. } = error else {
        let code = if matches!(error, ToolError::Deadline { .. }) { Code::Timeout } else { Code::Fail };
        return (code, format!("{}.", chain(error)));
    };
    let said = stderr.iter().rev().find_map(|line| line.strip_prefix("curl: (")?.split_once(") "));
    let code = match (status.code(), said) {
        (Some(5 | 6), _) => Code::NameNotResolved,
        (Some(7), _) => Code::CannotConnect,
        (Some(28), _) => Code::Timeout,
        (Some(22), Some((_, said))) if said.ends_with(" 404") => Code::HttpNotFound,
        (_, Some((_, said))) => return (Code::Fail, format!("{said}.")),
        (_, None) => return (Code::Fail, format!("{}.", chain(error))),
    };
    (code, code.text().to_owned())
}

/// Reads a list.
pub(super) fn list(at: &Address, cancel: &Cancel) -> Result<Vec<u8>, FetchError> {
    let mut text = Vec::new();
    match at {
        Address::File(path) => {
            let read = |source| FetchError::Read { path: path.clone(), source };
            open(path)?.take(LIST_MAX + 1).read_to_end(&mut text).map_err(read)?;
        }
        Address::Web(url) => curl(url, LIST_LIMIT, cancel, &AtomicU64::new(0), |bytes| {
            text.extend_from_slice(bytes);
            if text.len() as u64 > LIST_MAX { Err(FetchError::TooLarge { limit: LIST_MAX }) } else { Ok(()) }
        })?,
    }
    if text.len() as u64 > LIST_MAX { Err(FetchError::TooLarge { limit: LIST_MAX }) } else { Ok(text) }
}

/// Brings an archive here. One from the net is kept in `folder` until it is closed.
pub(super) fn archive(at: &Address, folder: &Path, progress: &Progress<'_>) -> Result<Fetched, FetchError> {
    match at {
        Address::File(path) => {
            let read = |source| FetchError::Read { path: path.clone(), source };
            let mut file = open(path)?;
            let sha256 = digest::sha256(progress.asker.cancel.reading(&file)).map_err(read)?;
            file.rewind().map_err(read)?;
            Ok(Fetched { file, sha256 })
        }
        Address::Web(url) => {
            let keep = |source| FetchError::Keep { folder: folder.to_owned(), source };
            let mut file = tempfile::tempfile_in(folder).map_err(keep)?;
            let mut hash = Sha256::new();
            let (total, mut here) = (AtomicU64::new(0), 0);
            curl(url, ARCHIVE_LIMIT, progress.asker.cancel, &total, |bytes| {
                hash.update(bytes);
                file.write_all(bytes).map_err(keep)?;
                here += bytes.len() as u64;
                // Not every server knows how much there is.
                match total.load(Ordering::Relaxed) {
                    0 => {}
                    total => progress.told(here, total),
                }
                Ok(())
            })?;
            progress.told(here, here);
            file.rewind().map_err(keep)?;
            Ok(Fetched { file, sha256: hash.finalize().into() })
        }
    }
}

/// A regular file; anything else might never end.
fn open(path: &Path) -> Result<File, FetchError> {
    let read = |source| FetchError::Read { path: path.to_owned(), source };
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(read)?;
    let regular = file.metadata().map_err(read)?.is_file();
    if regular { Ok(file) } else { Err(FetchError::NotRegular { path: path.to_owned() }) }
}

/// Gives what is at `url` to `take`, piece by piece; `total` becomes its size as soon as that is known.
fn curl(
    url: &str,
    limit: Duration,
    cancel: &Cancel,
    total: &AtomicU64,
    mut take: impl FnMut(&[u8]) -> Result<(), FetchError> + Send,
) -> Result<(), FetchError> {
    let talk = |source| ToolError::Talk { program: "curl".to_owned(), source };
    let (mut output, input) = io::pipe().map_err(talk)?;
    let tool = Tool::new("curl", limit)?
        .stopped_by(cancel)
        // First: whoever runs the service may have a .curlrc that changes what is printed.
        .args(["--disable", "--silent", "--show-error", "--fail", "--location", "--max-redirs", "10"])
        .args(["--globoff", "--proto", "=http,https", "--proto-redir", "=http,https"])
        .args(["--connect-timeout", STALLED, "--speed-limit", "1", "--speed-time", STALLED])
        // Headers go to standard error, whose lines are told as they come.
        .args(["--dump-header", "/proc/self/fd/2", "--url", url])
        .output_to(File::from(OwnedFd::from(input)));
    std::thread::scope(|scope| {
        // Whoever takes no more closes the pipe, and thereby ends curl.
        let reader = scope.spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                match output.read(&mut buffer).map_err(talk)? {
                    0 => return Ok::<(), FetchError>(()),
                    count => take(&buffer[..count])?,
                }
            }
        });
        let ran = tool.run(None, |line| note_length(line, total));
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ran?;
        Ok(())
    })
}

/// The size of what follows, from a line of a response's head. A redirection has a head of its own.
fn note_length(line: &str, total: &AtomicU64) {
    if line.starts_with("HTTP/") {
        total.store(0, Ordering::Relaxed);
    } else if let Some((key, value)) = line.split_once(':')
        && key.eq_ignore_ascii_case("content-length")
        && let Ok(length) = value.trim().parse()
    {
        total.store(length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
