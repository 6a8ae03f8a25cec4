//! `wsl`: wsl.exe's grammar and output. Like there, results and errors are on standard output.

mod archive;
mod caller;
mod console;
mod conversation;
mod environment;
mod halt;
mod install;
mod list;
mod manage;
mod own;
mod reach;
mod screen;
mod session;
mod streams;
mod terminal;

use std::ffi::OsString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitCode;

use sampan_model::integration;
use sampan_model::session::{Folder, Program};
use sampan_model::wsl::args::{Command, RunOptions, parse};
use sampan_model::wsl::error::Failure;
use sampan_model::wsl::service::{Reply, Request, Target};
use sampan_model::wsl::{message, usage};

use self::console::Console;
use self::conversation::{Conversation, ENDING, Signals, is_repeatable, unexpected, unfinished};
use self::halt::of_problem;
use crate::cli::Format;
use crate::{commands, output};

pub(super) use self::caller::Caller;
pub(super) use self::halt::{Halt, to_problem};
pub(super) use self::reach::{Local, Reach};

/// The exit code of every failure: -1, as wsl.exe has it.
const FAILURE: u8 = 255;

/// Runs the verb.
pub(crate) fn main(instance: Option<&str>, args: &[OsString]) -> ExitCode {
    let code = commands::Session::new(instance, Format::Pretty, 0)
        .map_err(|problem| of_problem(&problem).into())
        .and_then(|session| Ok(Wsl::new(&Local(&session))?.run(args)));
    ExitCode::from(code.unwrap_or_else(|halt: Halt| {
        let (text, code) = halt.last_word();
        output::text(&text).map_or(FAILURE, |()| code)
    }))
}

/// Who asks, what is printed where, and who answers.
pub(super) struct Wsl<'a> {
    caller: Caller,
    console: Console,
    reach: &'a dyn Reach,
}

impl<'a> Wsl<'a> {
    /// For this process.
    pub(super) fn new(reach: &'a dyn Reach) -> Result<Self, Halt> {
        let own = |error| Halt::from(halt::of_streams(&error));
        let caller = Caller::own().map_err(own)?;
        let console = Console::of(&caller).map_err(own)?;
        Ok(Self { caller, console, reach })
    }

    /// For a verb of `sampan`'s own.
    pub(super) fn of_sampan(reach: &'a dyn Reach) -> Result<Self, Halt> {
        let mut wsl = Self::new(reach)?;
        wsl.console.speak_as_sampan();
        Ok(wsl)
    }

    /// Leaves standard output to somebody else: what would be printed there goes to standard error.
    pub(super) fn leave_output(&mut self) -> Result<(), Halt> {
        self.console.leave_output().map_err(|error| halt::of_streams(&error).into())
    }

    /// Does what `args` ask for, to the last word; the exit code.
    fn run(mut self, args: &[OsString]) -> u8 {
        let answer = parse(args).map_err(Halt::from).and_then(|command| self.answer(command));
        answer.unwrap_or_else(|halt| {
            let (text, code) = halt.last_word();
            self.console.print(&text).map_or(FAILURE, |()| code)
        })
    }

    /// Does what `command` asks for; the exit code.
    fn answer(&mut self, command: Command) -> Result<u8, Halt> {
        match command {
            Command::Run(options) => session::run(self, options),
            Command::List(options) if options.online => list::online(self),
            Command::List(options) => list::list(self, options),
            Command::Status => list::status(self),
            Command::Help => self.say(usage::USAGE),
            Command::Version => own::version(self),
            Command::Update => own::update(self),
            Command::Uninstall => Err(own::uninstall().into()),
            Command::DebugShell => Err(own::debug_shell().into()),
            Command::SetDefault { name, force } => {
                self.order(&Request::SetDefault { name, force }, &[])?;
                self.say(message::SUCCESS)
            }
            Command::SetDefaultVersion { version } => manage::set_default_version(self, version),
            Command::SetVersion { name, version } => manage::set_version(self, name, version),
            Command::Terminate { name } => manage::terminate(self, &name),
            Command::Shutdown { force } => manage::shutdown(self, force),
            Command::Unregister { name, force } => manage::unregister(self, name, force),
            Command::Manage { name, action } => manage::manage(self, name, action),
            Command::Mount(options) => manage::mount(self, options),
            Command::Unmount { disk } => manage::unmount(self, disk),
            Command::Import(options) => archive::import(self, options),
            Command::ImportInPlace { name, disk } => archive::import_in_place(self, name, &disk),
            Command::Export(options) => archive::export(self, options),
            Command::Install(options) => install::run(self, options),
        }
    }

    /// Prints the end of a command that went well.
    fn say(&mut self, text: &str) -> Result<u8, Halt> {
        self.console.print(text)?;
        Ok(0)
    }

    /// Asks the service, which is started if it does not run, and gives its last word.
    fn ask(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<Reply, Halt> {
        let last = self.ask_whom(|reach| reach.start().map(Some), request, fds)?;
        last.ok_or_else(|| unfinished().into())
    }

    /// Asks the service that `find` gives, and gives its last word; none: `find` gives none. If the service dies over a
    /// request that can be made twice, the next one is asked.
    fn ask_whom(
        &mut self,
        find: impl Fn(&dyn Reach) -> Result<Option<OwnedFd>, Failure>,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Option<Reply>, Halt> {
        // Before anything is asked for: who asks has to hear the end of it.
        let signals = Signals::block(&ENDING)?;
        let attempts = if is_repeatable(request) { 2 } else { 1 };
        for _ in 0..attempts {
            let Some(connection) = find(self.reach)? else { return Ok(None) };
            let conversation = Conversation::begin(connection, self.reach.state(), request.clone(), fds)?;
            if let Some(last) = conversation.finish(&signals, &mut self.console)? {
                return Ok(Some(last));
            }
            conversation.outlived_service();
        }
        Err(unfinished().into())
    }

    /// Runs a program in a distribution as its root, with the streams of this process, which keeps them for what it has
    /// to say afterwards; the program's exit code.
    pub(super) fn run_in(&mut self, name: &str, words: &[&str]) -> Result<u8, Halt> {
        self.caller.own = false;
        let options = RunOptions {
            target: Target::Name { name: name.to_owned() },
            user: Some("root".to_owned()),
            folder: Some(Folder::Home),
            program: Program::Exec { words: words.iter().map(|word| (*word).into()).collect() },
            system: false,
        };
        session::run(self, options)
    }

    /// How integration is in every distribution.
    pub(super) fn integrations(&mut self) -> Result<Vec<integration::Row>, Halt> {
        match self.ask(&Request::Integration(integration::Action::List), &[])? {
            Reply::Integrations { rows } => Ok(rows),
            _ => Err(unexpected().into()),
        }
    }

    /// Asks for something that is only to be done. Gives the name of a distribution that was made.
    pub(super) fn order(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Option<String>, Halt> {
        done(self.ask(request, fds)?)
    }
}

/// The last word says that it is done; the name of a distribution that was made.
fn done(last: Reply) -> Result<Option<String>, Halt> {
    match last {
        Reply::Done { installed } => Ok(installed),
        _ => Err(unexpected().into()),
    }
}

#[cfg(test)]
mod tests;
