//! Distributions from files and to files. Files are opened here, with the caller's rights, and travel as descriptors.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use sampan_model::wsl::args::{ExportOptions, ImportOptions, Sink, Source};
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::Request;
use tempfile::{Builder, NamedTempFile};

use super::Wsl;
use super::caller::Caller;
use super::halt::{Halt, of_file, of_streams};

/// `--import`.
pub(super) fn import(wsl: &mut Wsl<'_>, options: ImportOptions) -> Result<u8, Halt> {
    let ImportOptions { name, location, source, version, vhd } = options;
    let location = wsl.caller.absolute(&location)?;
    if !exists(&location) && !location.parent().is_none_or(exists) {
        return Err(Failure::new(Code::PathNotFound).into());
    }
    let (file, source) = open(&wsl.caller, &source)?;
    let request = Request::Import { name, location, version, vhd, source };
    wsl.order(&request, &[file.as_fd()])?;
    wsl.say(message::SUCCESS)
}

/// `--import-in-place`.
pub(super) fn import_in_place(wsl: &mut Wsl<'_>, name: String, disk: &Path) -> Result<u8, Halt> {
    let disk = wsl.caller.absolute(disk)?;
    wsl.order(&Request::ImportInPlace { name, disk }, &[])?;
    wsl.say(message::SUCCESS)
}

/// `--export`.
pub(super) fn export(wsl: &mut Wsl<'_>, options: ExportOptions) -> Result<u8, Halt> {
    let ExportOptions { name, sink, format } = options;
    let Sink::File(path) = sink else {
        if rustix::termios::isatty(&wsl.caller.stdout) {
            let failure = Failure::new(Code::InvalidArg).with_message("Standard output is a terminal.");
            return Err(failure
                .hint("name a file, or send the archive on: `wsl --export NAME - > FILE`")
                .into());
        }
        wsl.leave_output()?;
        let file = wsl.caller.stdout.try_clone().map_err(|error| of_streams(&error))?;
        wsl.order(&Request::Export { name, format, file: "<stdout>".to_owned() }, &[file.as_fd()])?;
        return Ok(0);
    };
    let target = Target::open(&wsl.caller.on_host(&path)).map_err(|error| of_target(&error, &path))?;
    let request = Request::Export { name, format, file: path.to_string_lossy().into_owned() };
    wsl.order(&request, &[target.as_fd()]).map_err(|halt| match (halt, &target) {
        // The file goes, so nothing is done.
        (Halt::TooLate(signal), Target::Named { .. } | Target::Nameless { .. }) => Halt::Signal(signal),
        (halt, _) => halt,
    })?;
    target.keep().map_err(|error| of_target(&error, &path))?;
    wsl.say(message::SUCCESS)
}

/// Opens what is to be read; also what it is called in messages.
pub(super) fn open(caller: &Caller, source: &Source) -> Result<(File, String), Failure> {
    match source {
        Source::Stdin if rustix::termios::isatty(&caller.stdin) => {
            let failure = Failure::new(Code::InvalidArg).with_message("Standard input is a terminal.");
            Err(failure.hint("name a file, or send an archive: `wsl … - < FILE`"))
        }
        Source::Stdin => {
            let file = caller.stdin.try_clone().map_err(|error| of_streams(&error))?;
            Ok((file, "<stdin>".to_owned()))
        }
        Source::File(path) => {
            let open = || {
                let file = File::open(caller.on_host(path))?;
                if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
            };
            Ok((
                open().map_err(|error: io::Error| of_file(&error, path))?,
                path.to_string_lossy().into_owned(),
            ))
        }
    }
}

/// A file that is being written. Until it is whole the former one of that name stays what it was.
#[derive(Debug)]
enum Target {
    /// On the file system of the place where it belongs, without a name: whatever ends this program, nothing is left.
    Nameless { file: File, path: PathBuf },
    /// Beside that place, where the file system knows only files with names; gone when it is dropped.
    Named { file: NamedTempFile, path: PathBuf },
    /// A pipe or a device, which nothing can be put in place of.
    Special(File),
}

impl Target {
    fn open(path: &Path) -> io::Result<Self> {
        // A link stays a link: the file that it leads to is the one to be replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() => {
                return File::options().write(true).open(&path).map(Self::Special);
            }
            // A file that may not be written is not to be replaced either.
            Ok(_) => drop(File::options().write(true).open(&path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // For its owner only: there are the distribution's secrets in it.
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(folder(&path), flags, Mode::RUSR | Mode::WUSR) {
            return Ok(Self::Nameless { file: file.into(), path });
        }
        let file = beside(&path, |builder| builder.tempfile_in(folder(&path)))?;
        Ok(Self::Named { file, path })
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Named { file, .. } => file.as_file().as_fd(),
            Self::Nameless { file, .. } | Self::Special(file) => file.as_fd(),
        }
    }

