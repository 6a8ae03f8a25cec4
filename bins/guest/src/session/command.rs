//! The command of a session: from a fork of the leader to the program.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::Mode;
use sampan_model::session::{Folder, Program, SessionSpec};
use sampan_model::words::Word;
use sampan_model::wsl::account::User;
use sampan_model::wsl::environment::wslenv::{self, Direction, HostPaths};
use sampan_model::wsl::environment::{self, Session};
use sampan_model::wsl::locale;
use sampan_sys::process::{self, Standard};
use sampan_sys::pty;

use super::client::Client;
use super::login::{Login, read};
use super::{Distribution, first_run, program, user_session};
use crate::verb;

/// Name and value of each variable.
pub(crate) type Environment = Vec<(OsString, OsString)>;

/// What is to be run.
pub(super) struct Command {
    pub(super) spec: SessionSpec,
    /// Standard input, output, error.
    pub(super) streams: [OwnedFd; 3],
    /// Where the success of a first-run command is reported.
    pub(super) report: Option<OwnedFd>,
}

impl Command {
    /// Becomes the program. Returns only when something failed before there was a program to blame.
    pub(super) fn become_program(
        mut self,
        distribution: &Distribution,
        terminal: Option<&OwnedFd>,
        client: &Client,
    ) -> anyhow::Result<Infallible> {
        process::reset_signals();
        if let Some(terminal) = terminal {
            process::set_session()?;
            pty::take(terminal)?;
        } else {
            rustix::process::setpgid(None, None).context("cannot make a process group")?;
        }
        if self.spec.first_run && matches!(self.spec.program, Program::Shell { .. }) {
            let (environment, _) = self.environment(distribution, &Login::read().root(), false);
            let uid = first_run::run(&environment, self.report.as_ref(), || self.take_streams(terminal))?;
            self.spec.default_uid = uid.unwrap_or(self.spec.default_uid);
        }
        let login = Login::read();
        let user = login.user(&self.spec, distribution.conf.user.default.as_deref())?;
        if let Some(missing) = &user.instead_of {
            client.warn(format!("The default user {missing} does not exist: using '{}'.", user.name()));
        }
        if let Some(terminal) = terminal {
            login.own_terminal(terminal, &user)?;
        }
        let has_session = distribution.under_systemd
            && user_session::ensure(user.uid, distribution.unit_limit()).unwrap_or_else(|error| {
                verb::log(&verb::chain(&error));
                client.warn(format!(
                    "Failed to start the systemd user session for '{}'. See journalctl for more details.",
                    user.name()
                ));
                false
            });
        let (environment, failed) = self.environment(distribution, &user, has_session);
        for path in failed {
            client.warn(untranslated(&path));
        }
        // Until here standard error is the log.
        self.take_streams(terminal)?;
        login.become_user(&user)?;
        rustix::process::umask(Mode::from_raw_mode(distribution.umask()));
        self.enter_folder(distribution, &user, client);
        program::execute(&self.spec.program, &user, &environment)
    }

    /// The streams as they are; in a terminal that instead of each one that is the client's.
    fn take_streams(&self, terminal: Option<&OwnedFd>) -> sampan_sys::Result<()> {
        for (stream, to) in self.streams.iter().zip([Standard::Input, Standard::Output, Standard::Error]) {
            match terminal {
                Some(terminal) if pty::is_terminal(stream) => process::redirect(terminal, to)?,
                _ => process::redirect(stream, to)?,
            }
        }
        Ok(())
    }

    /// The environment, and the paths in it that mean nothing inside.
    fn environment(
        &self,
        distribution: &Distribution,
        user: &User,
        login_session: bool,
    ) -> (Environment, Vec<OsString>) {
        let inside = |path: &OsStr| Some(distribution.folders.to_inside(Path::new(path))?.into_os_string());
        let (imported, failed) =
            wslenv::apply(&self.spec.environment, Direction::IntoLinux, HostPaths::Linux, inside);
        let environment = environment::session(&Session {
            user,
            distribution: &distribution.name,
            hostname: &distribution.hostname,
            lang: lang().as_deref(),
            // It is among the imported ones.
            term: None,
            imported: &imported,
            login_session,
        });
        (environment, failed)
    }

    /// The working directory: instead of one that cannot be entered the home folder, and in the end the root.
    fn enter_folder(&self, distribution: &Distribution, user: &User, client: &Client) {
        let refused = match &self.spec.folder {
            Folder::Home => None,
            Folder::Inside { path } => match rustix::process::chdir(from_home(&user.home, path)) {
                Ok(()) => return,
                Err(error) => {
                    let (path, reason) = (path.as_path().display(), program::reason(error));
                    Some(format!("Cannot enter the folder '{path}' ({reason}): starting in the home folder."))
                }
            },
            Folder::Host { path } => {
                let inside = distribution.folders.to_inside(path.as_path());
                if inside.is_some_and(|path| rustix::process::chdir(path).is_ok()) {
                    return;
                }
                Some(untranslated(path.as_os_str()))
            }
        };
        if let Some(refused) = refused {
            client.warn(refused);
        }
        if let Err(error) = rustix::process::chdir(&user.home) {
            let (home, reason) = (user.home.display(), program::reason(error));
            client.warn(format!("Cannot enter the home folder '{home}' ({reason}): starting in '/'."));
            let _ = rustix::process::chdir("/");
        }
    }
}

/// A path as the user wrote it, seen from the home folder.
fn from_home(home: &Path, path: &Word) -> PathBuf {
    home.join(path.as_path().strip_prefix("~").unwrap_or(path.as_path()))
}

fn lang() -> Option<String> {
    let text = |file| Path::new(file).exists().then(|| String::from_utf8_lossy(&read(file)).into_owned());
    let texts = locale::FILES.map(text);
    locale::lang([texts[0].as_deref(), texts[1].as_deref()])
}

fn untranslated(path: &OsStr) -> String {
    format!("Failed to translate '{}'", path.display())
}
