//! `--install`: a distribution from the manifest or a file, and its first shell.

use std::os::fd::AsFd as _;

use sampan_model::session::{Folder, Program};
use sampan_model::wsl::args::{InstallOptions, RunOptions};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Request, Target};

use super::conversation::unexpected;
use super::halt::Halt;
use super::{Wsl, archive, session};

/// Runs the verb.
pub(super) fn run(wsl: &mut Wsl<'_>, options: InstallOptions) -> Result<u8, Halt> {
    for option in &options.without_effect {
        wsl.console.warn(&message::without_effect(option));
    }
    if options.fixed_vhd {
        let message = "Disks take room as it is needed here; there are none of a fixed size.";
        let hint = "leave --fixed-vhd out: what --vhd-size says is the most that the disk may take";
        return Err(Failure::new(Code::NotImplemented).with_message(message).hint(hint).into());
    }
    if options.no_distribution {
        // There is nothing else to be installed.
        return wsl.say(message::SUCCESS);
    }
    let mut install = options.install;
    install.location = install.location.as_deref().map(|path| wsl.caller.absolute(path)).transpose()?;
    let opened = options.source.as_ref().map(|source| archive::open(&wsl.caller, source)).transpose()?;
    let (file, from_file) = opened.unzip();
    install.from_file = from_file;
    let request = Request::Install(Box::new(install));
    let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
    let name = wsl.order(&request, &fds)?.ok_or_else(unexpected)?;
    drop(file);
    wsl.console.print(&message::installed(&name))?;
    if options.no_launch {
        return Ok(0);
    }
    wsl.console.print(&message::launching(&name))?;
    let first_shell = RunOptions {
        target: Target::Name { name },
        user: None,
        folder: Some(Folder::Home),
        program: Program::Shell { login: true },
        system: false,
    };
    session::run(wsl, first_shell)
}
