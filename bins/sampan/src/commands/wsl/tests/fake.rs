//! A service that says what a test wants, and a caller whose streams are files.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_model::words::Word;
use sampan_model::wsl::error::Failure;
use sampan_model::wsl::service::{Call, Reply, Request};
use sampan_sys::socket::{recv_message, send_message};

use crate::commands::wsl::Wsl;
use crate::commands::wsl::caller::Caller;
use crate::commands::wsl::console::Console;
use crate::commands::wsl::reach::{Question, Reach};

/// What the service does with one request.
type Talk = Box<dyn FnOnce(&OwnedFd, Vec<OwnedFd>) -> String + Send>;

/// The service.
pub(super) struct Fake {
    runs: bool,
    left_behind: bool,
    offline: Option<Reply>,
    talks: Arc<Mutex<VecDeque<Talk>>>,
    started: Cell<u32>,
    /// Requests as they come.
    heard: Arc<Mutex<Vec<Request>>>,
    /// What was read with each, when it is answered.
    read: (Sender<String>, Receiver<String>),
}

impl Fake {
    /// It runs and answers one request so.
    pub(super) fn answering(replies: Vec<Reply>) -> Self {
        Self::doing(|socket, _| {
            say(socket, replies);
            String::new()
        })
    }

    /// The same, after it has read descriptor `index` to its end.
    pub(super) fn reading(index: usize, replies: Vec<Reply>) -> Self {
        Self::doing(move |socket, mut fds| {
            let mut text = String::new();
            File::from(fds.swap_remove(index)).read_to_string(&mut text).unwrap();
            say(socket, replies);
            text
        })
    }

    /// The same, after it has written to descriptor `index`.
    pub(super) fn writing(index: usize, text: &'static str, replies: Vec<Reply>) -> Self {
        Self::doing(move |socket, mut fds| {
            File::from(fds.swap_remove(index)).write_all(text.as_bytes()).unwrap();
            say(socket, replies);
            String::new()
        })
    }

    /// It runs and does this with one request.
    pub(super) fn doing(talk: impl FnOnce(&OwnedFd, Vec<OwnedFd>) -> String + Send + 'static) -> Self {
        let fake = Self {
            left_behind: false,
            runs: true,
            offline: None,
            talks: Arc::default(),
            started: Cell::default(),
            heard: Arc::default(),
            read: channel(),
        };
        fake.talks.lock().unwrap().push_back(Box::new(talk));
        fake
    }

    /// It does not run; its program answers questions so.
    pub(super) fn stopped(offline: Reply) -> Self {
        let fake = Self::doing(|_, _| String::new());
        fake.talks.lock().unwrap().clear();
        Self { runs: false, offline: Some(offline), ..fake }
    }

    /// It is dead, and something that it started may still run. Started again, it answers one request so.
    pub(super) fn dead(replies: Vec<Reply>) -> Self {
        Self { runs: false, left_behind: true, ..Self::answering(replies) }
    }

    /// One more request is answered so.
    pub(super) fn replies(self, replies: Vec<Reply>) -> Self {
        self.talks.lock().unwrap().push_back(Box::new(|socket, _| {
            say(socket, replies);
            String::new()
        }));
        self
    }

    fn connect(&self) -> OwnedFd {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let talks = Arc::clone(&self.talks);
        let (heard, done) = (Arc::clone(&self.heard), self.read.0.clone());
        std::thread::spawn(move || {
            let Ok(Some(message)) = recv_message(&theirs) else { return };
            let call: Call = serde_json::from_slice(&message.bytes).unwrap();
            assert_eq!(call.state, Word::from("/state"));
            heard.lock().unwrap().push(call.request);
            let talk = talks.lock().unwrap().pop_front();
            let read = talk.map(|talk| talk(&theirs, message.fds)).unwrap_or_default();
            // A test that is over does not listen any more.
            let _ = done.send(read);
        });
        ours
    }
}

impl Reach for Fake {
    fn state(&self) -> Word {
        "/state".into()
    }

    fn find(&self) -> Result<Option<OwnedFd>, Failure> {
        Ok(self.runs.then(|| self.connect()))
    }

    fn start(&self) -> Result<OwnedFd, Failure> {
        if !self.runs {
            self.started.set(self.started.get() + 1);
        }
        Ok(self.connect())
    }

    fn left_behind(&self) -> bool {
        self.left_behind
    }

    fn offline(&self, _: Question) -> Result<Reply, Failure> {
        Ok(self.offline.clone().unwrap())
    }
}

/// Sends replies.
pub(super) fn say(socket: impl AsFd, replies: Vec<Reply>) {
    for reply in replies {
        send_message(&socket, &serde_json::to_vec(&reply).unwrap(), &[]).unwrap();
    }
}

/// The one reply that it failed.
pub(super) fn failed(failure: Failure) -> Vec<Reply> {
    vec![Reply::Failed { failure }]
}

/// A run of `wsl`.
pub(super) struct Run {
    words: Vec<OsString>,
    folder: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    stdin: File,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) code: u8,
    /// What the service was asked.
    pub(super) heard: Vec<Request>,
    /// What it read.
    pub(super) read: String,
    /// How often it was started.
    pub(super) started: u32,
}

impl Run {
    pub(super) fn new(words: &[&str]) -> Self {
        Self {
            words: words.iter().map(OsString::from).collect(),
            folder: Some("/here".into()),
            variables: Vec::new(),
            stdin: tempfile::tempfile().unwrap(),
        }
    }

    pub(super) fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    pub(super) fn without_folder(mut self) -> Self {
        self.folder = None;
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub(super) fn input(mut self, text: &str) -> Self {
        self.stdin.write_all(text.as_bytes()).unwrap();
        self.stdin.rewind().unwrap();
        self
    }

    pub(super) fn with(self, fake: Fake) -> Said {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let (out, err) = (stdout.try_clone().unwrap(), stderr.try_clone().unwrap());
        let caller = Caller {
            stdin: self.stdin,
            stdout,
            stderr,
            folder: self.folder,
            variables: self.variables,
            own: false,
        };
        let console = Console::of(&caller).unwrap();
        let code = Wsl { caller, console, reach: &fake }.run(&self.words);
        let text = |file: File| {
            let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let started = fake.started.get();
        // With the last sender gone, this ends when the last of the threads does.
        let (sender, receiver) = fake.read;
        drop(sender);
        let read = receiver.into_iter().collect();
        let heard = fake.heard.lock().unwrap().clone();
        Said { out: text(out), err: text(err), code, heard, read, started }
    }
}
