//! Starting: each step is skipped when its result is there already, so that a start that was killed anywhere is
//! completed by the next one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sampan_model::api::{ErrorCode, Event, StartRequest};
use sampan_model::distro::{DATA, ENGINE};
use sampan_model::engine::{EngineRequest, EngineState, Mark, Stage};
use sampan_model::guest::ServiceSpec;
use sampan_model::ports::{HOST_NETWORKING, MARK};
use sampan_model::registry::ImageRecord;
use sampan_model::settings::Settings;

use super::{Engine, SIGN_OF_LIFE, failure, plain, stage};
use crate::error::Error;
use crate::platform::{Boot, BootSocket, Import, Keep, Sink};
use crate::supervisor::Line;
use crate::{image, settings};

/// What a start did.
#[derive(Debug)]
pub struct Started {
    /// Whether the engine ran already.
    pub already: bool,
    /// When each stage began.
    pub marks: Vec<Mark>,
}

impl Engine {
    /// Brings the engine up; returns when the Docker API answers.
    pub fn start(&self, request: &StartRequest, sink: Sink<'_>) -> Result<Started, Error> {
        // What is untold now is told, or told of, below.
        let _ = self.platform.announce(true);
        let unshared = request.working_tree.as_ref().and_then(|tree| {
            let error = self.platform.share(tree, sink).err()?;
            Some(format!("{} is not shared with containers: {error}", tree.display()))
        });
        let started = self.bring_up(request, sink);
        let untold = unshared.into_iter().chain(self.platform.announce(false));
        if started.is_ok() {
            for message in untold {
                sink(Event::Warning { message });
            }
        }
        started
    }

    fn bring_up(&self, request: &StartRequest, sink: Sink<'_>) -> Result<Started, Error> {
        let settings = settings::load(&self.instance.settings())?;
        let limit = request.timeout_seconds.unwrap_or(settings.lifecycle_timeout_seconds);
        let deadline = Instant::now() + Duration::from_secs(u64::from(limit));
        let marks = std::sync::Mutex::new(Vec::new());
        let record = |event: Event| {
            if let Event::Stage { stage, at_us } = event {
                marks.lock().expect("no panic while marking").push(Mark { stage, at_us });
            }
            sink(event);
        };
        let sink: Sink<'_> = &record;

        let upgrade = self.upgrade_to(request.engine_image.as_deref())?;
        let runs = self.platform.is_running(ENGINE)?;
        if runs && upgrade.is_none() {
            self.platform.prepare(sink)?;
            self.platform.connect(&settings, sink)?;
            let already = matches!(self.report()?.state, EngineState::Running);
            if !already {
                self.kick()?;
                self.await_engine(deadline, sink)?;
            }
            self.settle_upgrade()?;
            return Ok(Started { already, marks: marks.into_inner().unwrap_or_default() });
        }
        self.platform.recover()?;
        for name in [ENGINE, DATA] {
            self.platform.verify_storage(name)?;
        }
        let archive = match upgrade {
            Some(upgrade) => Some(upgrade),
            None if self.platform.entry(ENGINE)?.is_none() => {
                let archive = self.image(sink)?;
                let record = self.platform.identify(&archive)?;
                Some((archive, record))
            }
            None => None,
        };
        if let Some((archive, record)) = archive {
            self.import(&archive, record, sink)?;
        }
        if self.platform.entry(DATA)?.is_none() {
            stage(sink, Stage::Data);
            self.platform.create_disk(DATA, settings.disk_size_mib << 20)?;
        }
        if runs {
            self.take_down(Duration::from_secs(30), sink)?;
        }
        self.boot_and_settle(&settings, deadline, sink)?;
        Ok(Started { already: false, marks: marks.into_inner().unwrap_or_default() })
    }

    /// The archive to switch to, if the request names another one than the installed engine was made of.
    fn upgrade_to(&self, archive: Option<&Path>) -> Result<Option<(PathBuf, ImageRecord)>, Error> {
        let Some(archive) = archive else { return Ok(None) };
        if !archive.is_file() {
            return Err(Error::new(
                ErrorCode::Invalid,
                format!("there is no file {}", archive.display()),
                Some("give --engine-image the path of a root file system tarball that contains dockerd"),
            ));
        }
        let record = self.platform.identify(archive)?;
        let installed = self.platform.entry(ENGINE)?.and_then(|entry| entry.image);
        let same = installed.is_some_and(|installed| installed.sha256 == record.sha256);
        Ok((!same).then(|| (archive.to_owned(), record)))
    }

    /// The engine image: the one built before, or a new one.
    fn image(&self, sink: Sink<'_>) -> Result<PathBuf, Error> {
        if let Some(cached) = self.platform.cached_image() {
            return Ok(cached);
        }
        stage(sink, Stage::Image);
        self.platform.build_image(&image::RECIPE, sink)
    }

