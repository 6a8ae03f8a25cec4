//! Debian, built on this machine where no list has it.

use std::fmt::Display;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::LazyLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::{Install, Reply};

use super::say;
use crate::cancel::Cancel;
use crate::debootstrap::{self, Recipe, Told};
use crate::distros::failure::failure;
use crate::distros::{Asker, Distros};

/// What it is called unless the user says otherwise.
const NAME: &str = "Debian";

/// What is there for its user from the beginning, beyond the smallest system.
const PACKAGES: [&str; 16] = [
    "adduser",
    "bash-completion",
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "less",
    "libpam-systemd",
    "nano",
    "netbase",
    "procps",
    "sudo",
    "systemd-sysv",
    "tzdata",
    "vim-tiny",
    "wget",
];

/// What was right for the build alone goes: how apt and dpkg were told to behave, and the builder's own network. There is
/// one locale.
const FINISH: &str = "set -e; \
     rm -f \"$1/etc/apt/apt.conf.d/99mmdebstrap\" \"$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap\"; \
     rm -f \"$1/etc/resolv.conf\" \"$1/etc/hostname\"; \
     echo LANG=C.UTF-8 > \"$1/etc/default/locale\"";

const RECIPE: Recipe<'static> = Recipe {
    what: "Debian",
    instead: "install a root file system that you have: `wsl --install --from-file FILE`",
    room: 1500 << 20,
    suite: "stable",
    variant: "minbase",
    packages: &PACKAGES,
    without: &[],
    finish: FINISH,
};

/// Two at once would work in the same folder. An event that is counted down to nothing, not a mutex: whoever waits for it
/// may be called off.
static ONE_AT_A_TIME: LazyLock<Result<OwnedFd, Errno>> =
    LazyLock::new(|| eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK));

/// The right to build; over when dropped.
struct Turn(&'static OwnedFd);

impl Turn {
    fn take(cancel: &Cancel) -> Result<Self, Failure> {
        let cannot = |why: &dyn Display| {
            Failure::new(Code::Fail).with_message(format!("Cannot wait for another build of Debian: {why}"))
        };
        let event = ONE_AT_A_TIME.as_ref().map_err(|errno| cannot(errno))?;
        loop {
            cancel.check().map_err(|error| cannot(&error))?;
            match rustix::io::read(event, &mut [0; 8]) {
                Ok(_) => return Ok(Self(event)),
                // Somebody else builds, or was faster.
                Err(Errno::AGAIN) => drop(cancel.wait_for(event, None).map_err(|error| cannot(&error))?),
                Err(errno) => return Err(cannot(&errno)),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = rustix::io::write(self.0, &1_u64.to_ne_bytes());
    }
}

/// Whether `name` means Debian.
pub(super) fn is_meant(name: &str) -> bool {
    name.eq_ignore_ascii_case(NAME)
}

impl Distros {
    /// Removes what a build left that was cut off. To be called before the first request.
    pub(in crate::distros) fn clear_workshop(&self) {
        let _ = fs::remove_dir_all(self.workshop());
    }

    fn workshop(&self) -> PathBuf {
        self.native.instance.cache().join("building-debian")
    }

    /// Builds Debian and makes a distribution of it.
    pub(super) fn install_debian(&self, request: &Install, asker: Asker<'_>) -> Result<String, Failure> {
        let name = request.name.as_deref().unwrap_or(NAME);
        self.require_new(name)?;
        say(asker, "Building: Debian stable, of Debian's signed packages");
        let _turn = Turn::take(asker.cancel)?;
        // Whoever was faster may have taken it.
        self.require_new(name)?;
        let workshop = self.workshop();
        let guest = asker.guest(&self.native.guest);
        let built = debootstrap::build(&guest, &RECIPE, &workshop, "debian.tar", &|told| {
            asker.tell(match told {
                Told::Step(step) => {
                    Reply::Progress { label: format!("Building Debian: {step}"), permille: None }
                }
                Told::Warning(message) => Reply::Warning { message },
            });
        });
        let archive = built.map_err(failure)?;
        // Without a name from here on: whatever happens, it is gone with the last who reads it.
        let opened = File::open(&archive);
        let _ = fs::remove_dir_all(&workshop);
        let file = opened.map_err(|error| {
            Failure::new(Code::Fail).with_message(format!("cannot open {}: {error}", archive.display()))
        })?;
        say(asker, "Installing: Debian");
        self.register_new(request, Some(name), file.into(), NAME, asker)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn who_waits_for_another_build_may_be_called_off() {
        let turn = Turn::take(&Cancel::default()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let cancel = Cancel::by(ours.as_fd()).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Turn::take(&cancel).map(drop));
            drop(theirs);
            waiting.join().unwrap().unwrap_err();
            let next = scope.spawn(|| Turn::take(&Cancel::default()).map(drop));
            drop(turn);
            next.join().unwrap().unwrap();
        });
        drop(Turn::take(&Cancel::default()).unwrap());
    }
}
