//! What `wsl` prints: results on standard output, warnings and progress on standard error.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sampan_model::wsl::message;

use super::caller::Caller;
use super::halt::Halt;

/// Set to 1, it silences warnings.
const WARNINGS: &str = "WSL_DISABLE_WARNINGS";
/// How often a bar is drawn anew while nothing is heard.
const TICK: Duration = Duration::from_millis(120);

/// The caller's standard output and error.
#[derive(Debug)]
pub(in crate::commands) struct Console {
    out: File,
    err: File,
    /// How a warning reads; none when the caller does not want any.
    warning: Option<fn(&str) -> String>,
    /// Whether progress is shown: only to people.
    watched: bool,
    /// Whether the terminal is in raw mode, in which it does not go back to the first column by itself.
    raw: bool,
    bar: Option<(String, ProgressBar)>,
}

impl Console {
    /// That of `caller`.
    pub(in crate::commands) fn of(caller: &Caller) -> io::Result<Self> {
        Ok(Self {
            out: caller.stdout.try_clone()?,
            err: caller.stderr.try_clone()?,
            warning: match caller.variable(OsStr::new(WARNINGS)) {
                Some(value) if value == "1" => None,
                _ => Some(message::warning),
            },
            watched: rustix::termios::isatty(&caller.stderr),
            raw: false,
            bar: None,
        })
    }

    /// The same, when standard output is taken by an archive: results are printed on standard error too.
    pub(super) fn leave_output(&mut self) -> io::Result<()> {
        self.out = self.err.try_clone()?;
        Ok(())
    }

    /// Warns as `sampan` does, not as `wsl`.
    pub(super) fn speak_as_sampan(&mut self) {
        self.warning = self.warning.map(|_| (|text| format!("warning: {text}")) as fn(&str) -> String);
    }

    /// The terminal is in raw mode from now on, or no longer.
    pub(super) fn set_raw(&mut self, raw: bool) {
        self.end_progress();
        self.raw = raw;
    }

    /// Prints a result. `text` has its newlines.
    pub(super) fn print(&mut self, text: &str) -> Result<(), Halt> {
        self.end_progress();
        self.out.write_all(text.as_bytes()).map_err(|_| Halt::OutputClosed)
    }

    /// Prints a line on standard error. That nobody reads it changes nothing.
    pub(super) fn note(&mut self, line: &str) {
        self.end_progress();
        let end = if self.raw { "\r\n" } else { "\n" };
        // Words of a distribution may be in it: they must not act on the terminal.
        let shown: String = line
            .trim_end()
            .chars()
            .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
            .collect();
        let _ = self.err.write_all(format!("{shown}{end}").as_bytes());
    }

    /// Prints a warning, unless the caller does not want any.
    pub(super) fn warn(&mut self, text: &str) {
        if let Some(warning) = self.warning {
            self.note(&warning(text));
        }
    }

    /// Shows what is being done and how far it is, in thousandths, if that is known.
    pub(super) fn progress(&mut self, label: &str, permille: Option<u16>) {
        if !self.watched {
            return;
        }
        if self.bar.as_ref().is_none_or(|(shown, _)| shown != label) {
            self.end_progress();
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            bar.set_style(style("{prefix} {spinner}"));
            bar.set_prefix(label.to_owned());
            bar.enable_steady_tick(TICK);
            self.bar = Some((label.to_owned(), bar));
        }
        if let (Some((_, bar)), Some(permille)) = (&self.bar, permille) {
            bar.set_style(style("{prefix} [{bar:25}] {percent:>3} %"));
            bar.set_position(u64::from(permille.min(1000)));
        }
    }

    /// Leaves of the bar a line that says what was done, as wsl.exe does.
    pub(super) fn end_progress(&mut self) {
        if let Some((label, bar)) = self.bar.take() {
            bar.finish_and_clear();
            let _ = self.err.write_all(format!("{label}\n").as_bytes());
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end_progress();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_well_formed() {
        for template in ["{prefix} {spinner}", "{prefix} [{bar:25}] {percent:>3} %"] {
            style(template);
        }
    }
}