    fn import(&self, archive: &Path, record: ImageRecord, sink: Sink<'_>) -> Result<(), Error> {
        stage(sink, Stage::Import);
        let import = Import {
            name: ENGINE,
            archive,
            record,
            size_bytes: image::ROOT_DISK_BYTES,
            files: image::files(),
        };
        self.platform.import(&import, sink)
    }

    /// Boots; after an upgrade keeps the new engine if it answers, and goes back to the one before if not.
    fn boot_and_settle(&self, settings: &Settings, deadline: Instant, sink: Sink<'_>) -> Result<(), Error> {
        let booted = self.boot(settings, deadline, sink);
        let upgrading = self.platform.entry(ENGINE)?.is_some_and(|entry| entry.previous.is_some());
        match booted {
            Ok(()) => self.settle_upgrade(),
            Err(error) if upgrading => {
                sink(Event::Warning { message: format!("{error}; going back to the engine before") });
                self.platform.terminate(ENGINE, Duration::from_secs(5))?;
                self.platform.settle(ENGINE, Keep::Previous)?;
                self.boot(settings, Instant::now() + Duration::from_mins(2), sink)?;
                let mut shown = plain(&error);
                shown.message = format!("{}; the engine before runs again", shown.message);
                Err(Error(shown))
            }
            Err(error) => Err(error),
        }
    }

    fn settle_upgrade(&self) -> Result<(), Error> {
        if self.platform.entry(ENGINE)?.is_some_and(|entry| entry.previous.is_some()) {
            self.platform.settle(ENGINE, Keep::New)?;
        }
        Ok(())
    }

    fn boot(&self, settings: &Settings, deadline: Instant, sink: Sink<'_>) -> Result<(), Error> {
        self.platform.prepare(sink)?;
        let socket = |name: &str, path| BootSocket { name: name.to_owned(), path, group: name == "docker" };
        let service = |name: &str, socket: &str| ServiceSpec {
            name: name.to_owned(),
            args: vec![name.to_owned()],
            sockets: vec![socket.to_owned()],
        };
        let mut words = vec!["ports".to_owned(), settings.port_binding_behavior.word().to_owned()];
        words.extend(settings.host_networking_enabled.then(|| HOST_NETWORKING.to_owned()));
        words.extend(settings.keep_client_addresses.then(|| format!("{MARK}{}", self.instance.port_mark())));
        let ports = ServiceSpec {
            name: "ports".to_owned(),
            args: words,
            sockets: ["ports", "hostnet", "hostproc"].map(str::to_owned).to_vec(),
        };
        let boot = Boot {
            name: ENGINE,
            disks: &[(DATA, "/var/lib/docker")],
            subnet: settings.vpnkit_cidr,
            logs: "/var/log/sampan",
            sockets: vec![
                socket("engine", None),
                socket("ports", None),
                socket("docker", Some(self.instance.docker_socket())),
            ],
            services: vec![service("engine", "engine"), service("api", "docker"), ports],
        };
        // Side by side: the daemons load their programs from the disk meanwhile, and need no network for that.
        std::thread::scope(|scope| {
            let network = scope.spawn(|| self.platform.connect(settings, sink));
            let started = self.platform.start(&boot, sink);
            network.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(started)
        })?;
        self.await_engine(deadline, sink)
    }

    /// Asks the supervisor to start what is stopped or failed.
    fn kick(&self) -> Result<(), Error> {
        if let Some(socket) = self.platform.socket(ENGINE, "engine")? {
            Line::open(&socket, &EngineRequest::Start)?.answer(SIGN_OF_LIFE)?;
        }
        Ok(())
    }

    /// Follows the supervisor until the engine runs, has failed, or the time is up.
    fn await_engine(&self, deadline: Instant, sink: Sink<'_>) -> Result<(), Error> {
        let Some(socket) = self.platform.socket(ENGINE, "engine")? else {
            return Err(Error::new(ErrorCode::Failed, "docker-desktop ended during the start", None));
        };
        let mut line = Line::open(&socket, &EngineRequest::Watch)?;
        let mut told = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(report) = line.next(left)? else {
                return Err(Error::new(
                    ErrorCode::Timeout,
                    "the engine did not answer in time",
                    Some(
                        "it goes on starting: `sampan status` shows how far it is, --timeout gives it longer",
                    ),
                ));
            };
            for mark in report.marks.iter().skip(told) {
                sink(Event::Stage { stage: mark.stage, at_us: mark.at_us });
            }
            told = told.max(report.marks.len());
            match report.state {
                EngineState::Running => return Ok(()),
                EngineState::Failed { cause } => return Err(failure(cause, ErrorCode::Failed).into()),
                EngineState::Stopped | EngineState::Stopping => {
                    return Err(Error::new(
                        ErrorCode::Busy,
                        "the engine is being stopped",
                        Some("wait for `sampan stop` to end, then start again"),
                    ));
                }
                EngineState::Starting { .. } => {}
            }
        }
    }
}
