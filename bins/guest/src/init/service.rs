//! Services: the verbs that init keeps running.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use sampan_model::guest::ServiceSpec;
use sampan_sys::process::{self, ExitKind, Forked, Signal};

use crate::{child, verb};

/// The first pause before a service that ended is started again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A service that ran this long begins with the first pause again.
const STEADY: Duration = Duration::from_mins(1);

/// All services of a distribution and the sockets they serve. The sockets stay open here, so that a client that
/// comes while a service is being restarted waits instead of being refused.
pub(super) struct Services {
    all: Vec<Service>,
    sockets: Vec<(String, OwnedFd)>,
    ending: bool,
}

struct Service {
    spec: ServiceSpec,
    state: State,
    pause: Duration,
}

enum State {
    Due(Instant),
    Running { pid: i32, pidfd: OwnedFd, since: Instant },
    Ended,
}

impl Services {
    pub(super) fn new(specs: Vec<ServiceSpec>, sockets: Vec<(String, OwnedFd)>) -> Self {
        let now = Instant::now();
        let all = specs
            .into_iter()
            .map(|spec| Service { spec, state: State::Due(now), pause: FIRST_PAUSE })
            .collect();
        Self { all, sockets, ending: false }
    }

    /// Starts what is due; says when the next one is.
    pub(super) fn start_due(&mut self, now: Instant) -> Option<Instant> {
        for service in &mut self.all {
            if let State::Due(at) = service.state
                && at <= now
                && !self.ending
            {
                service.state = match start(&service.spec, &self.sockets) {
                    Ok((pid, pidfd)) => State::Running { pid, pidfd, since: now },
                    Err(error) => {
                        verb::log(&format!("cannot start {}: {}", service.spec.name, verb::chain(&error)));
                        service.pause_next(now)
                    }
                };
            }
        }
        let due = |service: &Service| match service.state {
            State::Due(at) if !self.ending => Some(at),
            _ => None,
        };
        self.all.iter().filter_map(due).min()
    }

    /// A child of init ended; if it was a service it is due again after a pause.
    pub(super) fn ended(&mut self, pid: i32, exit: ExitKind, now: Instant) {
        let ending = self.ending;
        let is_it =
            |service: &&mut Service| matches!(service.state, State::Running { pid: p, .. } if p == pid);
        let Some(service) = self.all.iter_mut().find(is_it) else { return };
        if ending {
            service.state = State::Ended;
            return;
        }
        if let State::Running { since, .. } = service.state
            && now.duration_since(since) >= STEADY
        {
            service.pause = FIRST_PAUSE;
        }
        verb::log(&format!(
            "{} ended ({exit:?}); starting it again in {:?}",
            service.spec.name, service.pause
        ));
        service.state = service.pause_next(now);
    }

    /// Asks every service to end; none is started again.
    pub(super) fn terminate(&mut self) {
        self.ending = true;
        for service in &mut self.all {
            match &service.state {
                State::Running { pidfd, .. } => {
                    let _ = process::pidfd_send_signal(pidfd, Signal::TERM);
                }
                _ => service.state = State::Ended,
            }
        }
    }

    pub(super) fn any_running(&self) -> bool {
        self.all.iter().any(|service| matches!(service.state, State::Running { .. }))
    }
}

impl Service {
    fn pause_next(&mut self, now: Instant) -> State {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        State::Due(now + pause)
    }
}

fn start(spec: &ServiceSpec, sockets: &[(String, OwnedFd)]) -> anyhow::Result<(i32, OwnedFd)> {
    let log = File::options().create(true).append(true).open(format!("/var/log/sampan/{}.log", spec.name))?;
    let served: Vec<_> = sockets.iter().filter(|(name, _)| spec.sockets.contains(name)).collect();
    let mut environment = child::environment();
    environment.retain(|entry| !entry.to_string_lossy().starts_with(super::InitSpec::VARIABLE));
    environment.extend(
        served
            .iter()
            .map(|(name, fd)| format!("SAMPAN_FD_{}={}", name.to_uppercase(), fd.as_raw_fd()).into()),
    );
    let mut argv = vec!["sampan-guest".to_owned()];
    argv.extend(spec.args.iter().cloned());
    match process::fork_plain()? {
        Forked::Child => {
            process::reset_signals();
            let prepared = process::set_session()
                .and_then(|()| served.iter().try_for_each(|(_, fd)| process::clear_cloexec(fd)))
                .and_then(|()| process::redirect(&log, process::Standard::Output))
                .and_then(|()| process::redirect(&log, process::Standard::Error));
            let error = match prepared {
                Ok(()) => process::exec(Path::new("/proc/self/exe"), &argv, &environment),
                Err(error) => error,
            };
            verb::log(&format!("cannot start {}: {error}", spec.name));
            process::exit_now(127)
        }
        Forked::Parent { pid, pidfd } => Ok((pid, pidfd)),
    }
}
