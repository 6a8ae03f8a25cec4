//! Which distribution is meant, and what is chosen for one or for new ones.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_model::registry::{Entry, Registry};
use sampan_model::session::{End, Folder, Program, SessionSpec};
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Reply, Target};
use sampan_sys::{poll, socket};

use super::failure::failure;
use super::turns::Doing;
use super::watch::END;
use super::{Distros, Tell, guard};

/// The version of new distributions unless the user chose one.
pub(super) const VERSION: u8 = 2;

/// How long `id` may take in a distribution whose users are looked up over a network.
const LOOK_UP: Duration = Duration::from_secs(30);

/// The distribution called `name`.
pub(super) fn named<'a>(registry: &'a Registry, name: &str) -> Result<&'a Entry, Failure> {
    registry.find(name).ok_or_else(|| Failure::new(Code::DistroNotFound))
}

/// The distribution that is meant.
pub(super) fn resolve<'a>(registry: &'a Registry, target: &Target) -> Result<&'a Entry, Failure> {
    match target {
        Target::Name { name } => named(registry, name),
        Target::Default => {
            let meant = registry.distributions.iter().find(|entry| Some(entry.guid) == registry.default);
            meant.ok_or_else(|| Failure::new(Code::DefaultDistroNotFound))
        }
        Target::Id { id } => registry.distributions.iter().find(|entry| entry.guid == *id).ok_or_else(|| {
            Failure::new(Code::DistroNotFound)
                .in_context(Context::CreateInstance)
                .in_context(Context::ReadDistroConfig)
        }),
    }
}

