//! `sampan logs`.

use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use sampan_model::api::{Distribution, Distributions};
use sampan_model::distro::is_internal;
use sampan_model::instance::Instance;
use sampan_model::wsl::value::is_distribution_name;
use serde_json::json;

use crate::cli::{Format, Logs};
use crate::exit::{Exit, Problem};
use crate::unit_log::{UnitLog, prefixed};
use crate::{access, commands, output, service};

use super::Session;

/// The units that have a log, in the order in which they start.
const UNITS: [&str; 9] =
    ["sampand", "hub", "gateway", "docker-desktop", "engine", "containerd", "dockerd", "api", "ports"];

/// Runs the verb.
pub(crate) fn run(session: &Session, options: &Logs) -> Result<ExitCode, Problem> {
    let names: Vec<&str> = options.names.iter().chain(&options.units).map(String::as_str).collect();
    let sources = sources(session, &names)?;
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
        sources.iter().map(|source| UnitLog::new(source.name.clone(), source.path.clone())).collect();
    let mut printer = Printer::new(session.format, &sources);
    for log in &mut logs {
        let read = log.last(options.tail, &mut |unit, line| printer.print(unit, line));
        printer.check(&log.unit, read)?;
        if !options.follow {
            let read = log.end_line(&mut |unit, line| printer.print(unit, line));
            printer.check(&log.unit, read)?;
        }
    }
    io::stdout().flush()?;
    if let Some(watch) = watch {
        loop {
            watch.changed()?;
            for log in &mut logs {
                let read = log.new_lines(&mut |unit, line| printer.print(unit, line));
                printer.check(&log.unit, read)?;
            }
            io::stdout().flush()?;
        }
    }
    Ok(Exit::Ok.into())
}

/// What has a log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    /// A unit, or a distribution of the user.
    name: String,
    path: PathBuf,
}

/// What `names` mean: units, or else distributions. All units if there are none.
fn sources(session: &Session, names: &[&str]) -> Result<Vec<Source>, Problem> {
    let instance = &session.instance;
    let distributions = match names {
        [] => Vec::new(),
        _ => match distributions(session) {
            Ok(found) => found,
            // Nobody has to be asked what the units are, and what is no name at all.
            Err(_) if names.iter().all(|name| UNITS.contains(name) || !is_distribution_name(name)) => {
                Vec::new()
            }
            Err(problem) => return Err(problem),
        },
    };
    let (found, hidden) = chosen(instance, names, &distributions)?;
    for source in hidden {
        let (name, path) = (source.name, source.path.display());
        output::note(&format!("This is the unit {name}; the log of your distribution {name} is {path}."));
    }
    Ok(found)
}

/// All distributions, from the service if it runs.
fn distributions(session: &Session) -> Result<Vec<Distribution>, Problem> {
    let found: Distributions =
        commands::wait(service::ask(&session.instance, "/v1/distributions", &["list"]))?;
    Ok(found.distributions)
}

/// The units that were named, or all, in the order of [`UNITS`], then distributions in the order of `names`. Second: those
/// that a unit of the same name hides.
fn chosen(
    instance: &Instance,
    names: &[&str],
    distributions: &[Distribution],
) -> Result<(Vec<Source>, Vec<Source>), Problem> {
    let unit = |name: &str| Source { name: name.to_owned(), path: instance.log(name) };
    let distribution = |name: &str| {
        let own = |one: &&Distribution| !is_internal(&one.name) && one.name.eq_ignore_ascii_case(name);
        let found = distributions.iter().find(own)?;
        Some(Source { name: found.name.clone(), path: instance.log(&format!("distro-{}", found.guid)) })
    };
    let (mut found, mut hidden) = (Vec::new(), Vec::new());
    for name in UNITS.into_iter().filter(|unit| names.is_empty() || names.contains(unit)) {
        found.push(unit(name));
        hidden.extend(distribution(name).filter(|_| !names.is_empty()));
    }
    for name in names.iter().filter(|name| !UNITS.contains(name)) {
        let source = distribution(name).ok_or_else(|| {
            Problem::invalid(format!("there is no unit and no distribution `{name}` that has a log"))
                .hint(format!("choose one of {}, or a distribution of `wsl -l`", UNITS.join(", ")))
        })?;
        if !found.contains(&source) {
            found.push(source);
        }
    }
    Ok((found, hidden))
}

/// Prints lines in the chosen format, and keeps errors of printing apart from those of reading.
#[derive(Debug)]
struct Printer {
    format: Format,
    width: Option<usize>,
    failed: Option<io::Error>,
}

impl Printer {
    fn new(format: Format, sources: &[Source]) -> Self {
        let width = sources.iter().map(|source| source.name.len()).max().filter(|_| sources.len() > 1);
        Self { format, width, failed: None }
    }

    fn print(&mut self, unit: &str, line: &[u8]) -> io::Result<()> {
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
    use sampan_model::distro::{DistroState, Guid};

    use super::*;

    fn names(names: &[&str], distributions: &[&str]) -> Result<(Vec<String>, Vec<String>), Problem> {
        let instance = Instance::new("t", Path::new("/state"), Path::new("/run/x")).unwrap();
        let distribution = |name: &&str| Distribution {
            name: (*name).to_owned(),
            guid: Guid::NIL,
            state: DistroState::Stopped,
            version: 2,
            default: false,
        };
        let all: Vec<_> = distributions.iter().map(distribution).collect();
        let (found, hidden) = chosen(&instance, names, &all)?;
        let paths = |sources: Vec<Source>| {
            let files = sources.into_iter().map(|source| source.path.display().to_string());
            files.map(|path| path.trim_start_matches("/state/t/logs/").to_owned()).collect()
        };
        Ok((paths(found), paths(hidden)))
    }

    #[test]
    fn units_and_distributions_are_chosen_by_name() {
        let log = format!("distro-{}.log", Guid::NIL);
        let all: Vec<_> = UNITS.iter().map(|unit| format!("{unit}.log")).collect();
        assert_eq!(names(&[], &["Debian", "api"]).unwrap(), (all, vec![]));
        let some = names(&["dockerd", "dEBIAN", "hub", "Debian"], &["Debian"]).unwrap();
        assert_eq!(some, (vec!["hub.log".to_owned(), "dockerd.log".to_owned(), log.clone()], vec![]));
        for unknown in ["nginx", "docker-desktop-data"] {
            let problem = names(&[unknown], &["Debian", "docker-desktop-data"]).unwrap_err();
            assert_eq!(problem.kind.exit(), Exit::Usage);
            assert!(problem.hint.unwrap().contains("containerd, dockerd"));
        }
    }

    #[test]
    fn a_unit_goes_before_a_distribution_of_its_name() {
        let log = format!("distro-{}.log", Guid::NIL);
        assert_eq!(names(&["api"], &["api"]).unwrap(), (vec!["api.log".to_owned()], vec![log]));
    }

    #[test]
    fn only_several_units_are_told_apart() {
        let source = |name: &str| Source { name: name.to_owned(), path: PathBuf::new() };
        assert_eq!(Printer::new(Format::Pretty, &[source("api")]).width, None);
        assert_eq!(Printer::new(Format::Pretty, &[source("api"), source("dockerd")]).width, Some(7));
    }
}
