//! What integration has in a distribution's own files: `docker`, its completions, and the group `docker`.
//!
//! `sampan-guest integrate` does it, with a journal per distribution ([`sampan_model::integration::journal`]) by which all of it
//! is undone exactly. Callers have the distribution's turn: nobody repairs, resizes or removes its disk meanwhile.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::{Error, Explain};
use sampan_model::api::ErrorCode;
use sampan_model::distro::Guid;
use sampan_model::docker_cli::{self, Program};
use sampan_model::guest::{Answer, IntegrateSpec, Integration};
use sampan_model::registry::Entry;

use super::shim;
use crate::disk;
use crate::hub::{Hub, HubError};
use crate::platform::Native;
use crate::tools::guest::GuestError;
use crate::tools::{Tool, ToolError};

/// How long docker may take to print a text that it has in it.
const LIMIT: Duration = Duration::from_secs(20);

/// Shells, and where each looks for completions that packages bring.
const COMPLETIONS: [(&str, &[&str]); 3] = [
    ("bash", &["/usr/share/bash-completion/completions/docker"]),
    ("zsh", &["/usr/share/zsh/vendor-completions/_docker", "/usr/share/zsh/site-functions/_docker"]),
    ("fish", &["/usr/share/fish/vendor_completions.d/docker.fish"]),
];

/// What a distribution has after [`Native::write_files`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Number of its group `docker`, as it is inside.
    pub gid: u32,
    /// Programs called `docker` of somebody else, by their paths inside. While there is one, it is the one to be used, and
    /// there is none of ours in the distribution's own folders.
    pub foreign: Vec<PathBuf>,
    /// What the user should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Why the files of a distribution could not be written, or not be undone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("`docker` cannot be put into {name}")]
    Write { name: String, journal: PathBuf, source: GuestError },
    #[error("what integration has written into {name} cannot be undone")]
    Undo { name: String, journal: PathBuf, source: GuestError },
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error("`docker` of distributions is missing: cannot copy {from} to {to}")]
    Shim { from: PathBuf, to: PathBuf, source: std::io::Error },
    #[error("the journal {path} cannot be removed")]
    Forget { path: PathBuf, source: std::io::Error },
}

impl Explain for FilesError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Write { source, .. } | Self::Undo { source, .. } => source.code(),
            Self::Hub(source) => source.code(),
            Self::Shim { source, .. } if source.kind() == ErrorKind::StorageFull => ErrorCode::DiskFull,
            Self::Shim { .. } | Self::Forget { .. } => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Write { name, journal, source } | Self::Undo { name, journal, source }
                if source.code() == ErrorCode::DiskFull =>
            {
                // Each file that could not be written is named by its path.
                let folder = journal.parent().unwrap_or(journal);
                Some(if source.to_string().contains(&*folder.to_string_lossy()) {
                    format!("free some space on the disk of {}, then try again", folder.display())
                } else {
                    format!("free some space in {name}, then try again")
                })
            }
            Self::Write { source, .. } | Self::Undo { source, .. } => source.hint(),
            Self::Hub(source) => source.hint(),
            Self::Shim { source, from, .. } if source.kind() == ErrorKind::NotFound => Some(format!(
                "install Sampan again: `{}` belongs into {}",
                shim::PROGRAM,
                from.parent().unwrap_or(from).display()
            )),
            Self::Shim { .. } | Self::Forget { .. } => {
                Some("check free space and permissions of the state folder".to_owned())
            }
        }
    }
}

impl Native {
    /// Brings the folder that distributions see as [`docker_cli::SHIM_PLACE`] up to date: nothing but our `docker`.
    pub(crate) fn place_shim(&self) -> Result<PathBuf, FilesError> {
        self.integration.shim.place(&self.guest.beside(shim::PROGRAM), &self.instance.shim())
    }

    /// Writes what integration needs into a distribution of version 2 that runs or not, as far as it is not there, or all of
    /// it `anew`. When it fails nothing is left of it but what was there before.
    pub fn write_files(&self, entry: &Entry, anew: bool) -> Result<Written, Error> {
        let shim = self.place_shim()?;
        let mut warnings = Vec::new();
        let completions = completions(&self.instance.cli()).unwrap_or_else(|error| {
            let why = sampan_backend::error::chain(&error);
            warnings.push(format!("shells in {} do not complete `docker`: {why}", entry.name));
            Vec::new()
        });
        let task = Integration::Write { anew, shim, completions, default_uid: entry.default_uid };
        let failed = |source| {
            let journal = self.instance.integration_journal(&entry.guid);
            FilesError::Write { name: entry.name.clone(), journal, source }
        };
        match self.integrate(entry, task)?.map_err(failed)? {
            Answer::Written { gid, foreign, warnings: more } => {
                warnings.extend(more);
                Ok(Written { gid, foreign, warnings })
            }
            other => Err(failed(garbled(&other)).into()),
        }
    }

