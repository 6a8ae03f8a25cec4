//! The internal distributions: what may be done with them only by an explicit word, what not at all, and what dies of it.

use sampan_model::distro::{DATA, ENGINE, is_internal};
use sampan_model::wsl::error::{Code, Failure};

fn is_data(name: &str) -> bool {
    name.eq_ignore_ascii_case(DATA)
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Code::AccessDenied).with_message(message).hint(hint)
}

/// A command or shell in `name`; `system`: the user said that the internal one is meant in which the engine runs.
pub(super) fn session(name: &str, system: bool) -> Result<(), Failure> {
    let hint = "`sampan docker` runs Docker commands; `wsl -d NAME` opens a distribution of your own";
    if is_data(name) {
        let message = format!("{name} holds images, containers and volumes; there is nothing in it to run.");
        return Err(refused(message, hint));
    }
    match (is_internal(name), system) {
        (false, false) | (true, true) => Ok(()),
        (true, false) => {
            Err(refused(format!("{name} runs the engine and is not for general development."), hint))
        }
        (false, true) => {
            let message = format!(
                "--system is for {ENGINE}, in which the engine runs; {name} is no part of the system."
            );
            Err(Failure::new(Code::InvalidArg)
                .with_message(message)
                .hint(format!("`wsl -d {name}` opens it")))
        }
    }
}

/// What there is to say instead of a session in the engine's distribution while it does not run: it is started and stopped
/// with the engine, and with nothing else.
pub(super) fn engine_stopped() -> Failure {
    let message = format!("The engine does not run, and {ENGINE} runs only with it.");
    Failure::new(Code::IllegalStateChange).with_message(message).hint("`sampan start`, then try again")
}

/// `wsl` without `-d` shall mean `name`.
pub(super) fn set_default(name: &str, force: bool) -> Result<(), Failure> {
    if !is_internal(name) || force {
        return Ok(());
    }
    let message = format!("{name} is internal: as the default distribution it would take every plain `wsl`.");
    Err(refused(message, format!("`wsl --set-default {name} --force` does it all the same")))
}

/// `name` is to be deleted.
pub(super) fn unregister(name: &str, force: bool, engine_runs: bool) -> Result<(), Failure> {
    if !is_internal(name) {
        return Ok(());
    }
    if !force {
        let dies = if is_data(name) {
            "all images, containers, volumes and build cache"
        } else {
            "the engine, which the next `sampan start` has to install again"
        };
        let message = format!("{name} is internal: unregistering it deletes {dies}.");
        return Err(refused(
            message,
            format!("`sampan stop`, then `wsl --unregister {name} --force` deletes it all the same"),
        ));
    }
    stopped(name, engine_runs)
}

/// `name` is to be exported, resized, or looked at by a program that needs its disk for itself.
pub(super) fn stopped(name: &str, engine_runs: bool) -> Result<(), Failure> {
    if !is_internal(name) || !engine_runs {
        return Ok(());
    }
    let message = format!("{name} is in use by the engine, and stopping that ends all containers.");
    Err(Failure::new(Code::DistroNotStopped).with_message(message).hint("`sampan stop`, then try again"))
}

/// `name` is to be converted, moved, or given what only users' distributions have.
pub(super) fn users_only(name: &str, what: &str) -> Result<(), Failure> {
    if !is_internal(name) {
        return Ok(());
    }
    let message = format!("{name} is internal: {what} would end the engine and everything that runs in it.");
    Err(refused(message, "`wsl -l -v` lists your own distributions; `sampan reset` begins anew"))
}

/// `docker` shall work in a distribution, or no longer.
pub(super) fn integration(name: &str) -> Result<(), Failure> {
    if !is_internal(name) {
        return Ok(());
    }
    let message = format!("{name} is internal: integration is for your own distributions.");
    Err(refused(message, "`sampan integration ls` lists them"))
}

/// A new distribution shall be called `name`.
pub(super) fn new_name(name: &str) -> Result<(), Failure> {
    if !is_internal(name) {
        return Ok(());
    }
    let dies = if is_data(name) { "all images, containers and volumes" } else { "the engine" };
    let message =
        format!("The name {name} belongs to an internal distribution: importing over it would end {dies}.");
    Err(Failure::new(Code::AlreadyExists).with_message(message).hint("choose another name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_distributions_are_free() {
        for name in ["Debian", "docker", "docker-desktop2"] {
            assert!(session(name, false).is_ok() && set_default(name, false).is_ok());
            assert!(unregister(name, false, true).is_ok() && stopped(name, true).is_ok());
            assert!(users_only(name, "x").is_ok() && new_name(name).is_ok());
        }
    }

    #[test]
    fn a_shell_in_the_engine_s_needs_a_word_and_the_data_has_none_whatever_the_case() {
        assert_eq!(session("Docker-Desktop", false).unwrap_err().code, Code::AccessDenied);
        assert!(session(ENGINE, true).is_ok() && session("Docker-Desktop", true).is_ok());
        assert_eq!(session("Debian", true).unwrap_err().code, Code::InvalidArg);
        for system in [false, true] {
            assert_eq!(session("DOCKER-desktop-data", system).unwrap_err().code, Code::AccessDenied);
        }
    }

    #[test]
    fn what_dies_is_said_and_force_is_needed() {
        assert!(
            unregister(DATA, false, false).unwrap_err().message.contains("all images, containers, volumes")
        );
        assert!(unregister(ENGINE, false, false).unwrap_err().message.contains("the engine"));
        for name in [ENGINE, DATA] {
            assert_eq!(unregister(name, true, true).unwrap_err().code, Code::DistroNotStopped);
            assert!(unregister(name, true, false).is_ok());
            assert!(set_default(name, false).is_err() && set_default(name, true).is_ok());
            assert!(stopped(name, true).is_err() && stopped(name, false).is_ok());
            assert!(users_only(name, "converting it").is_err());
            assert_eq!(new_name(name).unwrap_err().code, Code::AlreadyExists);
        }
    }
}