    /// It is whole: it takes its place.
    fn keep(self) -> io::Result<()> {
        match self {
            Self::Special(_) => {}
            Self::Named { file, path } => {
                succeed(file.as_file(), &path)?;
                file.persist(path)?;
            }
            Self::Nameless { file, path } => match link(&file, &path) {
                // A link replaces nothing, a new name does.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    succeed(&file, &path)?;
                    let linked = |builder: &mut Builder<'_, '_>| {
                        builder.make_in(folder(&path), |name| link(&file, name))
                    };
                    beside(&path, linked)?.persist(&path)?;
                }
                linked => linked?,
            },
        }
        Ok(())
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes something with a temporary name that shows what it is to become.
fn beside<T>(path: &Path, make: impl FnOnce(&mut Builder<'_, '_>) -> io::Result<T>) -> io::Result<T> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    make(Builder::new().prefix(&prefix).suffix(".partial"))
}

/// Gives a file without a name its first one (open(2), `O_TMPFILE`).
fn link(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

/// Makes `file` ready to replace what is at `path`: it gets its owner and mode.
fn succeed(file: &File, path: &Path) -> io::Result<()> {
    let Ok(former) = fs::metadata(path) else { return Ok(()) };
    // Only root gives files away. What stays the caller's own stays closed to others.
    if std::os::unix::fs::fchown(file, Some(former.uid()), Some(former.gid())).is_ok() {
        file.set_permissions(Permissions::from_mode(former.mode() & 0o777))?;
    }
    // Else a crash soon after could leave neither the old content nor the new.
    file.sync_all()
}

/// A file can't be written: that it is not there means its folder.
fn of_target(error: &io::Error, path: &Path) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        Failure::new(Code::PathNotFound)
    } else {
        of_file(error, path)
    }
}

/// Whether there is something at `path`, as far as the caller can see.
fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{FileTypeExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn fill(target: &Target, text: &str) {
        let file = target.as_fd().try_clone_to_owned().unwrap();
        File::from(file).write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_takes_its_place_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        for (text, kept, expected) in [("one", true, "one"), ("two", false, "one"), ("three", true, "three")]
        {
            let before = names(folder.path());
            let target = Target::open(&path).unwrap();
            fill(&target, text);
            assert_eq!(
                names(folder.path()),
                before,
                "nothing is there until then, whatever ends this program"
            );
            if kept {
                target.keep().unwrap();
            } else {
                drop(target);
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            assert_eq!(names(folder.path()), ["x.tar"]);
        }
    }

    #[test]
    fn what_is_half_written_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let target = Target::open(&path).unwrap();
        fill(&target, "half");
        assert!(names(folder.path()).is_empty());
        // Somebody else makes one meanwhile.
        drop(File::create(&path).unwrap());
        target.keep().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names(folder.path()).len()), ("half", 1));
    }

    #[test]
    fn a_file_system_without_nameless_files_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        for text in ["one", "two"] {
            let file = beside(&path, |builder| builder.tempfile_in(folder.path())).unwrap();
            let target = Target::Named { file, path: path.clone() };
            fill(&target, text);
            target.keep().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(folder.path()), ["x.tar"]);
        }
    }

    #[test]
    fn a_new_file_is_its_owner_s_only_and_a_replaced_one_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
        Target::open(&path).unwrap().keep().unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let other =
            if rustix::process::geteuid().is_root() { 65534 } else { rustix::process::getuid().as_raw() };
        std::os::unix::fs::chown(&path, Some(other), None).unwrap();
        Target::open(&path).unwrap().keep().unwrap();
        assert_eq!((mode(), fs::metadata(&path).unwrap().uid()), (0o640, other));
    }

    #[test]
    fn a_link_leads_to_the_file_that_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        drop(File::create(&file).unwrap());
        symlink("file", &link).unwrap();
        let target = Target::open(&link).unwrap();
        fill(&target, "new");
        target.keep().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn a_pipe_stays_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
        let target = Target::open(&pipe).unwrap();
        fill(&target, "tar");
        target.keep().unwrap();
        let mut read = [0; 3];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"tar");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn folders_and_missing_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let failure = |path: &Path| of_target(&Target::open(path).unwrap_err(), path);
        assert_eq!(failure(folder.path()).code, Code::AccessDenied);
        assert_eq!(failure(&folder.path().join("no/x.tar")).code, Code::PathNotFound);
        assert!(names(folder.path()).is_empty());
    }
}
