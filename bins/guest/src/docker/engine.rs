//! Whether the engine can be reached, and what is said if not.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sampan_model::document;
use sampan_model::document::Document;
use sampan_model::integration::{EngineNotice, Notice, SOCKET, Switch};
use sampan_sys::inotify::Watch;

/// Where docker looks for the socket.
pub(crate) const USUAL: &str = "/var/run/docker.sock";

/// How long nothing is said: the socket of an engine that runs comes a moment after the distribution was given it.
const SILENCE: Duration = Duration::from_secs(1);

/// How long an engine that is starting is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What everybody knows.
const NO_DAEMON: &str =
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";

/// The engine as a distribution sees it.
pub(crate) struct Engine<'a> {
    /// Docker's usual socket.
    pub(crate) usual: &'a Path,
    /// The folder with the distribution's own socket and the notice.
    pub(crate) folder: &'a Path,
}

/// How docker gets there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it would by itself, or it says best what is wrong.
    Usual,
    /// By this socket: the usual one leads nowhere.
    Direct(PathBuf),
    /// Not at all, and why.
    None(String),
}

impl Engine<'_> {
    /// Finds a way. An engine that is starting is waited for; that is said once.
    pub(crate) fn reach(&self, patience: Duration) -> Way {
        let begun = Instant::now();
        let deadline = begun + patience;
        let silence = begun + SILENCE.min(patience);
        // Made before the first look: nothing is missed in between. Without it there is no waiting, but a word.
        let watch = Watch::new(self.folder).ok();
        let mut told = false;
        loop {
            if let Some(way) = self.way() {
                return way;
            }
            let Some(notice) = self.notice() else { return Way::Usual };
            if let Some(why) = refusal(&notice) {
                return Way::None(why);
            }
            let is_silent = notice.engine == EngineNotice::Running && Instant::now() < silence;
            if !told && !is_silent {
                let _ = writeln!(std::io::stderr(), "Starting the Docker Engine...");
                told = true;
            }
            let until = if is_silent { silence } else { deadline };
            let left = until.saturating_duration_since(Instant::now());
            let changed = watch.as_ref().is_some_and(|watch| watch.wait(Some(left)).unwrap_or(false));
            if !changed && (watch.is_none() || !is_silent) {
                return self.way().unwrap_or_else(|| Way::None(too_slow(patience)));
            }
        }
    }

    fn way(&self) -> Option<Way> {
        if is_served(self.usual) {
            return Some(Way::Usual);
        }
        let own = self.folder.join(SOCKET);
        is_served(&own).then_some(Way::Direct(own))
    }

    /// None: there is none, or none that this program reads.
    fn notice(&self) -> Option<Notice> {
        document::parse(&fs::read_to_string(self.folder.join(Notice::FILE)).ok()?).ok()
    }
}

