//! Waits until a Docker API answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const EVERY: Duration = Duration::from_millis(2);

/// Asks `/_ping` until it answers `200`, and returns how long that took since `since`. Gives up at the deadline, or when
/// `starter` ended with an error.
#[expect(
    clippy::disallowed_methods,
    reason = "a socket whose folder does not exist yet gives no event to wait for"
)]
pub(super) fn first_answer(
    socket: &Path,
    since: Instant,
    deadline: Duration,
    starter: &mut Child,
) -> Result<Duration> {
    loop {
        let left = deadline.saturating_sub(since.elapsed());
        if left.is_zero() {
            bail!("no answer on {} within {} s", socket.display(), deadline.as_secs());
        }
        if answers(socket, left) {
            return Ok(since.elapsed());
        }
        let ended = starter.try_wait().context("cannot look after what was started")?;
        if let Some(status) = ended.filter(|status| !status.success()) {
            bail!("it ended with {status} before {} answered", socket.display());
        }
        thread::sleep(EVERY);
    }
}

/// Whether `/_ping` answers `200`. A server that accepts and lets us wait is waited for.
fn answers(socket: &Path, patience: Duration) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start == *b"HTTP/1.1 200")
    };
    // Not there yet, refused, closed: all of them mean "ask again".
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::tools;

    /// Serves one answer per connection on a new socket, and starts a program to look after.
    fn serve(
        answers: &'static [&'static [u8]],
        program: &str,
    ) -> (tempfile::TempDir, std::path::PathBuf, Child) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 512]);
                stream.write_all(answer).unwrap();
            }
        });
        let child = tools::command(program, Path::new("/")).spawn().unwrap();
        (folder, socket, child)
    }

    #[test]
    fn asks_again_until_it_is_200() {
        let answers: &[&[u8]] =
            &[b"", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nOK"];
        let (_folder, socket, mut child) = serve(answers, "true");
        let took = first_answer(&socket, Instant::now(), Duration::from_secs(5), &mut child).unwrap();
        assert!(took >= 2 * EVERY);
        child.wait().unwrap();
    }

    #[test]
    fn gives_up_when_the_starter_failed() {
        let (_folder, socket, mut child) = serve(&[], "false");
        child.wait().unwrap();
        let error = first_answer(&socket, Instant::now(), Duration::from_secs(5), &mut child).unwrap_err();
        assert!(error.to_string().contains("ended with"), "{error}");
    }
}
