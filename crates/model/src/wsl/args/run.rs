//! Options before the command that is run, up to the first word that is none.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Command, RunOptions, UsageError, shell_line, verbs};
use crate::session::{Folder, Program};
use crate::words::Word;
use crate::wsl::service::Target;
use crate::wsl::value;

/// What `--shell-type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShellType {
    Standard,
    Login,
    None,
}

/// The options so far.
#[derive(Debug, Default)]
struct Given {
    target: Option<Target>,
    user: Option<String>,
    folder: Option<Folder>,
    shell_type: Option<ShellType>,
    system: bool,
    /// The first of them as it was written.
    first: Option<String>,
}

/// Parses the words behind `wsl`.
pub(super) fn parse(words: &[OsString]) -> Result<Command, UsageError> {
    let mut given = Given::default();
    let mut rest = legacy(words, &mut given);
    while let [word, tail @ ..] = rest {
        let text = word.to_string_lossy();
        if !text.starts_with('-') {
            break;
        }
        rest = tail;
        match &*text {
            "--" => break,
            "-e" | "--exec" => {
                given.shell_type = Some(ShellType::None);
                break;
            }
            "-d" | "--distribution" => {
                if given.target.is_some() {
                    return Err(UsageError::DistributionAlreadySet);
                }
                let name = parameter(&mut rest, "--distribution")?;
                given.target = Some(Target::Name { name });
            }
            "--distribution-id" => {
                if given.target.is_some() {
                    return Err(UsageError::DistributionAlreadySet);
                }
                let text = parameter(&mut rest, "--distribution-id")?;
                let id = value::guid(&text).ok_or(UsageError::Invalid(None))?;
                given.target = Some(Target::Id { id });
            }
            "-u" | "--user" => given.user = Some(parameter(&mut rest, "--user")?),
            "--cd" => given.folder = Some(folder(&mut rest)?),
            "--shell-type" => {
                given.shell_type = Some(shell_type(&parameter(&mut rest, "--shell-type")?)?);
            }
            "--system" => given.system = true,
            option => {
                let verb = verbs::find(option).ok_or_else(|| UsageError::Unknown(option.to_owned()))?;
                return match given.first {
                    // A verb is not about the distribution or user that was chosen, and must not look as if it were.
                    Some(first) if option != "--help" => Err(UsageError::Exclusive(text.into_owned(), first)),
                    _ => verb(tail),
                };
            }
        }
        given.first.get_or_insert_with(|| text.into_owned());
    }
    Ok(Command::Run(RunOptions {
        program: program(given.shell_type, rest)?,
        target: given.target.unwrap_or(Target::Default),
        user: given.user,
        folder: given.folder,
        system: given.system,
    }))
}

/// What may stand before all options: an identity, then `~`. Gives the words behind.
fn legacy<'w>(words: &'w [OsString], given: &mut Given) -> &'w [OsString] {
    let mut rest = words;
    if let [first, tail @ ..] = rest
        && let Some(id) = first.to_str().and_then(value::guid)
    {
        given.target = Some(Target::Id { id });
        rest = tail;
    }
    if let [first, tail @ ..] = rest
        && first == "~"
    {
        given.folder = Some(Folder::Home);
        rest = tail;
    }
    given.first = (rest.len() < words.len()).then(|| words[0].to_string_lossy().into_owned());
    rest
}

/// The word behind an option, which is taken off `rest`. What is no text gets replacement characters: no distribution
/// and no option can be called so.
fn parameter(rest: &mut &[OsString], option: &'static str) -> Result<String, UsageError> {
    match rest {
        [value, tail @ ..] if !value.is_empty() => {
            *rest = tail;
            Ok(value.to_string_lossy().into_owned())
        }
        _ => Err(UsageError::ParameterMissing(option)),
    }
}

fn folder(rest: &mut &[OsString]) -> Result<Folder, UsageError> {
    let [path, tail @ ..] = rest else {
        return Err(UsageError::Invalid(Some("--cd needs a folder.".to_owned())));
    };
    *rest = tail;
    match path.as_bytes() {
        b"" => Err(UsageError::Invalid(Some("--cd needs a folder.".to_owned()))),
        b"~" | b"~/" => Ok(Folder::Home),
        // With its `~`, so that a folder that is not there is told as it was written.
        [b'/', ..] | [b'~', b'/', ..] => Ok(Folder::Inside { path: Word::from(path.as_os_str()) }),
        // wsl.exe refuses these; here they mean what they mean to every other command.
        _ => Ok(Folder::Host { path: Word::from(path.as_os_str()) }),
    }
}

fn shell_type(text: &str) -> Result<ShellType, UsageError> {
    match text {
        "standard" => Ok(ShellType::Standard),
        "login" => Ok(ShellType::Login),
        "none" => Ok(ShellType::None),
        other => Err(UsageError::Invalid(Some(format!(
            "'{other}' is no shell type; use standard, login or none."
        )))),
    }
}

fn program(shell_type: Option<ShellType>, words: &[OsString]) -> Result<Program, UsageError> {
    Ok(match (shell_type, words) {
        (Some(ShellType::None), []) => {
            return Err(UsageError::Invalid(Some("There is no command to execute.".to_owned())));
        }
        (Some(ShellType::None), words) => {
            Program::Exec { words: words.iter().map(|word| Word::from(word.as_os_str())).collect() }
        }
        (shell_type, []) => Program::Shell { login: shell_type != Some(ShellType::Standard) },
        (shell_type, words) => Program::Line {
            line: Word::from(OsString::from_vec(shell_line(words))),
            login: shell_type == Some(ShellType::Login),
        },
    })
}
