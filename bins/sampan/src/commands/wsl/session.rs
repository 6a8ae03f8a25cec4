//! A command or a shell in a distribution.

use std::os::fd::AsFd as _;
use std::path::Path;

use sampan_model::session::{Folder, SessionSpec};
use sampan_model::wsl::args::RunOptions;
use sampan_model::wsl::service::{Reply, Request};

use super::caller::Caller;
use super::console::Console;
use super::conversation::{Conversation, ENDING, Signals, show, unexpected};
use super::halt::{Halt, by_signal, of_streams};
use super::{FAILURE, Wsl, environment, screen};

/// Runs a session to its end; its exit code.
pub(super) fn run(wsl: &mut Wsl<'_>, options: RunOptions) -> Result<u8, Halt> {
    let RunOptions { target, user, folder, program, system } = options;
    let terminal = wsl.caller.terminal();
    let spec = SessionSpec {
        user,
        // The service knows it.
        default_uid: 0,
        program,
        folder: starting_folder(folder, &wsl.caller, &mut wsl.console),
        environment: environment::variables(&wsl.caller),
        terminal,
        first_run: false,
    };
    let request = Request::Session { target, system, spec: Box::new(spec) };
    let mut repeated = false;
    loop {
        let (connection, state) = (wsl.reach.start()?, wsl.reach.state());
        let streams = wsl.caller.streams().map_err(|error| of_streams(&error))?;
        let fds = [streams[0].as_fd(), streams[1].as_fd(), streams[2].as_fd()];
        let conversation = Conversation::begin(connection, state, request.clone(), &fds)?;
        drop(streams);
        let ended = if terminal.is_some() {
            with_terminal(&conversation, &wsl.caller, &mut wsl.console)?
        } else {
            with_streams(&conversation, &mut wsl.caller, &mut wsl.console)?
        };
        match ended {
            Some(code) => return Ok(code),
            // The service died before it did anything with the request: the next one is asked.
            None if !conversation.was_heard() && !repeated && wsl.reach.find()?.is_none() => repeated = true,
            None => return Ok(lost(&mut wsl.console)),
        }
    }
}

/// Where the session begins: the same folder as the caller's, unless another one was named.
fn starting_folder(folder: Option<Folder>, caller: &Caller, console: &mut Console) -> Folder {
    let on_host = |path: &Path| Folder::Host { path: path.as_os_str().into() };
    match (folder, &caller.folder) {
        (None, Some(folder)) => on_host(folder),
        (Some(Folder::Host { path }), Some(folder)) => on_host(&folder.join(path.as_path())),
        (Some(Folder::Host { path }), None) if path.as_path().is_absolute() => Folder::Host { path },
        (Some(named @ (Folder::Home | Folder::Inside { .. })), _) => named,
        (None | Some(Folder::Host { .. }), None) => {
            console.warn("The current folder is gone; the session begins in the home folder.");
            Folder::Home
        }
    }
}

/// The caller's streams are the command's own: there is nothing to do but to pass signals on. None: the other side is
/// gone.
fn with_streams(
    conversation: &Conversation,
    caller: &mut Caller,
    console: &mut Console,
) -> Result<Option<u8>, Halt> {
    let signals = Signals::block(&ENDING)?;
    loop {
        // What has been said comes first: a command that has ended takes no signals.
        if signals.wait_for(conversation)? {
            let Some((reply, _)) = conversation.next()? else { return Ok(None) };
            if reply == Reply::Begun {
                let let_go = console.leave_output().and_then(|()| caller.let_go());
                let_go.map_err(|error| of_streams(&error))?;
            } else if let Some(last) = show(reply, console)? {
                return exit_code(&last).map(Some);
            }
        } else if let Some(signal) = signals.take()?
            && !conversation.pass_on(signal)
        {
            return Ok(Some(by_signal(signal)));
        }
    }
}

/// The command gets a terminal of the distribution, which is shown on the caller's. None: the other side is gone.
fn with_terminal(
    conversation: &Conversation,
    caller: &Caller,
    console: &mut Console,
) -> Result<Option<u8>, Halt> {
    loop {
        match conversation.next()? {
            None => return Ok(None),
            Some((Reply::Terminal, Some(master))) => {
                console.set_raw(true);
                let last = screen::run(conversation, caller, console, master);
                console.set_raw(false);
                return last?.map(|last| exit_code(&last)).transpose();
            }
            Some((reply, _)) => {
                if let Some(last) = show(reply, console)? {
                    return exit_code(&last).map(Some);
                }
            }
        }
    }
}

fn exit_code(last: &Reply) -> Result<u8, Halt> {
    match last {
        Reply::Ended { end } => Ok(end.code()),
        _ => Err(unexpected().into()),
    }
}

/// The distribution was stopped or killed, or the leader of the session was. Standard output may be a pipe for data by now, so it is not told there.
fn lost(console: &mut Console) -> u8 {
    console.note(
        "wsl: The session was cut off: the distribution ended, or the leader of the session was killed.",
    );
    FAILURE
}