impl Distros {
    /// Name of the default distribution, and the version of new ones.
    pub(super) fn status(&self) -> Result<Reply, Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        let default = resolve(&registry, &Target::Default).ok().map(|entry| entry.name.clone());
        Ok(Reply::Status { default, version: registry.default_version.unwrap_or(VERSION) })
    }

    pub(super) fn set_default(&self, name: &str, force: bool, tell: Tell<'_>) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        guard::set_default(&entry.name, force)?;
        let before = self.native.store.current().map_err(failure)?;
        self.native.store.update(|registry| registry.default = Some(entry.guid)).map_err(failure)?;
        let former = before.distributions.iter().find(|other| Some(other.guid) == before.default);
        if let Some(former) = former.filter(|former| former.guid != entry.guid) {
            self.tell_of_containers(former, tell);
        }
        Ok(())
    }

    pub(super) fn set_default_version(&self, version: u8) -> Result<(), Failure> {
        if !matches!(version, 1 | 2) {
            return Err(Failure::new(Code::InvalidArg));
        }
        self.native.store.update(|registry| registry.default_version = Some(version)).map_err(failure)
    }

    /// Asks `id` for the number of `user`, which becomes the default one. The distribution ends, so that all sessions of
    /// one run have the same. Not none: `id` failed, in this way, and said why on the client's standard error.
    pub(super) fn set_default_user(
        &self,
        name: &str,
        user: &str,
        streams: &[OwnedFd],
        tell: Tell<'_>,
    ) -> Result<Option<End>, Failure> {
        let [input, _, error] = streams else { return Err(Failure::new(Code::InvalidArg)) };
        let entry = self.find(name)?;
        guard::users_only(&entry.name, "another default user")?;
        let cannot = |error: std::io::Error| {
            Failure::new(Code::Fail).with_message(format!("Cannot ask {} for its users: {error}", entry.name))
        };
        let (mut said, output) = std::io::pipe().map_err(cannot)?;
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(cannot);
        let streams = [copy(input)?, OwnedFd::from(output), copy(error)?];
        let words = ["id", "-u", "--", user].map(Into::into).to_vec();
        let end = self.run(&entry, Program::Exec { words }, streams, tell)?;
        if end.code() != 0 {
            return Ok(Some(end));
        }
        let mut text = [0; 64];
        // What `id` wrote is in the pipe by now, unless it was somebody else who ended with 0.
        let there = poll::wait_for(said.as_fd(), Some(Duration::ZERO)).unwrap_or(false);
        let length = if there { said.read(&mut text).map_err(cannot)? } else { 0 };
        let uid = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.trim().parse::<u32>().ok());
        let Some(uid) = uid else {
            let message = format!("`id -u -- {user}` in {} did not print a number.", entry.name);
            return Err(Failure::new(Code::Unexpected).with_message(message));
        };
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        self.change(&entry, |entry| entry.default_uid = uid)?;
        self.stop(&entry.guid, END)?;
        Ok(None)
    }

    /// Gives a distribution root's freedom on the host, or takes it away, from its next start on.
    pub(super) fn set_privileged(&self, name: &str, privileged: bool) -> Result<(), Failure> {
        let entry = self.find(name)?;
        guard::users_only(&entry.name, "changing its rights")?;
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        self.change(&entry, |entry| entry.privileged = privileged)
    }

    /// The distribution called `name`, as it is now.
    pub(super) fn find(&self, name: &str) -> Result<Entry, Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        named(&registry, name).cloned()
    }

    /// Changes the entry of a distribution, unless it was removed in the meantime.
    pub(super) fn change(&self, entry: &Entry, change: impl FnOnce(&mut Entry)) -> Result<(), Failure> {
        let found = self.native.store.update(|registry| {
            let found = registry.distributions.iter_mut().find(|other| other.guid == entry.guid);
            found.map(change).is_some()
        });
        if found.map_err(failure)? { Ok(()) } else { Err(Failure::new(Code::DistroNotFound)) }
    }

    /// Runs a program as root in a distribution, with the service as its client, and waits for its end.
    fn run(
        &self,
        entry: &Entry,
        program: Program,
        streams: [OwnedFd; 3],
        tell: Tell<'_>,
    ) -> Result<End, Failure> {
        let cannot = |why: &str| Failure::new(Code::Fail).with_message(format!("{} {why}", entry.name));
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|errno| cannot(&format!("cannot be asked: {errno}")))?;
        let spec = SessionSpec {
            user: Some("root".to_owned()),
            default_uid: 0,
            program,
            folder: Folder::Inside { path: "/".into() },
            environment: Vec::new(),
            terminal: None,
            first_run: false,
        };
        self.hand_over_started(entry, &spec, &streams, theirs.as_fd(), tell)?;
        drop((theirs, streams));
        loop {
            let message = socket::recv_message_within(&ours, LOOK_UP)
                .map_err(|error| cannot(&format!("did not answer: {error}")))?
                .ok_or_else(|| cannot("ended before it had answered"))?;
            match serde_json::from_slice(&message.bytes) {
                Ok(Reply::Ended { end }) => return Ok(end),
                Ok(Reply::Failed { failure }) => return Err(failure),
                // Said to us, who passed the streams on.
                Ok(Reply::Begun | Reply::Terminal) => {}
                Ok(reply) => tell(reply),
                Err(error) => return Err(cannot(&format!("answered what is not understood: {error}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sampan_model::distro::Guid;

    use super::*;

    fn registry() -> Registry {
        let entry = |byte, name| Entry::new(Guid::from_random([byte; 16]), name, 2);
        Registry { distributions: vec![entry(1, "Debian"), entry(2, "b")], ..Registry::default() }
    }

    #[test]
    fn a_target_is_found_by_name_in_any_case_or_by_identity() {
        let registry = registry();
        let by_name = resolve(&registry, &Target::Name { name: "dEBIAN".to_owned() }).unwrap();
        let by_id = resolve(&registry, &Target::Id { id: Guid::from_random([1; 16]) }).unwrap();
        assert_eq!((by_name.name.as_str(), by_name.guid), ("Debian", by_id.guid));
    }

    #[test]
    fn e01_and_the_unknown_identity_have_wsl_s_code_paths() {
        let path = |target: Target| {
            let failure = resolve(&registry(), &target).unwrap_err();
            let text = failure.in_context(Context::Service).in_context(Context::Wsl).render();
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(
            path(Target::Name { name: "x".to_owned() }),
            "Error code: Wsl/Service/WSL_E_DISTRO_NOT_FOUND"
        );
        assert_eq!(
            path(Target::Id { id: Guid::NIL }),
            "Error code: Wsl/Service/CreateInstance/ReadDistroConfig/WSL_E_DISTRO_NOT_FOUND"
        );
    }

    #[test]
    fn there_is_a_default_only_when_it_is_installed() {
        let mut registry = registry();
        let code = |registry: &Registry| {
            resolve(registry, &Target::Default).map_err(|failure| failure.code).cloned()
        };
        assert_eq!(code(&registry).unwrap_err(), Code::DefaultDistroNotFound);
        registry.settle_default();
        assert_eq!(code(&registry).unwrap().name, "Debian");
        registry.default = Some(Guid::NIL);
        assert_eq!(code(&registry).unwrap_err(), Code::DefaultDistroNotFound);
    }
}
