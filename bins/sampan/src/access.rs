//! What a user who is not root may do, and what to type to be allowed more.

use std::fs;

use crate::exit::Problem;

/// Members of this group may use the sockets.
const GROUP: &str = "sampan";

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets only root pass; `purpose` reads like `starting Sampan`, `command` is what to type behind `sudo`.
pub(crate) fn require_root(purpose: &str, command: &str) -> Result<(), Problem> {
    if is_root() {
        return Ok(());
    }
    Err(Problem::denied(format!("{purpose} needs root")).hint(format!("type `sudo {command}`")))
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
    fn users_are_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_name(users, 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(users, 1), None);
    }
}
