//! `/etc/wsl.conf` of the distribution.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use sampan_model::config::{self, distro};

/// More than anybody writes by hand.
const LIMIT: u64 = 64 << 10;

/// The most warnings that are told. They travel with what PID 1 is started with, which has an end.
const MOST: usize = 20;

/// Reads it. What is wrong with it is said and otherwise ignored: a distribution whose file is broken must start, or nobody
/// could mend it.
pub(super) fn read(warnings: &mut Vec<String>) -> distro::WslConf {
    let bytes = match read_regular(Path::new(distro::PATH), LIMIT) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => {
            warnings.push(config::unreadable(distro::PATH, &error.to_string()).to_string());
            Vec::new()
        }
    };
    let parsed = distro::WslConf::parse(&bytes);
    warnings.extend(parsed.warnings.iter().take(MOST).map(ToString::to_string));
    if let Some(more @ 1..) = parsed.warnings.len().checked_sub(MOST) {
        warnings.push(format!("{}: and {more} more", distro::PATH));
    }
    parsed.config
}

/// The whole of a regular file of at most `limit` bytes; none when there is no file. Of a foreign image anything may be
/// there: opening a device acts on it, and opening a pipe waits for ever.
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let is_regular = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    let other = || io::Error::new(ErrorKind::InvalidData, "it is no regular file");
    match rustix::fs::stat(path) {
        Ok(stat) if is_regular(stat.st_mode) => {}
        Ok(_) => return Err(other()),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    // Somebody inside may have exchanged it meanwhile: then a pipe does not wait, and of devices only harmless ones open.
    if !is_regular(rustix::fs::fstat(&file)?.st_mode) {
        return Err(other());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {} KiB", limit >> 10)));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystems::write_fresh;

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wsl.conf");
        assert_eq!(read_regular(&path, 4).unwrap(), None);
        write_fresh(&path, "1234").unwrap();
        assert_eq!(read_regular(&path, 4).unwrap(), Some(b"1234".to_vec()));
        assert_eq!(read_regular(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        for other in ["/dev/zero", "/"] {
            assert_eq!(read_regular(Path::new(other), 4).unwrap_err().kind(), ErrorKind::InvalidData);
        }
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(read_regular(&fifo, 4).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
