//! HTTP by hand: what a client library would never send, and every byte of what comes back.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use sampan_model::integration::SOCKET;

use crate::instance::Instance;
use crate::waiting;

/// A Docker socket to knock at.
#[derive(Debug, Clone)]
pub struct Door {
    /// What it is, for messages.
    pub name: &'static str,
    /// Where it is, as the host can open it.
    pub socket: PathBuf,
}

impl Door {
    /// dockerd's own socket.
    #[track_caller]
    pub fn bare(instance: &Instance) -> Self {
        Self { name: "bare", socket: instance.engine_file("/run/docker.sock") }
    }

    /// The host's socket, with the proxy behind it.
    pub fn proxy(instance: &Instance) -> Self {
        Self { name: "proxy", socket: instance.place().docker_socket() }
    }

    /// The socket of the distribution `name`, as the engine opens it: what a distribution has as `/run/docker.sock`.
    #[track_caller]
    pub fn distribution(instance: &Instance, name: &str) -> Self {
        let registry = instance.registry();
        let entry = registry.find(name).unwrap_or_else(|| panic!("there is no distribution {name}"));
        let socket = instance.place().integration().join(entry.guid.to_string()).join(SOCKET);
        Self { name: "distribution", socket }
    }

    /// As `docker -H` takes it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A connection. What does not come within [`waiting::LONG`] is an error of the one who waits for it.
    #[track_caller]
    pub fn connect(&self) -> UnixStream {
        let stream =
            UnixStream::connect(&self.socket).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        stream.set_read_timeout(Some(waiting::LONG)).expect("a deadline can be set");
        stream.set_write_timeout(Some(waiting::LONG)).expect("a deadline can be set");
        stream
    }

    /// The first answer to `head` (without its empty line) and `body`, read while `body` is still being sent. The
    /// connection is closed after it.
    #[track_caller]
    pub fn ask(&self, head: &str, body: &[u8]) -> Answer {
        let head =
            format!("{head}\r\nHost: docker\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let all = self.send(&[head.as_bytes(), body].concat());
        all.into_iter()
            .find(|answer| answer.status >= 200)
            .unwrap_or_else(|| panic!("{}: no answer to {head}", self.name))
    }

    /// Sends `bytes`, ends that side, and returns all answers until the other side ends, too.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> Vec<Answer> {
        let mut stream = self.connect();
        let mut writer = stream.try_clone().expect("there are descriptors");
        let read = std::thread::scope(|scope| {
            scope.spawn(move || {
                // Whoever refuses a request may hang up before it has read all of it.
                let _ = writer.write_all(bytes);
                let _ = writer.shutdown(Shutdown::Write);
            });
            let mut read = Vec::new();
            let end = stream.read_to_end(&mut read);
            if let Err(error) = end {
                // Hanging up on unread bytes is a reset for their sender. What was said before counts.
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}: {error}", self.name);
            }
            read
        });
        answers(&read)
    }
}

/// One answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status; 0 for bytes that are no HTTP/1.
    pub status: u16,
    /// The lines of its head.
    pub head: String,
    /// Its body, without the marks of chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        write!(f, "{} {:?}", self.status, text.chars().take(200).collect::<String>())
    }
}

/// Takes the head of an answer from `stream`, and nothing behind it.
#[track_caller]
pub fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error} after {:?}", String::from_utf8_lossy(&head));
        });
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The payloads of Docker's frames: stream number, three zeros, length (big endian), payload.
#[track_caller]
pub fn unframed(mut raw: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let Some((head, rest)) = raw.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        payload.extend_from_slice(&rest[..length]);
        raw = &rest[length..];
    }
    payload
}

/// The answers in a connection's bytes, none of them to `HEAD`.
pub fn answers(mut read: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while !read.is_empty() {
        let Some(end) = find(read, b"\r\n\r\n").filter(|_| read.starts_with(b"HTTP/1.")) else {
            found.push(Answer { status: 0, head: String::new(), body: read.to_vec() });
            break;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read = &read[end + 4..];
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let body = if (100..200).contains(&status) || status == 204 || status == 304 {
            Vec::new()
        } else if header(&head, "transfer-encoding").is_some() {
            dechunked(&mut read)
        } else {
            let length = header(&head, "content-length").and_then(|word| word.parse().ok());
            let (body, rest) = read.split_at(length.unwrap_or(read.len()).min(read.len()));
            read = rest;
            body.to_vec()
        };
        found.push(Answer { status, head, body });
    }
    found
}

/// The value of a header in the lines of a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
}

fn dechunked(read: &mut &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(read, b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&read[..end]), 16).unwrap_or(0);
        *read = &read[end + 2..];
        body.extend_from_slice(&read[..size.min(read.len())]);
        *read = read.get(size + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    body
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_answers_of_a_connection() {
        let read = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK\
            HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n3\r\n...\r\n0\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end";
        let found: Vec<_> = answers(read).into_iter().map(|answer| (answer.status, answer.text())).collect();
        let expected = [(100, ""), (200, "OK"), (404, "no..."), (200, "to the end")];
        assert_eq!(found, expected.map(|(status, text)| (status, text.to_owned())));
        assert_eq!(answers(b"")[..], []);
        assert_eq!(answers(b"SSH-2.0")[0].status, 0);
        assert_eq!(header("HTTP/1.1 200 OK\r\nA: 1\r\nContent-Type: x", "content-type"), Some("x"));
    }
}
