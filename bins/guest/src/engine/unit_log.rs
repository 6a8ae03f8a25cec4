//! The log files of the parts: opened for them, shortened when long, quoted when a part fails.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use sampan_model::engine::Failure;

use super::part::Part;
use crate::verb;

const LONGEST: u64 = 16 * 1024 * 1024;
const KEPT: u64 = 4 * 1024 * 1024;
const CHECK_EVERY: Duration = Duration::from_mins(1);

/// Enough for the last lines, little enough to be sent around.
const QUOTED: u64 = 64 * 1024;

/// Opens the log for a part that is about to start. Everything written goes to the end, wherever that is by then: this
/// is what lets [`rotate_for_ever`] shorten the file under a running program.
pub(super) fn open(part: Part) -> anyhow::Result<File> {
    let path = part.log();
    let open = || {
        std::fs::create_dir_all(path.parent().expect("logs lie in a folder"))?;
        File::options().create(true).append(true).open(&path)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

/// The length now: where the lines of a part that starts now begin.
pub(super) fn length(log: &File) -> u64 {
    log.metadata().map_or(0, |file| file.len())
}

/// The last lines written since the log had the length `from`.
pub(super) fn last_lines(part: Part, from: u64) -> Vec<String> {
    // The failure is told without them when they cannot be had.
    last_lines_of(&part.log(), from).unwrap_or_default()
}

/// Looks after the logs from time to time.
pub(super) async fn rotate_for_ever() {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        for part in [Part::Containerd, Part::Dockerd] {
            let path = part.log();
            let rotated = tokio::task::spawn_blocking(move || rotate(&path, LONGEST, KEPT)).await;
            if let Ok(Err(error)) = rotated {
                verb::log(&format!("cannot shorten the log of {part}: {}", verb::chain(&error)));
            }
        }
    }
}

/// Of a log longer than `longest` the last `kept` bytes go to `<log>.1`, and it starts empty again. What is written in
/// between is lost: a few lines, against a program that would have to be restarted to follow a rename.
fn rotate(path: &Path, longest: u64, kept: u64) -> anyhow::Result<()> {
    let mut log = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if length(&log) <= longest {
        return Ok(());
    }
    let end = read_end(&mut log, 0, kept)?;
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    sampan_sys::fs::write_atomic(Path::new(&older), &end, 0o640)?;
    log.set_len(0)?;
    Ok(())
}

fn last_lines_of(path: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut log = File::open(path)?;
    // Shorter than it was: shortened meanwhile, so all of it is new.
    let from = if from <= length(&log) { from } else { 0 };
    let text = read_end(&mut log, from, QUOTED)?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(Failure::LOG_LINES);
    Ok(lines[first..].iter().map(|line| (*line).to_owned()).collect())
}

/// The last `at_most` bytes after `from`, beginning with a whole line.
fn read_end(log: &mut File, from: u64, at_most: u64) -> io::Result<Vec<u8>> {
    let start = length(log).saturating_sub(at_most);
    let cut = start > from;
    log.seek(SeekFrom::Start(start.max(from)))?;
    let mut bytes = Vec::new();
    log.take(at_most).read_to_end(&mut bytes)?;
    if cut && let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        bytes.drain(..=end);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;

    fn log_in(folder: &tempfile::TempDir, text: &str) -> (PathBuf, File) {
        let path = folder.path().join("x.log");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        (path, file)
    }

    fn numbered(count: usize) -> String {
        (0..count).fold(String::new(), |text, n| text + &format!("line {n}\n"))
    }

    #[test]
    fn quotes_the_last_lines_of_this_start() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut file) = log_in(&folder, "an older start\n");
        let from = length(&file);
        assert!(last_lines_of(&path, from).unwrap().is_empty());
        file.write_all(b"one\ntwo \xff").unwrap();
        assert_eq!(last_lines_of(&path, from).unwrap(), ["one", "two \u{fffd}"]);
        file.write_all(format!("\n{}", numbered(60)).as_bytes()).unwrap();
        let lines = last_lines_of(&path, from).unwrap();
        assert_eq!((lines.len(), &lines[0][..], &lines[49][..]), (50, "line 10", "line 59"));
        assert_eq!(last_lines_of(&path, 1_000_000).unwrap().len(), 50, "shortened meanwhile");
    }

    #[test]
    fn a_long_log_is_cut_at_a_line_and_its_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut file) = log_in(&folder, &numbered(100));
        rotate(&path, 100_000, 20).unwrap();
        assert!(!folder.path().join("x.log.1").exists());
        rotate(&path, 100, 20).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("x.log.1")).unwrap(), "line 98\nline 99\n");
        file.write_all(b"next\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "next\n");
        rotate(&folder.path().join("none.log"), 0, 0).unwrap();
    }
}
