//! `sampan logs`.

use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::json;

use crate::access;
use crate::cli::{Format, Logs};
use crate::exit::{Exit, Problem};
use crate::unit_log::{UnitLog, prefixed};

use super::Session;

/// The units that have a log, in the order in which they start.
const UNITS: [&str; 7] = ["sampand", "hub", "docker-desktop", "engine", "containerd", "dockerd", "api"];

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Logs) -> Result<ExitCode, Problem> {
    let units = chosen(&options.units)?;
    let folder = session.instance.logs();
    if let Err(error) = std::fs::read_dir(&folder) {
        return Err(match error.kind() {
            io::ErrorKind::PermissionDenied => access::denied(&format!("the logs in {}", folder.display())),
            io::ErrorKind::NotFound => Problem::not_running("nothing has been logged yet")
                .hint(format!("type `{}`", session.command("start"))),
            _ => Problem::failed(format!("can't read the folder {}: {error}", folder.display())),
        });
    }
    // The watch begins before the first reading, so that no line falls between them.
    let watch = options.follow.then(|| Watch::new(&folder)).transpose()?;
    let mut logs: Vec<UnitLog> =
        units.iter().map(|unit| UnitLog::new(unit, session.instance.log(unit))).collect();
    let mut printer = Printer::new(session.format, &units);
    for log in &mut logs {
        let read = log.last(options.tail, &mut |unit, line| printer.print(unit, line));
        printer.check(log.unit, read)?;
        if !options.follow {
            let read = log.end_line(&mut |unit, line| printer.print(unit, line));
            printer.check(log.unit, read)?;
        }
    }
    io::stdout().flush()?;
    if let Some(watch) = watch {
        loop {
            watch.changed()?;
            for log in &mut logs {
                let read = log.new_lines(&mut |unit, line| printer.print(unit, line));
                printer.check(log.unit, read)?;
            }
            io::stdout().flush()?;
        }
    }
    Ok(Exit::Ok.into())
}

/// The units that were named, or all, in the order of [`UNITS`].
fn chosen(names: &[String]) -> Result<Vec<&'static str>, Problem> {
    if let Some(unknown) = names.iter().find(|name| !UNITS.contains(&name.as_str())) {
        return Err(Problem::invalid(format!("there is no unit `{unknown}`"))
            .hint(format!("choose one of {}", UNITS.join(", "))));
    }
    Ok(UNITS.into_iter().filter(|unit| names.is_empty() || names.iter().any(|name| name == unit)).collect())
}

/// Prints lines in the chosen format, and keeps errors of printing apart from those of reading.
#[derive(Debug)]
struct Printer {
    format: Format,
    width: Option<usize>,
    failed: Option<io::Error>,
}

impl Printer {
    fn new(format: Format, units: &[&str]) -> Self {
        let width = units.iter().map(|unit| unit.len()).max().filter(|_| units.len() > 1);
        Self { format, width, failed: None }
    }

    fn print(&mut self, unit: &'static str, line: &[u8]) -> io::Result<()> {
        let text = match self.format {
            Format::Pretty => prefixed(self.width, unit, line),
            Format::Json => {
                format!("{}\n", json!({ "unit": unit, "line": String::from_utf8_lossy(line) })).into_bytes()
            }
        };
        io::stdout().lock().write_all(&text).map_err(|error| {
            self.failed = Some(error);
            io::ErrorKind::Other.into()
        })
    }

    fn check(&mut self, unit: &str, read: io::Result<()>) -> Result<(), Problem> {
        match (self.failed.take(), read) {
            (Some(error), _) => Err(error.into()),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(access::denied(&format!("the log of {unit}")))
            }
            (None, Err(error)) => Err(Problem::failed(format!("can't read the log of {unit}: {error}"))),
        }
    }
}

/// Tells of changes of the files in a folder (inotify(7)).
#[derive(Debug)]
struct Watch(rustix::fd::OwnedFd);

impl Watch {
    fn new(folder: &Path) -> Result<Self, Problem> {
        let problem =
            |error| Problem::failed(format!("can't watch the folder {}: {error}", folder.display()));
        let fd = inotify::init(CreateFlags::CLOEXEC).map_err(problem)?;
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
        inotify::add_watch(&fd, folder, what).map_err(problem)?;
        Ok(Self(fd))
    }

    /// Waits for the next changes, and takes all that have gathered. The end of the folder is the end of the command.
    fn changed(&self) -> Result<(), Problem> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::IGNORED) => {
                    return Err(Problem::not_running("the folder of the logs was deleted"));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Problem::failed(format!("can't watch the logs: {error}"))),
            }
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap(), UNITS);
        let some = ["dockerd".to_owned(), "hub".to_owned()];
        assert_eq!(chosen(&some).unwrap(), ["hub", "dockerd"]);
        let problem = chosen(&["nginx".to_owned()]).unwrap_err();
        assert_eq!(problem.kind.exit(), Exit::Usage);
        assert!(problem.hint.unwrap().contains("containerd, dockerd"));
    }

    #[test]
    fn only_several_units_are_told_apart() {
        assert_eq!(Printer::new(Format::Pretty, &["api"]).width, None);
        assert_eq!(Printer::new(Format::Pretty, &["api", "dockerd"]).width, Some(7));
    }
}
