//! Root file systems built of Debian's signed packages by mmdebstrap.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::engine::Stage;
use sampan_model::size;
use sampan_sys::SysError;

use crate::tools::guest::Guest;
use crate::tools::{ToolError, find};
use crate::tree;

/// What is to be built.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    /// What it is in messages, e.g. `the engine image`.
    pub(crate) what: &'a str,
    /// What does as well, for hints; begins with what to type.
    pub(crate) instead: &'a str,
    /// What it takes on the disk at its peak, in bytes, with some room to spare.
    pub(crate) room: u64,
    /// Debian's suite, e.g. `stable`.
    pub(crate) suite: &'a str,
    /// Which packages it begins with: a variant of mmdebstrap(1).
    pub(crate) variant: &'a str,
    /// Further packages.
    pub(crate) packages: &'a [&'a str],
    /// Folders below `/usr/share` that are left out, now and of what is installed later.
    pub(crate) without: &'a [&'a str],
    /// A shell script for the end of the build; `$1` is the root.
    pub(crate) finish: &'a str,
}

/// What is told of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// What it is doing.
    Step(String),
    /// What the user should know.
    Warning(String),
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("building {what} needs mmdebstrap, which is not installed")]
    NoBuilder { what: String, instead: String },
    #[error("{what} cannot be built: no Debian mirror can be reached")]
    NoMirror { what: String, instead: String, source: ToolError },
    #[error("{what} cannot be built")]
    Failed { what: String, instead: String, source: ToolError },
    #[error("{path} has {} free, and building {what} takes {}", size::human(*free), size::human(*room))]
    NoRoom { what: String, path: PathBuf, free: u64, room: u64 },
    #[error("cannot look at the disk of {path}")]
    Space { path: PathBuf, source: SysError },
    #[error("cannot use {path}")]
    File { path: PathBuf, source: std::io::Error },
}

impl Explain for BuildError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoBuilder { .. } | Self::NoMirror { .. } => ErrorCode::Prerequisite,
            Self::NoRoom { .. } => ErrorCode::DiskFull,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                ErrorCode::DiskFull
            }
            Self::Failed { source, .. } => source.code(),
            Self::Space { .. } | Self::File { .. } => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoBuilder { instead, .. } => {
                format!(
                    "apt-get install --no-install-recommends mmdebstrap debian-archive-keyring, or {instead}"
                )
            }
            Self::NoMirror { instead, .. } => {
                format!("check the network (and http_proxy, if there is a proxy), or {instead}")
            }
            Self::NoRoom { .. } => {
                "free some space, or move the state folder to a larger disk with SAMPAN_STATE_DIR".to_owned()
            }
            Self::Failed { instead, source, .. } => {
                source.hint().unwrap_or_else(|| format!("try again, or {instead}"))
            }
            Self::Space { .. } | Self::File { .. } => return None,
        })
    }
}

/// Which of Debian's suites a root is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    /// The release, its updates and its security updates.
    WithUpdates,
    /// The release alone.
    ReleaseOnly,
}

/// What of mmdebstrap's words says something to a user.
const STEPS: [&str; 6] =
    ["running apt-get update", "downloading", "extracting", "installing", "cleaning", "creating tarball"];

/// Lines of the root's list of sources that only a mirror which is up to date has; hidden while the root is built without
/// them.
const HIDE: &str =
    "find \"$1/etc/apt\" -name '*sources*' -type f -exec sed -i '/-updates\\|-security/s/^/#later /' {} +";
const SHOW: &str = "find \"$1/etc/apt\" -name '*sources*' -type f -exec sed -i 's/^#later //' {} +";

/// Builds an archive in `workshop`, a folder for nothing else, which is gone when the build fails. Its name decides how it
/// is compressed. apt verifies Debian's signatures with the keyring of the host; every process of the build ends with this
/// one.
pub(crate) fn build(
    guest: &Guest,
    recipe: &Recipe<'_>,
    workshop: &Path,
    name: &str,
    tell: &(dyn Fn(Told) + Sync),
) -> Result<PathBuf, BuildError> {
    let (what, instead) = (recipe.what.to_owned(), recipe.instead.to_owned());
    let Some(mmdebstrap) = find("mmdebstrap") else { return Err(BuildError::NoBuilder { what, instead }) };
    let file_error = |source| BuildError::File { path: workshop.to_owned(), source };
    let _ = fs::remove_dir_all(workshop);
    fs::create_dir_all(workshop).map_err(file_error)?;
    let result = workshop.join(name);
    let built = room_for(recipe, workshop).and_then(|()| {
        // apt downloads as a user of its own, who must be able to pass.
        fs::set_permissions(workshop, Permissions::from_mode(0o711)).map_err(file_error)?;
        let attempt = |sources| debootstrap(guest, &mmdebstrap, recipe, workshop, &result, sources, tell);
        let mut outcome = attempt(Sources::WithUpdates);
        if outcome.as_ref().is_err_and(is_expired) {
            // A mirror that stands still: its update suites expire, the release itself does not.
            tell(Told::Warning(format!(
                "the Debian mirror is out of date: {what} is built without the latest security updates"
            )));
            let _ = fs::remove_file(&result);
            outcome = attempt(Sources::ReleaseOnly);
        }
        outcome.map_err(|error| explain(recipe, error))
    });
    match built {
        Ok(()) => Ok(result),
        Err(error) => {
            // Of a build that was stopped something may still end, and write until then.
            let _ = tree::remove(workshop);
            Err(error)
        }
    }
}

