//! The place of one part: empty, waiting to be started again, or filled by a process that serves or does not yet.

use std::pin::Pin;

use sampan_model::guest::ProcessId;
use sampan_sys::process::Signal;
use tokio::time::{Duration, Instant, sleep_until};

use super::back_off::BackOff;
use super::part::Part;
use super::process::{Exit, Process};
use super::{readiness, unit_log};

/// What can happen to a part.
#[derive(Debug)]
pub(super) enum PartEvent {
    /// It serves from now on.
    Ready,
    /// Its process has ended.
    Ended(Exit),
    /// The pause after its end is over.
    Due,
}

pub(super) struct Slot {
    pub(super) part: Part,
    /// Ends in a row since the engine ran.
    pub(super) failures: u32,
    content: Content,
    back_off: BackOff,
    /// Where the lines of the present or last process begin in the log.
    log_from: u64,
}

enum Content {
    Empty,
    Pausing { until: Instant },
    Filled { process: Process, since: Instant, progress: Progress },
}

enum Progress {
    Coming(Pin<Box<dyn Future<Output = ()>>>),
    Ready,
}

impl Slot {
    pub(super) fn new(part: Part) -> Self {
        Self { part, failures: 0, content: Content::Empty, back_off: BackOff::new(), log_from: 0 }
    }

    /// Forgets past ends: a person has asked for a start.
    pub(super) fn forgive(&mut self) {
        self.failures = 0;
        self.back_off = BackOff::new();
    }

    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.content = Content::Empty;
        self.part.prepare()?;
        let log = unit_log::open(self.part)?;
        self.log_from = unit_log::length(&log);
        let process = Process::spawn(self.part, log)?;
        self.fill(process);
        Ok(())
    }

    /// Takes over the process of an earlier supervisor; `false` when it is gone.
    pub(super) fn adopt(&mut self, id: Option<ProcessId>) -> anyhow::Result<bool> {
        let Some(id) = id else { return Ok(false) };
        let Some(process) = Process::adopt(id)? else { return Ok(false) };
        self.log_from = 0; // unknown; the last lines are those of this process unless it wrote few
        self.fill(process);
        Ok(true)
    }

    fn fill(&mut self, process: Process) {
        let progress = Progress::Coming(Box::pin(readiness::ready(self.part)));
        self.content = Content::Filled { process, since: Instant::now(), progress };
    }

    /// Starts it again after a pause, whose length is returned.
    pub(super) fn pause(&mut self, ran: Duration) -> Duration {
        let pause = self.back_off.pause_after(ran);
        self.content = Content::Pausing { until: Instant::now() + pause };
        pause
    }

    /// It is not started again.
    pub(super) fn give_up(&mut self) {
        if matches!(self.content, Content::Pausing { .. }) {
            self.content = Content::Empty;
        }
    }

    /// Empties the place of a process that has ended; returns how long it ran.
    pub(super) fn clear(&mut self) -> Duration {
        self.part.remove_remains();
        match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Filled { since, .. } => since.elapsed(),
            Content::Empty | Content::Pausing { .. } => Duration::ZERO,
        }
    }

    pub(super) fn process(&self) -> Option<&ProcessId> {
        match &self.content {
            Content::Filled { process, .. } => Some(process.id()),
            Content::Empty | Content::Pausing { .. } => None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.content, Content::Filled { progress: Progress::Ready, .. })
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Content::Filled { process, .. } = &self.content {
            process.signal(signal);
        }
    }

    /// The last log lines of the present or last process.
    pub(super) fn last_lines(&self) -> Vec<String> {
        unit_log::last_lines(self.part, self.log_from)
    }

    /// Waits for the next event; for ever if there can be none. May be dropped and called again.
    pub(super) async fn next(&mut self) -> PartEvent {
        match &mut self.content {
            Content::Empty => std::future::pending().await,
            Content::Pausing { until } => {
                sleep_until(*until).await;
                PartEvent::Due
            }
            Content::Filled { process, progress, .. } => {
                let serving = async {
                    match progress {
                        Progress::Coming(ready) => ready.await,
                        Progress::Ready => std::future::pending().await,
                    }
                };
                tokio::select! {
                    exit = process.ended() => return PartEvent::Ended(exit),
                    () = serving => {}
                }
                *progress = Progress::Ready;
                PartEvent::Ready
            }
        }
    }
}
