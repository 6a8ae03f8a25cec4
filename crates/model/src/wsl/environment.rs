//! The environment of a session.
//!
//! Source: microsoft/WSL `src/windows/service/exe/DistributionRegistration.h` (what every distribution begins
//! with) and `src/linux/init/init.cpp`. Left out: what belongs to Windows programs and to its windows, and
//! the host's PATH.

pub mod wslenv;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::wsl::account::User;

/// PATH of every user, root or not. The last folder ([`crate::docker_cli::SHIM_PLACE`]) is not WSL's: where there is no other
/// `docker`, the one in it says why.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games:/run/sampan/bin";

/// What a session's environment is made of.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Who it runs as.
    pub user: &'a User,
    /// Name of the distribution.
    pub distribution: &'a str,
    /// Host name of the distribution.
    pub hostname: &'a str,
    /// `LANG` by the distribution's own files ([`super::locale::lang`]).
    pub lang: Option<&'a str>,
    /// `TERM` of the client; none: there is no terminal.
    pub term: Option<&'a OsStr>,
    /// Variables from outside, by `WSLENV` ([`wslenv`]). They win over `PATH`, `TERM` and the defaults, not
    /// over who the user is.
    pub imported: &'a [(OsString, OsString)],
    /// Whether systemd has a session of the user: it has a folder for the user's sockets then.
    pub login_session: bool,
}

/// The variables of a session. Each name is there once.
pub fn session(session: &Session<'_>) -> Vec<(OsString, OsString)> {
    let mut variables = Variables::default();
    variables.set("HOSTTYPE", std::env::consts::ARCH);
    variables.set("LANG", "C.UTF-8");
    variables.set("PATH", PATH);
    variables.set("TERM", session.term.unwrap_or(OsStr::new("xterm-256color")));
    variables.set(wslenv::NAME, "");
    for (name, value) in session.imported {
        variables.set(name, value);
    }
    variables.set("NAME", session.hostname);
    variables.set("WSL_DISTRO_NAME", session.distribution);
    if let Some(lang) = session.lang {
        variables.set("LANG", lang);
    }
    let User { name, uid, home, shell, .. } = session.user;
    variables.set("HOME", home);
    variables.set("USER", name);
    variables.set("LOGNAME", name);
    variables.set("SHELL", shell);
    if session.login_session {
        variables.set("DBUS_SESSION_BUS_ADDRESS", format!("unix:path=/run/user/{uid}/bus"));
        variables.set("XDG_RUNTIME_DIR", format!("/run/user/{uid}"));
    }
    variables.0
}

#[derive(Default)]
struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    /// Sets or replaces a variable. What execve(2) cannot pass on is left out.
    fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !wslenv::is_name(name) || value.as_bytes().contains(&0) {
            return;
        }
        match self.0.iter_mut().find(|(set, _)| set == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(session: &Session<'_>) -> Vec<String> {
        let variable =
            |(name, value): (OsString, OsString)| format!("{}={}", name.display(), value.display());
        super::session(session).into_iter().map(variable).collect()
    }

    #[test]
    fn the_base_is_that_of_wsl() {
        let user = User {
            name: "ann".into(),
            uid: 1000,
            gid: 1000,
            home: "/home/ann".into(),
            shell: "/bin/bash".into(),
        };
        let base = Session {
            user: &user,
            distribution: "Debian",
            hostname: "box",
            lang: None,
            term: None,
            imported: &[],
            login_session: false,
        };
        let hosttype = format!("HOSTTYPE={}", std::env::consts::ARCH);
        let path = format!("PATH={PATH}");
        let expected = [
            hosttype.as_str(),
            "LANG=C.UTF-8",
            &path,
            "TERM=xterm-256color",
            "WSLENV=",
            "NAME=box",
            "WSL_DISTRO_NAME=Debian",
            "HOME=/home/ann",
            "USER=ann",
            "LOGNAME=ann",
            "SHELL=/bin/bash",
        ];
        assert_eq!(text(&base), expected);
    }

    #[test]
    fn the_last_resort_comes_last() {
        assert_eq!(PATH.rsplit(':').next(), Some(crate::docker_cli::SHIM_PLACE));
    }

    #[test]
    fn what_is_imported_wins_over_defaults_only() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let imported = [
            pair("WSLENV", "PATH/u"),
            pair("PATH", "/x"),
            pair("LANG", "C"),
            pair("HOME", "/no"),
            pair("A=B", "no"),
            pair("", "no"),
            pair("NUL", "a\0b"),
            pair("EMPTY", ""),
        ];
        let session = Session {
            user: &User::root(),
            distribution: "Debian",
            hostname: "box",
            lang: Some("de_DE.UTF-8"),
            term: Some(OsStr::new("dumb")),
            imported: &imported,
            login_session: true,
        };
        let text = text(&session);
        for line in ["PATH=/x", "WSLENV=PATH/u", "LANG=de_DE.UTF-8", "HOME=/", "TERM=dumb", "EMPTY="] {
            assert_eq!(text.iter().filter(|found| *found == line).count(), 1, "{line} in {text:?}");
        }
        assert!(text.contains(&"XDG_RUNTIME_DIR=/run/user/0".to_owned()));
        assert!(
            !text.iter().any(|line| line.contains("no") || line.starts_with("NUL") || line.starts_with('='))
        );
    }
}
