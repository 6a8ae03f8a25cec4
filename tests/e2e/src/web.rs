//! A web server on loopback that behaves as a test wants.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::{files, waiting};

/// How a path is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With these bytes.
    Bytes(Vec<u8>),
    /// With the content of a file.
    File(PathBuf),
    /// With the half of these bytes; then the connection is closed.
    Half(Vec<u8>),
    /// With the half of these bytes; then nothing, until the server goes.
    Stuck(Vec<u8>),
    /// With so many blanks, of which nothing is said before.
    Blanks(u64),
    /// Somewhere else.
    Moved(String),
    /// With an error of this number.
    Error(u16),
}

/// A server. It is gone when this goes.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Web {
    /// A server that answers everything with "not found".
    ///
    /// # Panics
    /// When nobody may listen on loopback.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let web = Self { address, shared: Arc::default() };
        let shared = Arc::clone(&web.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().over {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                // Whoever asks may not want the whole answer.
                thread::spawn(move || answer(&shared, stream).ok());
            }
        });
        web
    }

    /// Has `path` (`/…`) answered like this from now on, whatever its query; its address.
    pub fn put(&self, path: &str, answer: Answer) -> String {
        self.shared.lock().answers.insert(path.to_owned(), answer);
        format!("http://{}{path}", self.address)
    }

    /// What was asked for, queries included.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().asked.clone()
    }

    /// Waits until `path` was asked for.
    #[track_caller]
    pub fn wait_for(&self, path: &str) {
        waiting::until("the server is asked", || self.asked().iter().any(|asked| asked == path));
    }
}

impl Default for Web {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        // The listener waits for a connection to see that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = {
        let mut state = shared.lock();
        state.asked.push(path.to_owned());
        state.answers.get(path.split('?').next().unwrap_or_default()).cloned()
    };
    let mut head = |status: &str, header: &str| {
        write!(stream, "HTTP/1.1 {status}\r\n{header}\r\nConnection: close\r\n\r\n")?;
        Ok::<_, io::Error>(())
    };
    let length = |bytes: &[u8]| format!("Content-Length: {}", bytes.len());
    match answer.unwrap_or(Answer::Error(404)) {
        Answer::Bytes(bytes) => {
            head("200 OK", &length(&bytes))?;
            stream.write_all(&bytes)
        }
        Answer::File(path) => {
            let bytes = files::read(&path);
            head("200 OK", &length(&bytes))?;
            stream.write_all(&bytes)
        }
        Answer::Half(bytes) => {
            head("200 OK", &length(&bytes))?;
            stream.write_all(&bytes[..bytes.len() / 2])
        }
        Answer::Stuck(bytes) => {
            head("200 OK", &length(&bytes))?;
            stream.write_all(&bytes[..bytes.len() / 2])?;
            let over = shared.changed.wait_while(shared.lock(), |state| !state.over);
            drop(over);
            Ok(())
        }
        Answer::Blanks(count) => {
            head("200 OK", "X-Length: unknown")?;
            io::copy(&mut io::Read::take(io::repeat(b' '), count), &mut stream).map(drop)
        }
        Answer::Moved(to) => head("302 Found", &format!("Location: {to}\r\nContent-Length: 0")),
        Answer::Error(number) => head(&format!("{number} So"), "Content-Length: 0"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn get(web: &Web, path: &str) -> String {
        let mut stream = TcpStream::connect(web.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    }

    #[test]
    fn paths_are_answered_as_they_were_put() {
        let web = Web::new();
        web.put("/a", Answer::Bytes(b"whole".to_vec()));
        web.put("/b", Answer::Half(b"halves".to_vec()));
        assert!(get(&web, "/a?x=y").ends_with("Content-Length: 5\r\nConnection: close\r\n\r\nwhole"));
        assert!(get(&web, "/b").ends_with("Content-Length: 6\r\nConnection: close\r\n\r\nhal"));
        assert!(get(&web, "/c").starts_with("HTTP/1.1 404"));
        assert_eq!(web.asked(), ["/a?x=y", "/b", "/c"]);
    }
}
