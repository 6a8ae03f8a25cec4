//! Progress on standard error: one line per stage.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sampan_model::api::Event;
use sampan_model::engine::Stage;

use crate::output;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Shows the events of a long operation. On a terminal with spinners and bars, elsewhere as plain lines.
#[derive(Debug)]
pub(crate) struct Progress {
    /// None when standard error is no terminal.
    lines: Option<MultiProgress>,
    current: Option<Line>,
}

#[derive(Debug)]
struct Line {
    stage: Stage,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        let lines =
            io::stderr().is_terminal().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { lines, current: None }
    }

    /// Shows one event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Stage { stage, .. } => self.stage(*stage),
            Event::Progress { stage, permille, detail } => self.detail(*stage, *permille, detail),
            Event::Note { message } => self.say(message),
            Event::Warning { message } => self.say(&format!("warning: {message}")),
            Event::Done { .. } => self.end(true),
            Event::Failed { .. } => self.end(false),
        }
    }

    /// Begins the line of `stage`; the one before is done.
    pub(crate) fn stage(&mut self, stage: Stage) {
        if self.current.as_ref().is_some_and(|line| line.stage == stage) {
            return;
        }
        self.end(true);
        let bar = self.lines.as_ref().map(|lines| {
            let bar = lines.add(ProgressBar::new_spinner().with_style(style("{spinner} {prefix}")));
            bar.set_prefix(stage.message());
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            output::note(stage.message());
        }
        self.current = Some(Line { stage, began: Instant::now(), bar });
    }

    /// Ends the last line: `well` says how.
    pub(crate) fn end(&mut self, well: bool) {
        let Some(line) = self.current.take() else { return };
        let (Some(bar), Some(lines)) = (line.bar, &self.lines) else { return };
        let mark = if well { '✓' } else { '✗' };
        bar.finish_and_clear();
        lines.remove(&bar);
        // A plain line with its own end, which stays whatever is printed after it.
        let done = format!("{mark} {} ({})", line.stage.message(), seconds(line.began.elapsed()));
        lines.suspend(|| output::note(&done));
    }

    fn detail(&mut self, stage: Stage, permille: Option<u16>, detail: &str) {
        self.stage(stage);
        let Some(Line { bar: Some(bar), .. }) = &self.current else { return };
        if let Some(permille) = permille {
            bar.set_style(style("{spinner} {prefix} [{bar:25}] {percent:>3} % {wide_msg}"));
            bar.set_length(1000);
            bar.set_position(u64::from(permille.min(1000)));
        } else {
            bar.set_style(style("{spinner} {prefix}: {wide_msg}"));
        }
        bar.set_message(detail.to_owned());
    }

    fn say(&self, message: &str) {
        let show = || output::note(message);
        match &self.lines {
            Some(lines) => lines.suspend(show),
            None => show(),
        }
    }
}

/// A span of time for people: `1.2 s`, `3 min 5 s`.
pub(crate) fn seconds(span: Duration) -> String {
    if span.as_secs() < 60 {
        format!("{:.1} s", span.as_secs_f64())
    } else {
        format!("{} min {} s", span.as_secs() / 60, span.as_secs() % 60)
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 5 s");
    }

    #[test]
    fn every_template_is_well_formed() {
        for template in [
            "{spinner} {prefix}",
            "{spinner} {prefix} [{bar:25}] {percent:>3} % {wide_msg}",
            "{spinner} {prefix}: {wide_msg}",
        ] {
            style(template);
        }
    }
}
