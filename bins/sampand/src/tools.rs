//! The one outside program the service starts by itself: itself.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

/// Starts this program again with `args`, in the background; what it says on standard output until it is ready.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub(crate) fn start_self(args: &[&str], log: File) -> std::io::Result<String> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let mut said = String::new();
    // The service closes its end when it is ready, or by ending.
    child.stdout.take().map_or(Ok(0), |mut out| out.read_to_string(&mut said))?;
    Ok(said)
}
