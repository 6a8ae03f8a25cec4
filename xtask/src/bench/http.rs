//! Requests on a Docker socket, whose answers are only counted.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Ends a bench that hangs.
const DEADLINE: Duration = Duration::from_mins(5);

/// A connection that is used again and again.
pub(super) struct Connection(BufReader<UnixStream>);

impl Connection {
    pub(super) fn open(socket: &Path) -> Result<Self> {
        let stream =
            UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self(BufReader::with_capacity(1 << 20, stream)))
    }

    /// `GET path`; returns the length of the answer's body.
    pub(super) fn get(&mut self, path: &str) -> Result<u64> {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n"))?;
        let head = self.head()?;
        match head.length {
            Some(length) => self.pass(length),
            None => self.chunks(),
        }
    }

    /// A request with an empty body, after whose answer the connection is a stream of bytes. Returns what comes until
    /// `meanwhile`, which runs first, has had its effect and the stream ends.
    pub(super) fn attach(mut self, path: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<u64> {
        self.say(&format!(
            "POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        ))?;
        self.head()?;
        meanwhile()?;
        self.rest()
    }

    /// `GET path`, whose answer ends with the connection; returns its length with all marks of chunks.
    pub(super) fn download(mut self, path: &str) -> Result<u64> {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"))?;
        self.head()?;
        self.rest()
    }

    /// Sends `body` to `path`, and waits for the end of the answer. Returns the body's length.
    pub(super) fn upload(mut self, method: &str, path: &str, body: &[u8]) -> Result<u64> {
        self.say(&format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ))?;
        self.0.get_mut().write_all(body)?;
        self.head()?;
        self.rest()?;
        Ok(body.len() as u64)
    }

    fn say(&mut self, words: &str) -> Result<()> {
        self.0.get_mut().write_all(words.as_bytes()).context("cannot send a request")
    }

    fn head(&mut self) -> Result<Head> {
        let mut head = Head { length: None };
        let first = self.line()?;
        let status = first.split(' ').nth(1).unwrap_or_default();
        if !["101", "200", "204"].contains(&status) {
            let mut rest = String::new();
            let _ = self.0.get_mut().take(2000).read_to_string(&mut rest);
            bail!("{first}: {rest}");
        }
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(head);
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                head.length = Some(value.trim().parse().context("a length that is no number")?);
            }
        }
    }

    fn chunks(&mut self) -> Result<u64> {
        let mut length = 0;
        loop {
            let size = u64::from_str_radix(&self.line()?, 16).context("a chunk without length")?;
            self.pass(size)?;
            length += size;
            self.line()?;
            if size == 0 {
                return Ok(length);
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the engine hung up");
        }
        Ok(line.trim_end().to_owned())
    }

    fn pass(&mut self, length: u64) -> Result<u64> {
        let passed = io::copy(&mut (&mut self.0).take(length), &mut io::sink())?;
        if passed < length {
            bail!("the engine hung up after {passed} of {length} bytes");
        }
        Ok(passed)
    }

    fn rest(&mut self) -> Result<u64> {
        let mut length = 0;
        loop {
            let read = self.0.fill_buf()?.len();
            if read == 0 {
                return Ok(length);
            }
            self.0.consume(read);
            length += read as u64;
        }
    }
}

struct Head {
    /// None: it comes in chunks, or to the end.
    length: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Asks a server that gives `answer` and hangs up.
    fn ask(answer: &'static str) -> Result<u64> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Connection::open(&socket)?.get("/_ping")
    }

    #[test]
    fn counts_what_was_answered() {
        assert_eq!(ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK...").unwrap(), 2);
        let chunks =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\na\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(ask(chunks).unwrap(), 12);
    }

    #[test]
    fn what_went_wrong_is_no_result() {
        for (answer, says) in [
            ("HTTP/1.1 404 Not Found\r\n\r\nno", "404 Not Found"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK", "after 2 of 9 bytes"),
            ("", "hung up"),
        ] {
            assert!(ask(answer).unwrap_err().to_string().contains(says), "{answer}");
        }
    }
}