    /// Undoes all that integration has written into a distribution that runs or not. Files that others have changed since,
    /// by their paths inside: they were left as they are.
    pub fn undo_files(&self, entry: &Entry) -> Result<Vec<PathBuf>, Error> {
        let failed = |source| {
            let journal = self.instance.integration_journal(&entry.guid);
            FilesError::Undo { name: entry.name.clone(), journal, source }
        };
        // Without a journal there is nothing, and the disk need not be there.
        if !self.has_files(&entry.guid) {
            self.integration.forget(&entry.guid);
            return Ok(Vec::new());
        }
        match self.integrate(entry, Integration::Undo)?.map_err(failed)? {
            Answer::Undone { kept } => {
                self.integration.forget(&entry.guid);
                Ok(kept)
            }
            other => Err(failed(garbled(&other)).into()),
        }
    }

    /// Whether integration has written anything into a distribution that is not undone.
    pub fn has_files(&self, guid: &Guid) -> bool {
        fs::symlink_metadata(self.instance.integration_journal(guid)).is_ok()
    }

    /// Forgets what was written into a distribution that is removed with all its files.
    pub fn forget_files(&self, guid: &Guid) -> Result<(), Error> {
        let path = self.instance.integration_journal(guid);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(FilesError::Forget { path, source }.into())
            }
            _ => Ok(()),
        }
    }

    fn integrate(&self, entry: &Entry, task: Integration) -> Result<Result<Answer, GuestError>, FilesError> {
        let spec = IntegrateSpec {
            hub: Hub::find(&self.instance)?.map(|hub| hub.process),
            at: Hub::view(&entry.guid),
            image: disk::image_of(&self.instance, entry),
            journal: self.instance.integration_journal(&entry.guid),
            task,
        };
        Ok(self.guest.ask("integrate", &spec, None))
    }
}

fn garbled(answer: &Answer) -> GuestError {
    GuestError::Garbled { verb: "integrate".to_owned(), said: format!("{answer:?}") }
}

/// The completions that the CLI of the engine has, by their paths in a distribution; none before there is an engine.
fn completions(cli: &Path) -> Result<Vec<(PathBuf, String)>, ToolError> {
    if !Program::Docker.path(cli).exists() {
        return Ok(Vec::new());
    }
    let libraries = fs::read_dir(docker_cli::libraries(cli)).into_iter().flatten().flatten();
    let loader = docker_cli::loader(libraries.map(|entry| entry.file_name()));
    let execution = docker_cli::execution(cli, loader.as_deref(), Program::Docker);
    let mut texts = Vec::new();
    for (shell, paths) in COMPLETIONS {
        let text = Tool::at("docker completion", execution.file.clone(), LIMIT)
            .args(&execution.words[1..])
            .args(["completion", shell])
            .output()?;
        texts.extend(paths.iter().map(|path| (PathBuf::from(path), text.clone())));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use sampan_model::instance::Instance;

    use super::*;

    #[test]
    fn completions_are_what_docker_prints() {
        let cli = tempfile::tempdir().unwrap();
        assert_eq!(completions(cli.path()).unwrap(), [], "no engine yet");
        fs::create_dir(cli.path().join("bin")).unwrap();
        let docker = cli.path().join("bin/docker");
        symlink("/bin/echo", &docker).unwrap();
        let made = completions(cli.path()).unwrap();
        assert_eq!(made.len(), 4);
        for (path, text) in [
            ("/usr/share/bash-completion/completions/docker", "completion bash\n"),
            ("/usr/share/zsh/site-functions/_docker", "completion zsh\n"),
        ] {
            assert!(made.contains(&(path.into(), text.to_owned())), "{made:?}");
        }
        fs::remove_file(&docker).unwrap();
        symlink("/bin/false", &docker).unwrap();
        assert!(completions(cli.path()).unwrap_err().to_string().contains("docker completion"));
    }

    #[test]
    fn the_disk_that_is_full_is_named() {
        let hint = |message: &str| {
            let source =
                GuestError::Refused { message: format!("{message}: No space left on device"), busy: false };
            let error =
                FilesError::Write { name: "d".to_owned(), journal: "/s/integration/1.json".into(), source };
            assert_eq!(error.code(), ErrorCode::DiskFull);
            error.hint().unwrap()
        };
        let inside = hint("cannot write /usr/bin/docker of the distribution");
        assert_eq!(inside, "free some space in d, then try again");
        for message in ["cannot create /s/integration/.1.json.7-0.tmp", "cannot write /s/integration/1.json"]
        {
            assert_eq!(hint(message), "free some space on the disk of /s/integration, then try again");
        }
    }

    #[test]
    fn without_a_journal_nothing_is_to_be_undone() {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance::new("x", &folder.path().join("state"), &folder.path().join("run")).unwrap();
        let native = Native::unprepared(instance, "/no/such/sampan-guest".into());
        let entry = Entry::new(Guid::from_random([3; 16]), "gone", 2);
        assert_eq!(native.undo_files(&entry), Ok(Vec::new()));
        assert_eq!(native.forget_files(&entry.guid), Ok(()));
        let path = native.instance.integration_journal(&entry.guid);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        sampan_sys::fs::write_atomic(&path, b"{}", 0o600).unwrap();
        assert!(native.has_files(&entry.guid));
        assert!(native.undo_files(&entry).unwrap_err().to_string().contains("gone"));
        assert_eq!(native.forget_files(&entry.guid), Ok(()));
        assert!(!native.has_files(&entry.guid));
    }
}
