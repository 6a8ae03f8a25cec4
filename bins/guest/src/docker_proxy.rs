//! `sampan-docker-proxy`: what dockerd runs for each published port, in the place of Docker's own `docker-proxy`.
//!
//! It asks the forwarder of the instance (`sampan-guest ports`) for the port, tells dockerd what became of it, and is then
//! only there to be ended: the port is served for as long as this process lives. There may be thousands of it, so it is
//! small. It never holds up a signal: dockerd waits without limit for one that it has told to end.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sampan_model::ports::{Binding, SOCKET};
use sampan_sys::process::{close_fds_from, inherited_fd};
use sampan_sys::socket::send_fds;

/// dockerd reads from this pipe `0\n`, or `1\n` and a sentence for the user (moby, `cmd/docker-proxy`).
const STATUS: i32 = 3;
/// A listening socket of dockerd's, if it says so.
const LISTENER: i32 = 4;

/// dockerd gives up after 16 s, without a word for the user: this sentence is better.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before the forwarder is asked again, when it has ended.
const PAUSE: Duration = Duration::from_millis(50);
/// And when it has refused what it had granted: something else has taken the port meanwhile.
const LONG_PAUSE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let status = inherited_fd(STATUS).map(File::from);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = Binding::from_flags(words.iter().map(String::as_str)).map_err(|error| error.to_string());
    let asked = asked.map(|(binding, hands_over)| {
        let listener = hands_over.then(|| inherited_fd(LISTENER).ok()).flatten();
        Asked { line: format!("{binding}\n"), listener }
    });
    // What a careless parent left open here would be held for as long as the port is published.
    let _ = close_fds_from(LISTENER + 1, &[]);
    let granted = asked.and_then(|asked| Ok((asked.port(Instant::now() + PATIENCE)?, asked)));
    let told = match &granted {
        Ok(_) => "0\n".to_owned(),
        Err(sentence) => format!("1\n{sentence}"),
    };
    match status {
        Ok(mut pipe) => drop(pipe.write_all(told.as_bytes())), // nobody reads: then nobody waits
        Err(_) => drop(io::stderr().write_all(format!("{}\n", told[2..].trim_end()).as_bytes())),
    }
    match granted {
        Ok((port, asked)) => asked.keep(port),
        Err(_) => ExitCode::FAILURE,
    }
}

/// What dockerd wants.
struct Asked {
    line: String,
    listener: Option<OwnedFd>,
}

impl Asked {
    /// A connection that stands for the port. The error is for the user.
    fn port(&self, deadline: Instant) -> Result<UnixStream, String> {
        loop {
            match self.ask(deadline) {
                Ok(granted) => return granted,
                // It is being started.
                Err(_) if Instant::now() + PAUSE < deadline => pause(PAUSE),
                Err(error) => {
                    return Err(format!(
                        "the port forwarder of Sampan does not answer ({error}): `sampan logs --unit ports` says more"
                    ));
                }
            }
        }
    }

    fn ask(&self, deadline: Instant) -> io::Result<Result<UnixStream, String>> {
        let mut forwarder = UnixStream::connect(SOCKET)?;
        let descriptors: Vec<_> = self.listener.iter().map(AsFd::as_fd).collect();
        send_fds(&forwarder, self.line.as_bytes(), &descriptors)
            .map_err(|error| io::Error::from(error.errno()))?;
        let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
        forwarder.set_read_timeout(Some(left))?;
        let mut answer = [0; 2];
        forwarder.read_exact(&mut answer)?;
        if answer == *b"0\n" {
            forwarder.set_read_timeout(None)?;
            return Ok(Ok(forwarder));
        }
        let mut sentence = String::new();
        forwarder.read_to_string(&mut sentence)?;
        Ok(Err(sentence))
    }

    /// Keeps the port, also when the forwarder is replaced by another one, until a signal ends this process.
    fn keep(&self, mut port: UnixStream) -> ! {
        loop {
            // It says nothing more: this ends when it does.
            let _ = port.read(&mut [0]);
            port = loop {
                match self.port(Instant::now() + PATIENCE) {
                    Ok(port) => break port,
                    Err(_) => pause(LONG_PAUSE),
                }
            };
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "watching for the socket would make each of thousands larger")]
fn pause(length: Duration) {
    std::thread::sleep(length);
}
