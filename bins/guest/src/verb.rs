//! How verbs are asked and answer: JSON on standard input, one JSON line on standard output.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sampan_model::guest::{Answer, ProcessId};
use sampan_sys::SysError;
use sampan_sys::process::ProcessRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs a verb that reads a spec and prints an [`Answer`].
pub(crate) fn answer<T: DeserializeOwned>(run: impl FnOnce(&T) -> anyhow::Result<Answer>) -> ExitCode {
    let answer = read_spec::<T>()
        .and_then(|spec| run(&spec))
        .unwrap_or_else(|error| Answer::Failed { message: chain(&error), busy: is_busy(&error) });
    let mut line = serde_json::to_string(&answer).expect("an answer is plain data");
    line.push('\n');
    // The asker may be gone; there is nobody left to tell then.
    let written = std::io::stdout().write_all(line.as_bytes());
    ExitCode::from(u8::from(written.is_err()))
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

/// One line into the log (standard error of everything that runs for long).
pub(crate) fn log(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
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

/// Writes the record of a process.
pub(crate) fn record(path: &Path, record: &impl Serialize) -> anyhow::Result<()> {
    sampan_sys::fs::write_atomic(path, &serde_json::to_vec_pretty(record)?, 0o644)?;
    Ok(())
}

/// The identity of a process as it goes over a socket.
pub(crate) fn process_id(record: ProcessRecord) -> ProcessId {
    ProcessId { pid: record.pid, start_time: record.start_time, boot_id: record.boot_id }
}

/// Opens the process `id` unless it is gone.
pub(crate) fn open_process(id: &ProcessId) -> anyhow::Result<Option<std::os::fd::OwnedFd>> {
    let record = ProcessRecord { pid: id.pid, start_time: id.start_time, boot_id: id.boot_id.clone() };
    Ok(record.open()?)
}

fn read_spec<T: DeserializeOwned>() -> anyhow::Result<T> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(|error| anyhow::anyhow!("the request is not understood: {error}"))
}

fn is_busy(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<SysError>())
        .any(|error| error.errno() == sampan_sys::Errno::BUSY)
}
