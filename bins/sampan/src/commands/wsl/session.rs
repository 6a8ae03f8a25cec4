//! A command or a shell in a distribution.

use std::os::fd::AsFd as _;
use std::path::Path;

use sampan_model::session::{Folder, SessionSpec};
use sampan_model::wsl::args::RunOptions;
use sampan_model::wsl::service::{Reply, Request};
use sampan_sys::signals::Signal;

use super::caller::Caller;
use super::console::Console;
use super::conversation::{Conversation, ENDING, Signals, show, unexpected};
use super::halt::{Halt, by_signal, of_streams};
use super::streams::{Relay, Streams};
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
        // The caller's own is not in the system's distribution.
        folder: if system && folder.is_none() {
            Folder::Home
        } else {
            starting_folder(folder, &wsl.caller, &mut wsl.console)
        },
        environment: environment::variables(&wsl.caller),
        terminal,
        first_run: false,
    };
    let request = Request::Session { target, system, spec: Box::new(spec) };
    let mut repeated = false;
    loop {
        let (connection, state) = (wsl.reach.start()?, wsl.reach.state());
        let Streams { handed, relay } = Streams::of(&wsl.caller).map_err(|error| of_streams(&error))?;
        let fds = [handed[0].as_fd(), handed[1].as_fd(), handed[2].as_fd()];
        let conversation = Conversation::begin(connection, state, request.clone(), &fds)?;
        drop(handed);
        let ended = if terminal.is_some() {
            with_terminal(&conversation, &wsl.caller, &mut wsl.console)?
        } else {
            with_streams(&conversation, relay, &mut wsl.caller, &mut wsl.console)?
        };
        match ended {
            Some(code) => return Ok(code),
            // The service died before it did anything with the request: the next one is asked.
            None if !conversation.was_heard() && !repeated && conversation.outlived_service() => {
                repeated = true;
            }
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

/// The caller's streams are the command's own, but for a terminal: what is typed is passed on, and so are signals. None:
/// the other side is gone.
fn with_streams(
    conversation: &Conversation,
    mut relay: Relay,
    caller: &mut Caller,
    console: &mut Console,
) -> Result<Option<u8>, Halt> {
    // A job in the background that reads a terminal is stopped, unless it does not take this signal.
    let signals = Signals::block(&[ENDING.as_slice(), &[Signal::TTIN]].concat())?;
    let mut begun = false;
    loop {
        // Nothing is taken from the terminal for a command that does not begin.
        let heard = if begun {
            relay.wait(conversation, &signals).map_err(|errno| of_streams(&errno.into()))?[0]
        } else {
            signals.wait_for(conversation)?
        };
        // What has been said comes first: a command that has ended takes no signals.
        if heard {
            let Some((reply, _)) = conversation.next()? else {
                relay.show_rest();
                return Ok(None);
            };
            if reply == Reply::Begun {
                begun = true;
                let let_go = console.leave_output().and_then(|()| caller.let_go());
                let_go.map_err(|error| of_streams(&error))?;
            } else if let Some(last) = show(reply, console)? {
                relay.show_rest();
                return exit_code(&last).map(Some);
            }
        } else if let Some(signal) = signals.take()?
            && signal != Signal::TTIN.as_raw()
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
