//! Starts programs: each in a process group of its own, with a deadline, its output kept.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::waiting;

/// How long the output of a program may be held open after its end.
const LINGER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });

/// A program and how to start it.
#[derive(Debug, Clone)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    input: Option<Vec<u8>>,
    keep_input: bool,
    deadline: Duration,
}

impl Tool {
    /// The program `program`, a path or a name to look for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut tool = Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            input: None,
            keep_input: false,
            deadline: waiting::LONG,
        };
        tool.env.push(("LC_ALL".into(), Some("C".into())));
        tool
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.into(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn without_env(mut self, key: &str) -> Self {
        self.env.push((key.into(), None));
        self
    }

    /// Runs it in `folder`.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Gives it `input` on standard input, which else is empty.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Gives it a standard input that stays open until the job goes.
    #[must_use]
    pub fn input_open(mut self) -> Self {
        self.keep_input = true;
        self
    }

    /// How long it may run.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it as an argument of another program, e.g. `nsenter`.
    #[must_use]
    pub fn under<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, wrapper: I) -> Self {
        let mut words: Vec<OsString> = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        words.push(std::mem::take(&mut self.program));
        words.append(&mut self.args);
        self.program = words.remove(0);
        self.args = words;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        let deadline = self.deadline;
        self.spawn().finish_within(deadline)
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(self) -> Job {
        let what = self.to_string();
        #[expect(clippy::disallowed_methods, reason = "this is the tools module")]
        let mut command = Command::new(&self.program);
        command.args(&self.args).process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let piped = self.input.is_some() || self.keep_input;
        command.stdin(if piped { Stdio::piped() } else { Stdio::null() });
        for (key, value) in &self.env {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{what}`: {error}"));
        let kept = if self.keep_input { child.stdin.take() } else { None };
        Job::watch(what, child, self.input, kept)
    }
}

impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Path::new(&self.program).file_name().unwrap_or(&self.program);
        f.write_str(&name.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}

/// What a running program has said so far.
#[derive(Debug, Default)]
struct Heard {
    out: Vec<u8>,
    err: Vec<u8>,
    open_streams: u8,
    ended: bool,
    code: Option<i32>,
}

#[derive(Debug, Default)]
struct Watched {
    heard: Mutex<Heard>,
    changed: Condvar,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn wait(&self, deadline: Duration, condition: impl Fn(&Heard) -> bool) -> bool {
        let (heard, _) = self
            .changed
            .wait_timeout_while(self.lock(), deadline, |heard| !condition(heard))
            .unwrap_or_else(PoisonError::into_inner);
        condition(&heard)
    }
}

/// A running program. Its process group is killed when this goes.
#[derive(Debug)]
pub struct Job {
    what: String,
    group: Pid,
    watched: Arc<Watched>,
    // Held open for as long as this lives.
    _input: Option<ChildStdin>,
}

impl Job {
    fn watch(what: String, mut child: Child, input: Option<Vec<u8>>, kept: Option<ChildStdin>) -> Self {
        let group = Pid::from_child(&child);
        let watched = Arc::new(Watched::default());
        watched.lock().open_streams = 2;
        if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
            // A program may end without reading all of it.
            thread::spawn(move || drop(pipe.write_all(&input)));
        }
        let out = child.stdout.take().expect("it was asked for when the child was made");
        let err = child.stderr.take().expect("it was asked for when the child was made");
        listen(out, Arc::clone(&watched), |heard| &mut heard.out);
        listen(err, Arc::clone(&watched), |heard| &mut heard.err);
        let waiter = Arc::clone(&watched);
        thread::spawn(move || {
            let status = child.wait();
            waiter.change(|heard| {
                heard.ended = true;
                heard.code = status.ok().and_then(|status| status.code());
            });
        });
        Self { what, group, watched, _input: kept }
    }

    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Waits until its standard output contains `text`.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        let seen = |heard: &Heard| String::from_utf8_lossy(&heard.out).contains(text);
        let came =
            self.watched.wait(waiting::LONG, |heard| seen(heard) || (heard.ended && heard.open_streams == 0))
                && seen(&self.watched.lock());
        assert!(came, "`{text}` did not come from {}", self.so_far());
    }

    /// What its standard output has had so far.
    pub fn text_so_far(&self) -> String {
        String::from_utf8_lossy(&self.watched.lock().out).into_owned()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.watched.lock().ended
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Output {
        self.finish_within(waiting::LONG)
    }

    /// Waits for its end; after `deadline` it is killed and has no exit code.
    #[track_caller]
    pub fn finish_within(self, deadline: Duration) -> Output {
        let begin = Instant::now();
        if self.watched.wait(deadline, |heard| heard.ended) {
            let closed = self.watched.wait(LINGER, |heard| heard.open_streams == 0);
            assert!(
                closed,
                "a process that outlives it holds standard output or standard error of {}",
                self.so_far()
            );
        } else {
            eprintln!("`{}` did not end within {} s: killed", self.what, begin.elapsed().as_secs());
            self.kill();
        }
        let mut heard = self.watched.lock();
        Output {
            what: self.what.clone(),
            code: heard.code,
            out: std::mem::take(&mut heard.out),
            err: std::mem::take(&mut heard.err),
        }
    }

    /// Does what Ctrl-C in its terminal would do.
    pub fn interrupt(&self) {
        // It may just have ended by itself.
        let _ = kill_process_group(self.group, Signal::INT);
    }

    /// Kills its process group.
    pub fn kill(&self) {
        if !self.has_ended() {
            // It may just have ended by itself.
            let _ = kill_process_group(self.group, Signal::KILL);
        }
        self.watched.wait(Duration::from_secs(20), |heard| heard.ended);
    }

    fn so_far(&self) -> String {
        let heard = self.watched.lock();
        report(&self.what, heard.code, &heard.out, &heard.err)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(
    mut stream: impl Read + Send + 'static,
    watched: Arc<Watched>,
    place: fn(&mut Heard) -> &mut Vec<u8>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => watched.change(|heard| place(heard).extend_from_slice(&buffer[..length])),
            }
        }
        watched.change(|heard| heard.open_streams -= 1);
    });
}

/// What a program left.
#[derive(Debug, Clone)]
pub struct Output {
    what: String,
    code: Option<i32>,
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Output {
    /// Its exit code; none when it was killed.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// Its standard output.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Its standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }

    /// Standard output and standard error.
    pub fn all(&self) -> String {
        format!("{}{}", self.text(), self.errors())
    }

    /// Requires that it ended well, and returns its standard output without the blanks around it.
    #[track_caller]
    pub fn ok(&self) -> String {
        self.expect(0);
        self.text().trim().to_owned()
    }

    /// Requires this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// Requires that it failed, whatever the code.
    #[track_caller]
    pub fn expect_failure(&self) -> &Self {
        assert!(self.code.is_some_and(|code| code != 0), "it should have failed: {self}");
        self
    }

    /// Requires that it says `text`, on standard output or standard error.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.all().contains(text), "`{text}` is not said by {self}");
        self
    }

    /// Requires that it says one of `texts`.
    #[track_caller]
    pub fn says_one_of(&self, texts: &[&str]) -> &Self {
        let all = self.all();
        assert!(texts.iter().any(|text| all.contains(text)), "none of {texts:?} is said by {self}");
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&report(&self.what, self.code, &self.out, &self.err))
    }
}

fn report(what: &str, code: Option<i32>, out: &[u8], err: &[u8]) -> String {
    let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    let mut text = format!("`{what}` (exit code {code})\n");
    for (name, bytes) in [("stdout", out), ("stderr", err)] {
        let shown = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(6000)..]);
        let _ = writeln!(text, "--- {name} ({} bytes)\n{}", bytes.len(), shown.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_input_and_exit_code_come_through() {
        let output = Tool::new("sh").args(["-c", "cat; echo wrong >&2; exit 3"]).input("right").run();
        assert_eq!(
            (output.code(), output.text(), output.errors()),
            (Some(3), "right".into(), "wrong\n".into())
        );
    }

    #[test]
    fn what_runs_too_long_is_killed_with_its_children() {
        let output =
            Tool::new("sh").args(["-c", "sleep 1000 & wait"]).deadline(Duration::from_millis(1)).run();
        assert_eq!(output.code(), None);
    }

    #[test]
    #[should_panic(expected = "holds standard output")]
    fn a_child_that_keeps_the_output_open_is_found() {
        // It ends by itself, but later than anybody waits for it.
        Tool::new("sh").args(["-c", "setsid sleep 10 & exit 0"]).run();
    }
}