fn room_for(recipe: &Recipe<'_>, folder: &Path) -> Result<(), BuildError> {
    let path = folder.to_owned();
    let free = sampan_sys::fs::free_space(folder)
        .map_err(|source| BuildError::Space { path: path.clone(), source })?;
    if free >= recipe.room {
        return Ok(());
    }
    Err(BuildError::NoRoom { what: recipe.what.to_owned(), path, free, room: recipe.room })
}

/// One run of mmdebstrap.
fn debootstrap(
    guest: &Guest,
    mmdebstrap: &Path,
    recipe: &Recipe<'_>,
    workshop: &Path,
    result: &Path,
    sources: Sources,
    tell: &(dyn Fn(Told) + Sync),
) -> Result<(), ToolError> {
    let told = |line: &str| {
        let Some(step) = line.strip_prefix("I: ").map(|line| line.trim_end_matches('.')) else { return };
        if STEPS.iter().any(|known| step.starts_with(known)) {
            tell(Told::Step(step.to_owned()));
        }
    };
    let mut tool = guest
        .tether("mmdebstrap", Duration::from_millis(Stage::Image.deadline_ms()))
        .arg(mmdebstrap)
        .args(["--mode=root", "--format=tar"])
        .arg(format!("--variant={}", recipe.variant))
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Retries \"3\""])
        .args(recipe.without.iter().map(|folder| format!("--dpkgopt=path-exclude=/usr/share/{folder}/*")))
        .arg(format!("--include={}", recipe.packages.join(",")))
        .arg(format!("--customize-hook={}", recipe.finish));
    if sources == Sources::ReleaseOnly {
        tool = tool.arg(format!("--setup-hook={HIDE}")).arg(format!("--customize-hook={SHOW}"));
    }
    tool.arg(recipe.suite).arg(result).env("TMPDIR", workshop).run(None, told).map(drop)
}

/// Signs in apt's output that no mirror was reached.
const NO_NETWORK: [&str; 6] = [
    "Could not resolve",
    "Temporary failure resolving",
    "Could not connect",
    "Unable to connect",
    "Network is unreachable",
    "Failed to fetch",
];

fn explain(recipe: &Recipe<'_>, error: ToolError) -> BuildError {
    let unreachable = says(&error, &NO_NETWORK);
    let (what, instead, source) = (recipe.what.to_owned(), recipe.instead.to_owned(), only_errors(error));
    if unreachable {
        BuildError::NoMirror { what, instead, source }
    } else {
        BuildError::Failed { what, instead, source }
    }
}

fn is_expired(error: &ToolError) -> bool {
    says(error, &["is expired (invalid since"])
}

fn says(error: &ToolError, signs: &[&str]) -> bool {
    let ToolError::Failed { stderr, .. } = error else { return false };
    stderr.iter().any(|line| signs.iter().any(|sign| line.contains(sign)))
}

/// mmdebstrap tells all it does; what went wrong begins with `E:`.
fn only_errors(error: ToolError) -> ToolError {
    let ToolError::Failed { program, status, stderr } = error else { return error };
    let errors: Vec<String> = stderr.iter().filter(|line| line.starts_with("E:")).take(3).cloned().collect();
    ToolError::Failed { program, status, stderr: if errors.is_empty() { stderr } else { errors } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Tool;

    const RECIPE: Recipe<'static> = Recipe {
        what: "it",
        instead: "do without",
        room: 1,
        suite: "stable",
        variant: "essential",
        packages: &[],
        without: &[],
        finish: "true",
    };

    #[test]
    fn a_mirror_that_cannot_be_reached_is_told_from_a_failed_build() {
        use std::os::unix::process::ExitStatusExt;
        let failed = |line: &str| ToolError::Failed {
            program: "mmdebstrap".to_owned(),
            status: std::process::ExitStatus::from_raw(256),
            stderr: vec![line.to_owned()],
        };
        let kind = |line| explain(&RECIPE, failed(line));
        assert!(matches!(kind("E: Temporary failure resolving 'x'"), BuildError::NoMirror { .. }));
        assert!(matches!(kind("E: hook failed"), BuildError::Failed { .. }));
    }

    #[test]
    fn a_build_that_does_not_fit_is_not_begun() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe { room: u64::MAX, ..RECIPE };
        let workshop = folder.path().join("workshop");
        let guest = Guest::new("/no/such/program".into());
        let error = build(&guest, &recipe, &workshop, "x.tar", &|_| {}).unwrap_err();
        // Where there is no mmdebstrap, that is said first.
        assert!(matches!(error, BuildError::NoRoom { .. } | BuildError::NoBuilder { .. }), "{error:?}");
        assert!(!workshop.exists());
    }

    #[test]
    fn sources_that_were_hidden_are_shown_again() {
        let root = tempfile::tempdir().unwrap();
        let list = root.path().join("etc/apt/sources.list");
        fs::create_dir_all(list.parent().unwrap()).unwrap();
        let text = "deb http://deb.debian.org/debian stable main\n\
                    deb http://deb.debian.org/debian stable-updates main\n\
                    deb http://security.debian.org/debian-security stable-security main\n";
        sampan_sys::fs::write_atomic(&list, text.as_bytes(), 0o644).unwrap();
        let run = |script: &str| {
            let tool = Tool::new("sh", Duration::from_mins(1)).unwrap();
            tool.args(["-c", script, "sh"]).arg(root.path()).output().unwrap();
            fs::read_to_string(&list).unwrap()
        };
        assert_eq!(run(HIDE).lines().filter(|line| line.starts_with("deb ")).count(), 1);
        assert_eq!(run(SHOW), text);
    }
}
