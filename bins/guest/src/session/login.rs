//! Who a session runs as.

use std::ffi::OsStr;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{Gid, Mode, Uid};
use sampan_model::session::SessionSpec;
use sampan_model::wsl::account::{Accounts, User};
use sampan_model::wsl::error::{Code, Failure};

use crate::boot::settings::read_regular;

const ROOT: &str = "root";

/// The users and groups of the distribution as they are now.
pub(crate) struct Login(Accounts);

/// The user of a session.
pub(super) struct Chosen {
    user: User,
    /// The default user who should have been it, but does not exist.
    pub(super) instead_of: Option<String>,
}

impl Login {
    /// Reads them. A file that is missing or unreadable knows nobody; root is always there.
    pub(crate) fn read() -> Self {
        Self(Accounts::parse(&read("/etc/passwd"), &read("/etc/group")))
    }

    pub(crate) fn root(&self) -> User {
        self.0.user_by_uid(0).cloned().unwrap_or_else(User::root)
    }

    /// Who was asked for; else the default user: by `name` (of `wsl.conf`), by number, root. Root is there whatever the files
    /// say: somebody has to mend them.
    pub(super) fn user(&self, spec: &SessionSpec, name: Option<&str>) -> Result<Chosen, Failure> {
        if let Some(asked) = &spec.user {
            let user = self.0.user_by_name(OsStr::new(asked)).cloned();
            let user = user.or_else(|| (*asked == *ROOT).then(User::root));
            let user = user.ok_or_else(|| Failure::new(Code::UserNotFound))?;
            return Ok(Chosen { user, instead_of: None });
        }
        let user = self.0.default_user(name.map(OsStr::new), spec.default_uid);
        let instead_of = match name {
            Some(name) => (user.name != name).then(|| format!("'{name}' of /etc/wsl.conf")),
            None => (user.uid != spec.default_uid).then(|| spec.default_uid.to_string()),
        };
        Ok(Chosen { user, instead_of })
    }

    /// The terminal belongs to its user, and programs of the group `tty` may write to it (as login(1) does).
    pub(super) fn own_terminal(&self, terminal: impl AsFd, user: &User) -> anyhow::Result<()> {
        let gid = self.0.gid_by_name(OsStr::new("tty")).map(Gid::from_raw);
        rustix::fs::fchown(&terminal, Some(Uid::from_raw(user.uid)), gid)
            .and_then(|()| rustix::fs::fchmod(&terminal, Mode::from_raw_mode(0o620)))
            .context("cannot hand the terminal over")
    }

    /// Groups, group, user. One who is not root keeps no capability.
    pub(super) fn become_user(&self, user: &User) -> anyhow::Result<()> {
        let name = user.name.display();
        let groups: Vec<Gid> = self.0.groups_of(user).into_iter().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        // As long as it is the only thread, what these do to the thread they do to the process.
        rustix::thread::set_thread_groups(&groups)
            .with_context(|| format!("cannot take the groups of '{name}'"))?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .with_context(|| format!("cannot take the group {} of '{name}'", user.gid))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .with_context(|| format!("cannot become '{name}', user {}", user.uid))
    }
}

/// The content of a file of the distribution; nothing for one that is missing or no plain file.
pub(crate) fn read(path: &str) -> Vec<u8> {
    /// More than any such file has.
    const LIMIT: u64 = 16 << 20;
    read_regular(Path::new(path), LIMIT).ok().flatten().unwrap_or_default()
}

impl Chosen {
    pub(super) fn name(&self) -> String {
        self.user.name.to_string_lossy().into_owned()
    }
}

impl Deref for Chosen {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}
