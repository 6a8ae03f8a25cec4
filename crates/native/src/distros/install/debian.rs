//! Debian, built on this machine where no list has it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::service::{Install, Reply};

use super::say;
use crate::debootstrap::{self, Recipe, Told};
use crate::distros::failure::failure;
use crate::distros::{Distros, Tell};

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

/// Two at once would work in the same folder.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

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
    pub(super) fn install_debian(&self, request: &Install, tell: Tell<'_>) -> Result<String, Failure> {
        let name = request.name.as_deref().unwrap_or(NAME);
        self.require_new(name)?;
        say(tell, "Building: Debian stable, of Debian's signed packages");
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever was faster may have taken it.
        self.require_new(name)?;
        let workshop = self.workshop();
        let built = debootstrap::build(&self.native.guest, &RECIPE, &workshop, "debian.tar", &|told| {
            tell(match told {
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
        say(tell, "Installing: Debian");
        self.register_new(request, Some(name), file.into(), NAME, tell)
    }
}
