//! The outside programs of the engine: started here, not waited for, watched by their pidfd elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sampan_sys::process;

use super::part::PATH;

/// Starts `program` in a session of its own with a bare environment and `additions` to it, its output at the end of `log`.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub(super) fn start<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    additions: Vec<(&'static str, String)>,
    log: File,
) -> std::io::Result<Child> {
    let error_log = log.try_clone()?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .envs(additions)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(error_log);
    process::in_new_session(&mut command).spawn()
}
