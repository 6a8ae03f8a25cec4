//! How verbs are asked and answer: JSON on standard input, one JSON line on standard output.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sampan_model::guest::{Answer, ProcessId};
use sampan_sys::SysError;
use sampan_sys::process::{self, ProcessRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs a verb that reads a spec and prints an [`Answer`].
pub(crate) fn answer<T: DeserializeOwned>(run: impl FnOnce(&T) -> anyhow::Result<Answer>) -> ExitCode {
    tell(&read_spec::<T>().and_then(|spec| run(&spec)).unwrap_or_else(|error| failed(&error)))
}

fn tell(answer: &Answer) -> ExitCode {
    let mut line = serde_json::to_string(answer).expect("an answer is plain data");
    line.push('\n');
    // The asker may be gone; there is nobody left to tell then.
    let written = std::io::stdout().write_all(line.as_bytes());
    ExitCode::from(u8::from(written.is_err()))
}

/// As [`answer`], for a verb whose input goes on after the line of the spec: it gets the rest as it comes.
pub(crate) fn answer_on<T: DeserializeOwned>(
    run: impl FnOnce(&T, &mut dyn BufRead) -> anyhow::Result<Answer>,
) -> ExitCode {
    let mut input = BufReader::new(std::io::stdin());
    let answer = read_line(&mut input).and_then(|spec| run(&spec, &mut input));
    tell(&answer.unwrap_or_else(|error| failed(&error)))
}

/// What is answered when something failed.
pub(crate) fn failed(error: &anyhow::Error) -> Answer {
    Answer::Failed { message: chain(error), busy: is_busy(error) }
}

/// A failure that another process told of.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Told {
    pub(crate) message: String,
    /// Whether something still uses the object.
    pub(crate) busy: bool,
}

/// The exit code of a verb that has no answer but its status.
pub(crate) fn status(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sampan-guest: {}", chain(&error));
            ExitCode::from(70)
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One line into the log (standard error of everything that runs for long), with the time as RFC 3339 has it.
pub(crate) fn log(message: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let _ = writeln!(std::io::stderr(), "{} {message}", rfc3339(now.as_secs(), now.subsec_millis()));
}

/// UTC in the form `2026-11-22T18:08:17.093Z`.
fn rfc3339(seconds: u64, millis: u32) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date in eras of 400 years that begin on 1 March (H. Hinnant, "chrono-compatible low-level date
    // algorithms"); right for every date from 1970 on.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// What a new process waits for: its parent has recorded it.
pub(crate) const GO: &[u8] = b"go";

/// Waits for [`GO`]; an error when the parent is gone or gave up.
pub(crate) fn wait_for_go(wait: &mut impl Read) -> anyhow::Result<()> {
    let mut said = Vec::new();
    wait.read_to_end(&mut said).context("cannot wait for the parent")?;
    anyhow::ensure!(said == GO, "the parent gave up");
    Ok(())
}

/// Lets a child that waits for [`GO`] go on, and reads what it says until it has nothing more to say.
pub(crate) fn let_go(mut go: PipeWriter, ready: PipeReader) -> anyhow::Result<String> {
    go.write_all(GO).context("the new process died")?;
    drop(go);
    all_of(ready)
}

/// What a new process says until it has nothing more to say.
pub(crate) fn all_of(mut ready: PipeReader) -> anyhow::Result<String> {
    let mut said = String::new();
    ready.read_to_string(&mut said).context("the new process did not answer")?;
    Ok(said)
}

/// Kills a child of this process, and waits until nothing is left of it.
pub(crate) fn end_child(pidfd: &OwnedFd) -> anyhow::Result<()> {
    process::pidfd_send_signal(pidfd, process::Signal::KILL)?;
    process::wait_exit(pidfd, None)?;
    Ok(())
}

/// Opens a log file to write at its end.
pub(crate) fn open_log(path: &Path) -> anyhow::Result<File> {
    let log = File::options().create(true).append(true).open(path);
    log.with_context(|| format!("cannot open the log {}", path.display()))
}

/// Writes the record of a process: for whoever looks while the process lives, which no crash of the machine survives.
pub(crate) fn record(path: &Path, record: &impl Serialize) -> anyhow::Result<()> {
    sampan_sys::fs::write_whole(path, &serde_json::to_vec_pretty(record)?, 0o644)?;
    Ok(())
}

/// The identity of a process as it goes over a socket.
pub(crate) fn process_id(record: ProcessRecord) -> ProcessId {
    ProcessId { pid: record.pid, start_time: record.start_time, boot_id: record.boot_id }
}

/// Opens the process `id` unless it is gone.
pub(crate) fn open_process(id: &ProcessId) -> anyhow::Result<Option<OwnedFd>> {
    let record = ProcessRecord { pid: id.pid, start_time: id.start_time, boot_id: id.boot_id.clone() };
    Ok(record.open()?)
}

fn read_spec<T: DeserializeOwned>() -> anyhow::Result<T> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    understand(&text)
}

fn read_line<T: DeserializeOwned>(input: &mut impl BufRead) -> anyhow::Result<T> {
    let mut text = String::new();
    input.read_line(&mut text)?;
    understand(&text)
}

fn understand<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).map_err(|error| anyhow::anyhow!("the request is not understood: {error}"))
}

fn is_busy(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<SysError>().is_some_and(|error| error.errno() == sampan_sys::Errno::BUSY)
            || cause.downcast_ref::<Told>().is_some_and(|told| told.busy)
    })
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (1_795_371_297, "2026-11-22T18:14:57.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(rfc3339(seconds, 7), text);
        }
    }
}
