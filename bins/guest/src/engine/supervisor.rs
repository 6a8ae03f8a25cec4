//! Decides what runs: the one loop that owns both parts.

use std::time::Duration;

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};
use sampan_model::engine::{EngineReport, EngineState, Failure, Mark, Stage};
use sampan_sys::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::network::Network;
use super::part::Part;
use super::process::Exit;
use super::record::Record;
use super::slot::{PartEvent, Slot};
use crate::verb;

/// Ends of a part in a row, without the engine having run in between, after which nothing is tried any more.
const LAST_FAILURE: u32 = 5;

/// For a stop that nobody gave a deadline for: the supervisor's own end, and what is left after a failure.
const OWN_DEADLINE: Duration = Duration::from_secs(20);
const FAILED_DEADLINE: Duration = Duration::from_secs(5);

/// What clients ask for.
#[derive(Debug)]
pub(super) enum Command {
    /// Answered at once.
    Start { done: oneshot::Sender<EngineReport> },
    /// Answered when nothing runs any more.
    Stop { deadline: Duration, done: oneshot::Sender<EngineReport> },
}

pub(super) struct Supervisor {
    network: Network,
    commands: mpsc::Receiver<Command>,
    terminate: Signals,
    reports: watch::Sender<EngineReport>,
    recorded: Record,
    containerd: Slot,
    dockerd: Slot,
    phase: Phase,
    ending: bool,
}

enum Phase {
    /// Nothing runs.
    Idle,
    /// Both parts are meant to run; while the engine starts, the present stage has a deadline.
    Up { deadline: Option<Instant> },
    /// Both parts are meant to end.
    Down(Down),
}

struct Down {
    deadline: Instant,
    killed: bool,
    /// Asked to end so far.
    asked: Option<Part>,
    /// What it is when nothing runs any more.
    then: EngineState,
    start_again: bool,
    waiting: Vec<oneshot::Sender<EngineReport>>,
}

enum Event {
    Command(Command),
    Part(Part, PartEvent),
    Deadline,
    Terminate,
}

/// The report of an engine that was never started.
pub(super) fn stopped() -> EngineReport {
    EngineReport { state: EngineState::Stopped, marks: Vec::new(), since_us: now_us(), restarts: 0 }
}

