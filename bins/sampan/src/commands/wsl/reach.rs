//! The way to the service.

use std::os::fd::OwnedFd;

use sampan_model::api::Distributions;
use sampan_model::instance::Instance;
use sampan_model::words::Word;
use sampan_model::wsl::error::Failure;
use sampan_model::wsl::service::Reply;
use sampan_sys::Errno;
use sampan_sys::socket::connect_seqpacket;

use super::halt::of_problem;
use crate::commands::{self, Session};
use crate::exit::Problem;
use crate::{access, service};

/// How the service is found.
pub(in crate::commands) trait Reach {
    /// The state folder that is meant.
    fn state(&self) -> Word;

    /// A connection to the service; none: it does not run.
    fn find(&self) -> Result<Option<OwnedFd>, Failure>;

    /// A connection to the service, which is started if it does not run.
    fn start(&self) -> Result<OwnedFd, Failure>;

    /// Whether something may run although the service does not.
    fn left_behind(&self) -> bool;

    /// The answer to `question`, while the service does not run.
    fn offline(&self, question: Question) -> Result<Reply, Failure>;
}

/// What is answered without the service too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Question {
    /// All distributions.
    List,
    /// The defaults.
    Status,
}

/// The service of an instance on this machine.
#[derive(Debug)]
pub(in crate::commands) struct Local<'a>(pub(in crate::commands) &'a Session);

impl Local<'_> {
    fn instance(&self) -> &Instance {
        &self.0.instance
    }
}

impl Reach for Local<'_> {
    fn state(&self) -> Word {
        self.instance().state().as_os_str().into()
    }

    fn find(&self) -> Result<Option<OwnedFd>, Failure> {
        let socket = self.instance().distros_socket();
        match connect_seqpacket(&socket) {
            Ok(connection) => Ok(Some(connection)),
            Err(error) => match error.errno() {
                Errno::NOENT | Errno::CONNREFUSED => Ok(None),
                Errno::ACCESS | Errno::PERM => {
                    Err(of_problem(&access::denied(&socket.display().to_string())))
                }
                errno => Err(of_problem(&Problem::failed(format!("{error}: {errno}")))),
            },
        }
    }

    fn start(&self) -> Result<OwnedFd, Failure> {
        if let Some(connection) = self.find()? {
            return Ok(connection);
        }
        if !access::is_root() {
            let hint = access::as_root(self.instance());
            return Err(of_problem(&Problem::not_running("Sampan is not running").hint(hint)));
        }
        commands::wait(service::launch(self.instance())).map_err(|problem| of_problem(&problem))?;
        self.find()?.ok_or_else(|| {
            let socket = self.instance().distros_socket();
            let message = format!("the service runs, but nothing answers at {}", socket.display());
            let (stop, start) = (self.0.command("stop"), self.0.command("start"));
            let hint = format!("if it is of an older version: `{stop}`, then `{start}`");
            of_problem(&Problem::failed(message).hint(hint))
        })
    }

    fn left_behind(&self) -> bool {
        // Disks of a stopped Sampan come back with the next start, unless somebody shuts it down.
        service::left_behind(self.instance()) || self.instance().disks_record().exists()
    }

    fn offline(&self, question: Question) -> Result<Reply, Failure> {
        let answer = match question {
            Question::List => {
                let list = service::ask_program::<Distributions>(self.instance(), &["list"]);
                commands::wait(list).map(|list| Reply::Distributions { distributions: list.distributions })
            }
            Question::Status => commands::wait(service::ask_program::<Reply>(self.instance(), &["status"])),
        };
        answer.map_err(|problem| of_problem(&problem))
    }
}