/// Whether somebody listens. Who may not ask is told so by docker itself.
fn is_served(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

/// Why there is no engine; none: there will be one.
fn refusal(notice: &Notice) -> Option<String> {
    let Notice { switch, engine, name, version } = notice;
    if *switch == Switch::VersionOne || (*switch == Switch::Off && *version == 1) {
        return Some(format!(
            "\nThe command 'docker' could not be found in this WSL 1 distro.\nWe recommend to convert this distro to WSL 2 \
             and activate\nthe WSL integration. Type on the host:\n\n    wsl --set-version {name} 2\n"
        ));
    }
    match (switch.is_on(), engine) {
        (false, _) => Some(format!(
            "\nThe command 'docker' could not be found in this WSL 2 distro.\nWe recommend to activate the WSL \
             integration. Type on the host:\n\n    sampan integration enable {name}\n"
        )),
        (true, EngineNotice::Stopped) => Some(format!(
            "{NO_DAEMON}\nThe engine is stopped. To start it, type on the host:\n\n    sampan start\n"
        )),
        (true, EngineNotice::Starting | EngineNotice::Running) => None,
    }
}

fn too_slow(patience: Duration) -> String {
    let seconds = patience.as_secs();
    format!(
        "{NO_DAEMON}\nThe engine did not answer within {seconds} s. What it is about is told on the host by:\n\n    sampan status\n"
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn notice(&self, switch: Switch, engine: EngineNotice, version: u8) {
            let notice = Notice { switch, engine, name: "box".to_owned(), version };
            let text = document::render(&notice);
            sampan_sys::fs::write_atomic(&self.path(Notice::FILE), text.as_bytes(), 0o644).unwrap();
        }

        fn reach(&self, patience: Duration) -> Way {
            Engine { usual: &self.path("usual.sock"), folder: self.0.path() }.reach(patience)
        }

        fn refused(&self) -> String {
            match self.reach(Duration::ZERO) {
                Way::None(why) => why,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_socket_that_is_served_is_the_way() {
        let world = World::new();
        world.notice(Switch::Off, EngineNotice::Stopped, 2);
        let own = UnixListener::bind(world.path(SOCKET)).unwrap();
        assert_eq!(world.reach(Duration::ZERO), Way::Direct(world.path(SOCKET)));
        let _usual = UnixListener::bind(world.path("usual.sock")).unwrap();
        assert_eq!(world.reach(Duration::ZERO), Way::Usual);
        drop(own);
        assert_eq!(world.reach(Duration::ZERO), Way::Usual);
    }

    #[test]
    fn each_state_has_its_words_and_its_command() {
        let world = World::new();
        assert_eq!(world.reach(Duration::ZERO), Way::Usual, "nobody knows: docker says it");
        world.notice(Switch::Off, EngineNotice::Running, 2);
        let off = world.refused();
        assert!(
            off.starts_with("\nThe command 'docker' could not be found in this WSL 2 distro.\n"),
            "{off}"
        );
        assert!(off.contains("\n    sampan integration enable box\n"), "{off}");
        for switch in [Switch::VersionOne, Switch::Off] {
            world.notice(switch, EngineNotice::Running, 1);
            let one = world.refused();
            assert!(one.contains("could not be found in this WSL 1 distro.\n"), "{one}");
            assert!(one.contains("\n    wsl --set-version box 2\n"), "{one}");
        }
        world.notice(Switch::Chosen, EngineNotice::Stopped, 2);
        let stopped = world.refused();
        assert!(stopped.starts_with(NO_DAEMON) && stopped.contains("\n    sampan start\n"), "{stopped}");
        world.notice(Switch::Default, EngineNotice::Starting, 2);
        assert!(world.refused().contains("did not answer within 0 s"));
        sampan_sys::fs::write_atomic(&world.path(Notice::FILE), b"{", 0o644).unwrap();
        assert_eq!(world.reach(Duration::ZERO), Way::Usual, "a notice that is none");
    }

    #[test]
    fn an_engine_that_starts_is_waited_for() {
        let world = World::new();
        world.notice(Switch::Chosen, EngineNotice::Starting, 2);
        // Left by one that is being started again: nobody listens.
        drop(UnixListener::bind(world.path(SOCKET)).unwrap());
        let way = std::thread::scope(|scope| {
            let reached = scope.spawn(|| world.reach(PATIENCE));
            let _listener = UnixListener::bind(world.path("new.sock")).unwrap();
            fs::rename(world.path("new.sock"), world.path(SOCKET)).unwrap();
            reached.join().unwrap()
        });
        assert_eq!(way, Way::Direct(world.path(SOCKET)));
    }

    #[test]
    fn one_that_does_not_come_up_is_told_at_once() {
        let world = World::new();
        world.notice(Switch::Chosen, EngineNotice::Starting, 2);
        let why = std::thread::scope(|scope| {
            let reached = scope.spawn(|| world.reach(PATIENCE));
            world.notice(Switch::Chosen, EngineNotice::Stopped, 2);
            reached.join().unwrap()
        });
        assert!(matches!(&why, Way::None(why) if why.contains("sampan start")), "{why:?}");
    }
}
