//! The log file of one unit: its last lines, and the new ones.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;

use crate::cli::Tail;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// A log file that is read on and on. It may be missing yet, be cut off, or be replaced by a new one.
#[derive(Debug)]
pub(crate) struct UnitLog {
    /// The name of what wrote it.
    pub(crate) unit: String,
    path: PathBuf,
    file: Option<Open>,
    /// A line without its end yet.
    pending: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

impl UnitLog {
    /// The log of `unit` in the file `path`, which may be missing.
    pub(crate) fn new(unit: String, path: PathBuf) -> Self {
        Self { unit, path, file: None, pending: Vec::new() }
    }

    /// Gives the last lines to `print`.
    pub(crate) fn last(
        &mut self,
        tail: Tail,
        print: &mut impl FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if let (Some(open), Tail::Lines(lines)) = (self.open()?, tail) {
            open.offset = tail_offset(&open.file, lines)?;
        }
        self.new_lines(print)
    }

    /// Gives what was written since the last call to `print`.
    pub(crate) fn new_lines(
        &mut self,
        print: &mut impl FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.read_on(print)?;
        let replaced = match (&self.file, std::fs::metadata(&self.path)) {
            (Some(open), Ok(now)) => now.ino() != open.inode,
            _ => false,
        };
        if replaced {
            self.file = None;
            self.end_line(print)?;
            self.read_on(print)?;
        }
        Ok(())
    }

    /// Gives a last line that has no end to `print`.
    pub(crate) fn end_line(
        &mut self,
        print: &mut impl FnMut(&str, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let line = std::mem::take(&mut self.pending);
        if line.is_empty() { Ok(()) } else { print(&self.unit, &line) }
    }

    fn read_on(&mut self, print: &mut impl FnMut(&str, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(open) = self.open()? else { return Ok(()) };
        let size = open.file.metadata()?.len();
        if size < open.offset {
            // Cut off: what is in it now is new.
            open.offset = 0;
        }
        open.file.seek(SeekFrom::Start(open.offset))?;
        let mut block = vec![0; BLOCK];
        loop {
            let Some(open) = &mut self.file else { return Ok(()) };
            let count = open.file.read(&mut block)?;
            if count == 0 {
                return Ok(());
            }
            open.offset += count as u64;
            for piece in block[..count].split_inclusive(|byte| *byte == b'\n') {
                self.pending.extend_from_slice(piece);
                if self.pending.pop_if(|last| *last == b'\n').is_some() {
                    print(&self.unit, &self.pending)?;
                    self.pending.clear();
                }
            }
        }
    }

    fn open(&mut self) -> io::Result<Option<&mut Open>> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => {
                    let inode = file.metadata()?.ino();
                    self.file = Some(Open { file, inode, offset: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.file.as_mut())
    }
}

/// Where the last `lines` lines of `file` begin.
fn tail_offset(file: &File, lines: usize) -> io::Result<u64> {
    let size = file.metadata()?.len();
    if lines == 0 {
        return Ok(size);
    }
    let mut end = size;
    let mut left = lines;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let part = &mut block[..usize::try_from(end - begin).unwrap_or(BLOCK)];
        file.read_exact_at(part, begin)?;
        for (index, byte) in part.iter().enumerate().rev() {
            let next = begin + index as u64 + 1;
            // The end of the last line begins no line.
            if *byte == b'\n' && next < size {
                left -= 1;
                if left == 0 {
                    return Ok(next);
                }
            }
        }
        end = begin;
    }
    Ok(0)
}

/// `line` as it is shown: behind the unit's name when several units are shown, the bars one below the other.
pub(crate) fn prefixed(width: Option<usize>, unit: &str, line: &[u8]) -> Vec<u8> {
    let mut text = match width {
        Some(width) => format!("{unit:<width$} | ").into_bytes(),
        None => Vec::new(),
    };
    text.extend_from_slice(line);
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn lines(log: &mut UnitLog, tail: Option<Tail>) -> Vec<String> {
        let mut seen = Vec::new();
        let mut print = |_: &str, line: &[u8]| {
            seen.push(String::from_utf8(line.to_vec()).unwrap());
            Ok(())
        };
        match tail {
            Some(tail) => log.last(tail, &mut print).unwrap(),
            None => log.new_lines(&mut print).unwrap(),
        }
        seen
    }

    #[test]
    fn last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        append(&path, "one\ntwo\nthree\n");
        for (tail, expected) in [
            (Tail::All, &["one", "two", "three"][..]),
            (Tail::Lines(2), &["two", "three"]),
            (Tail::Lines(9), &["one", "two", "three"]),
            (Tail::Lines(0), &[]),
        ] {
            assert_eq!(
                lines(&mut UnitLog::new("x".to_owned(), path.clone()), Some(tail)),
                expected,
                "{tail:?}"
            );
        }
    }

    #[test]
    fn last_lines_of_a_file_of_many_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let text: String =
            (0..50_000).flat_map(|number| [format!("line {number}"), "\n".to_owned()]).collect();
        append(&path, &text);
        let found = lines(&mut UnitLog::new("x".to_owned(), path), Some(Tail::Lines(40_000)));
        assert_eq!((found.len(), found[0].as_str()), (40_000, "line 10000"));
    }

    #[test]
    fn a_file_that_comes_late_is_cut_off_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = UnitLog::new("x".to_owned(), path.clone());
        assert!(lines(&mut log, Some(Tail::All)).is_empty());
        append(&path, "one\ntw");
        assert_eq!(lines(&mut log, None), ["one"]);
        append(&path, "o\n");
        assert_eq!(lines(&mut log, None), ["two"]);
        File::create(&path).unwrap();
        append(&path, "3\n");
        assert_eq!(lines(&mut log, None), ["3"]);
        append(&path, "4\n");
        std::fs::rename(&path, folder.path().join("x.log.1")).unwrap();
        append(&path, "5\n");
        assert_eq!(lines(&mut log, None), ["4", "5"]);
    }

    #[test]
    fn names_of_units_are_aligned() {
        assert_eq!(prefixed(Some(10), "api", b"x"), b"api        | x\n");
        assert_eq!(prefixed(None, "api", b"\xff"), b"\xff\n");
    }
}
