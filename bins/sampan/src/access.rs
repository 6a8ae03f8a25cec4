//! What a user who is not root may do, and what to type to be allowed more.

use std::ffi::OsString;
use std::fs;

use sampan_model::instance::{DEFAULT_NAME, Instance};

use crate::cli;
use crate::exit::Problem;

/// Members of this group may use the sockets.
const GROUP: &str = "sampan";

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets only root pass; `purpose` reads like `starting Sampan`.
pub(crate) fn require_root(purpose: &str, instance: &Instance) -> Result<(), Problem> {
    if is_root() {
        return Ok(());
    }
    Err(Problem::denied(format!("{purpose} needs root")).hint(as_root(instance)))
}

/// That the command of this process is to be typed once more, as root.
pub(crate) fn as_root(instance: &Instance) -> String {
    let words: Vec<_> = std::env::args_os().collect();
    format!("type `sudo {}`", typed(&words, instance.name()))
}

/// What was typed, for a shell. The instance stands in it: sudo(8) keeps no variable that could name it.
fn typed(words: &[OsString], instance: &str) -> String {
    let own: Vec<String> = words.iter().skip(1).map(|word| quoted(&word.to_string_lossy())).collect();
    let is_wsl = cli::is_wsl(words);
    let named = own.iter().any(|word| word == "--instance" || word.starts_with("--instance="));
    let mut text = match (is_wsl, instance == DEFAULT_NAME) {
        (true, true) => "wsl".to_owned(),
        (true, false) => format!("sampan --instance {instance} wsl"),
        (false, false) if !named => format!("sampan --instance {instance}"),
        (false, _) => "sampan".to_owned(),
    };
    for word in own {
        text.push(' ');
        text.push_str(&word);
    }
    text
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The user may not use `what` of a running or installed instance.
pub(crate) fn denied(what: &str) -> Problem {
    // Read directly: the programs are static and have no name service. A file that can't be read names nobody.
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = user_name(&users, rustix::process::getuid().as_raw());
    Problem::denied(format!("you may not use {what}")).hint(way_in(&groups, user.as_deref()))
}

/// What to type to be let in.
fn way_in(groups: &str, user: Option<&str>) -> String {
    let name = user.unwrap_or("$USER");
    let otherwise = "or put `sudo` before the command";
    match members(groups) {
        None => format!(
            "type `sudo groupadd --system {GROUP}` and `sudo usermod -aG {GROUP} {name}`, then \
             `sudo sampan stop` and `sudo sampan start`, and log in again; {otherwise}"
        ),
        Some(members) if user.is_some_and(|user| members.contains(&user)) => {
            format!(
                "you were added to the group {GROUP} after you logged in: log in again, or type `newgrp {GROUP}`; {otherwise}"
            )
        }
        Some(_) => format!("type `sudo usermod -aG {GROUP} {name}`, then log in again; {otherwise}"),
    }
}

/// The members of the group, when it exists (group(5)).
fn members(groups: &str) -> Option<Vec<&str>> {
    let line = groups.lines().find(|line| line.split(':').next() == Some(GROUP))?;
    Some(line.split(':').nth(3).unwrap_or_default().split(',').map(str::trim).collect())
}

/// The name of the user with number `uid` (passwd(5)).
fn user_name(users: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_in_fits_the_machine() {
        let without = way_in("root:x:0:\n", Some("ann"));
        assert!(without.contains("groupadd --system sampan") && without.contains("usermod -aG sampan ann"));
        let outside = way_in("root:x:0:\nsampan:x:990:bob\n", Some("ann"));
        assert!(outside.starts_with("type `sudo usermod -aG sampan ann`, then log in again"));
        let inside = way_in("sampan:x:990:bob,ann\n", Some("ann"));
        assert!(inside.contains("log in again") && !inside.contains("usermod"));
    }

    #[test]
    fn what_was_typed_can_be_typed_again() {
        let typed =
            |words: &[&str], instance| typed(&words.iter().map(OsString::from).collect::<Vec<_>>(), instance);
        assert_eq!(typed(&["/usr/bin/wsl", "-l", "-v"], DEFAULT_NAME), "wsl -l -v");
        assert_eq!(typed(&["wsl", "ls 'a b'"], "two"), r"sampan --instance two wsl 'ls '\''a b'\'''");
        assert_eq!(typed(&["x/sampan", "stop", ""], "two"), "sampan --instance two stop ''");
        assert_eq!(typed(&["sampan", "--instance", "two", "stop"], "two"), "sampan --instance two stop");
    }

    #[test]
    fn users_are_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(users, 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(users, 1), None);
    }
}