impl Supervisor {
    pub(super) fn new(
        network: Network,
        commands: mpsc::Receiver<Command>,
        reports: watch::Sender<EngineReport>,
    ) -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
        let recorded = Record::read().unwrap_or_else(|error| {
            verb::log(&format!("{}; what it named is not taken over", verb::chain(&error)));
            Record::empty()
        });
        Ok(Self {
            network,
            commands,
            terminate,
            reports,
            recorded,
            containerd: Slot::new(Part::Containerd),
            dockerd: Slot::new(Part::Dockerd),
            phase: Phase::Idle,
            ending: false,
        })
    }

    /// Starts the engine and looks after it until SIGTERM; then stops it.
    pub(super) async fn run(mut self) {
        self.start();
        while !(self.ending && matches!(self.phase, Phase::Idle)) {
            match self.next().await {
                Event::Command(Command::Start { done }) => {
                    self.asked_to_start();
                    self.answer(done);
                }
                Event::Command(Command::Stop { deadline, done }) => self.stop(deadline, Some(done)),
                Event::Terminate => {
                    self.ending = true;
                    self.stop(OWN_DEADLINE, None);
                }
                Event::Deadline => self.deadline_passed(),
                Event::Part(part, PartEvent::Ready) => {
                    verb::log(&format!("{part} is ready"));
                    self.settle();
                }
                Event::Part(part, PartEvent::Ended(exit)) => self.part_ended(part, exit),
                Event::Part(part, PartEvent::Due) => {
                    self.reports.send_modify(|report| report.restarts += 1);
                    self.start_part(part);
                    self.settle();
                }
            }
        }
    }

    async fn next(&mut self) -> Event {
        let deadline = match &self.phase {
            Phase::Up { deadline } => *deadline,
            Phase::Down(down) if !down.killed => Some(down.deadline),
            Phase::Idle | Phase::Down(_) => None,
        };
        let passed = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(command) = self.commands.recv() => Event::Command(command),
            Some(()) = self.terminate.recv() => Event::Terminate,
            event = self.containerd.next() => Event::Part(Part::Containerd, event),
            event = self.dockerd.next() => Event::Part(Part::Dockerd, event),
            () = passed => Event::Deadline,
        }
    }

    fn asked_to_start(&mut self) {
        match &mut self.phase {
            Phase::Idle => self.start(),
            Phase::Up { .. } => {}
            Phase::Down(down) => down.start_again = !self.ending,
        }
    }

    /// From nothing, or from what an earlier supervisor left running.
    fn start(&mut self) {
        self.phase = Phase::Up { deadline: None };
        self.reports.send_modify(|report| report.restarts = 0);
        let left = self.recorded.clone();
        for (part, id) in [(Part::Containerd, left.containerd), (Part::Dockerd, left.dockerd)] {
            self.slot(part).forgive();
            match self.slot(part).adopt(id) {
                Ok(true) => verb::log(&format!("{part} runs already; it is looked after from now on")),
                Ok(false) => {}
                Err(error) => verb::log(&format!("cannot take over {part}: {}", verb::chain(&error))),
            }
        }
        // Side by side: dockerd waits by itself for containerd's socket, looking every 10 ms.
        for part in [Part::Containerd, Part::Dockerd] {
            if self.slot(part).process().is_none() {
                self.start_part(part);
            }
        }
        self.settle();
    }

    fn start_part(&mut self, part: Part) {
        if !matches!(self.phase, Phase::Up { .. }) {
            return;
        }
        let network = self.network;
        let started = match part {
            Part::Containerd => Ok(()),
            Part::Dockerd => network.check(),
        };
        if let Err(error) = started.and_then(|()| self.slot(part).start()) {
            let message = format!("cannot start {part}: {}", verb::chain(&error));
            self.fail(part, message, Vec::new());
        }
        self.note(); // at once: what is not in the record cannot be found again
    }

    fn part_ended(&mut self, part: Part, exit: Exit) {
        let slot = self.slot(part);
        let ran = slot.clear();
        if !matches!(self.phase, Phase::Up { .. }) {
            verb::log(&format!("{part} {exit}"));
            return self.settle();
        }
        let slot = self.slot(part);
        slot.failures += 1;
        if slot.failures >= LAST_FAILURE {
            let log = slot.last_lines();
            return self.fail(part, format!("{part} {exit}"), log);
        }
        let pause = slot.pause(ran);
        verb::log(&format!("{part} {exit}; it is started again in {} ms", pause.as_millis()));
        self.settle();
    }

    fn deadline_passed(&mut self) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Up { .. } => {
                let part = if self.containerd.is_ready() { Part::Dockerd } else { Part::Containerd };
                let deadline = Duration::from_millis(part.stage().deadline_ms());
                let log = self.slot(part).last_lines();
                self.fail(part, part.too_late(deadline), log);
            }
            Phase::Down(down) => {
                down.killed = true;
                for slot in [&self.dockerd, &self.containerd] {
                    if slot.process().is_some() {
                        verb::log(&format!("{} did not end in time and is killed", slot.part));
                        slot.signal(Signal::KILL);
                    }
                }
            }
        }
    }

    fn fail(&mut self, part: Part, message: String, log: Vec<String>) {
        verb::log(&format!("the engine has failed: {message}"));
        let cause = Failure { part: part.name().to_owned(), message, log };
        self.go_down(FAILED_DEADLINE, EngineState::Failed { cause }, None);
    }

    fn stop(&mut self, deadline: Duration, done: Option<oneshot::Sender<EngineReport>>) {
        match &mut self.phase {
            Phase::Idle | Phase::Up { .. } => self.go_down(deadline, EngineState::Stopped, done),
            Phase::Down(down) => {
                down.deadline = down.deadline.min(Instant::now() + deadline);
                down.then = EngineState::Stopped;
                down.start_again = false;
                down.waiting.extend(done);
                self.settle();
            }
        }
    }

    /// A failed engine says so at once, a stopped one when nothing runs any more.
    /// `done` is told when it is over, which is at once where nothing runs.
    fn go_down(
        &mut self,
        deadline: Duration,
        then: EngineState,
        done: Option<oneshot::Sender<EngineReport>>,
    ) {
        self.containerd.give_up();
        self.dockerd.give_up();
        self.phase = Phase::Down(Down {
            deadline: Instant::now() + deadline,
            killed: false,
            asked: None,
            then,
            start_again: false,
            waiting: done.into_iter().collect(),
        });
        self.settle();
    }

    /// Brings phase, report and record in line with what runs.
    fn settle(&mut self) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Up { .. } => self.settle_up(),
            Phase::Down(down) => {
                // dockerd first: it ends the containers, for which it needs containerd.
                let last =
                    [&self.dockerd, &self.containerd].into_iter().find(|slot| slot.process().is_some());
                if let Some(slot) = last {
                    if down.asked != Some(slot.part) && !down.killed {
                        down.asked = Some(slot.part);
                        slot.signal(Signal::TERM);
                    }
                    let state = match &down.then {
                        failed @ EngineState::Failed { .. } => failed.clone(),
                        _ => EngineState::Stopping,
                    };
                    self.publish(state);
                } else {
                    self.all_down();
                }
            }
        }
        self.note();
    }

    fn settle_up(&mut self) {
        let state = if !self.containerd.is_ready() {
            EngineState::Starting { stage: Stage::Containerd }
        } else if !self.dockerd.is_ready() {
            EngineState::Starting { stage: Stage::Dockerd }
        } else {
            EngineState::Running
        };
        if self.reports.borrow().state == state {
            return;
        }
        let deadline = match &state {
            EngineState::Starting { stage } => {
                Some(Instant::now() + Duration::from_millis(stage.deadline_ms()))
            }
            _ => None,
        };
        if state == EngineState::Running {
            verb::log("the engine answers");
            self.containerd.failures = 0;
            self.dockerd.failures = 0;
        }
        self.phase = Phase::Up { deadline };
        self.publish(state);
    }

    fn all_down(&mut self) {
        let Phase::Down(down) = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        self.publish(down.then);
        for done in down.waiting {
            self.answer(done);
        }
        if down.start_again {
            self.start();
        }
    }

    fn publish(&self, state: EngineState) {
        self.reports.send_if_modified(|report| {
            if report.state == state {
                return false;
            }
            let at_us = now_us();
            if let EngineState::Starting { stage } = &state {
                if !matches!(report.state, EngineState::Starting { .. }) {
                    report.marks.clear();
                }
                report.marks.push(Mark { stage: *stage, at_us });
            }
            report.since_us = at_us;
            report.state = state;
            true
        });
    }

    fn answer(&self, done: oneshot::Sender<EngineReport>) {
        let _ = done.send(self.reports.borrow().clone()); // whoever asked may have left
    }

    fn note(&mut self) {
        let record = Record {
            containerd: self.containerd.process().cloned(),
            dockerd: self.dockerd.process().cloned(),
            state: self.reports.borrow().state.clone(),
        };
        if record == self.recorded {
            return;
        }
        if let Err(error) = record.write() {
            verb::log(&format!(
                "{}; a restart of the supervisor would not find what runs",
                verb::chain(&error)
            ));
        }
        self.recorded = record;
    }

    fn slot(&mut self, part: Part) -> &mut Slot {
        match part {
            Part::Containerd => &mut self.containerd,
            Part::Dockerd => &mut self.dockerd,
        }
    }
}

fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("the monotonic clock starts at 0");
    seconds * 1_000_000 + u64::try_from(now.tv_nsec / 1000).expect("nanoseconds are not negative")
}
