//! What the small tools inside distributions have in common: how their arguments are read, and their answer.
//!
//! Grammar: microsoft/WSL `src/shared/inc/CommandLine.h`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What a tool prints, and its exit code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub stdout: Vec<u8>,
    /// For standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub code: u8,
}

impl Answer {
    /// Prints `stdout` and ends with 0.
    pub fn success(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    /// Prints the line `message` on standard error and ends with 1.
    pub fn failure(message: impl Into<Vec<u8>>) -> Self {
        let mut stderr = message.into();
        stderr.push(b'\n');
        Self { stderr, code: 1, ..Self::default() }
    }
}

/// An argument, as [`read`] understands it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// One of the known options.
    Option(&'static str),
    /// A word that is no option.
    Positional(&'a OsStr),
}

/// Reads the words after a tool's name: `options` in any order, one-letter ones also together (`-aw`), and at
/// most `positional` other words. After `--` every word is one of those; `-` is always.
pub(super) fn read<'a>(
    tool: &str,
    words: &'a [OsString],
    options: &[&'static str],
    positional: usize,
) -> Result<Vec<Argument<'a>>, Answer> {
    let option = |wanted: &[u8]| options.iter().find(|option| option.as_bytes() == wanted).copied();
    let mut arguments = Vec::new();
    let (mut ended, mut others) = (false, 0);
    for word in words {
        match word.as_bytes() {
            b"--" if !ended => ended = true,
            bytes @ [b'-', letters @ ..] if !ended && !letters.is_empty() => {
                let together = || letters.iter().map(|letter| option(&[b'-', *letter])).collect();
                let known: Option<Vec<_>> = option(bytes).map(|known| vec![known]).or_else(together);
                let known = known.ok_or_else(|| invalid(tool, word))?;
                arguments.extend(known.into_iter().map(Argument::Option));
            }
            _ => {
                others += 1;
                (others <= positional).then_some(()).ok_or_else(|| invalid(tool, word))?;
                arguments.push(Argument::Positional(word));
            }
        }
    }
    Ok(arguments)
}

fn invalid(tool: &str, word: &OsStr) -> Answer {
    let hint = format!("\nPlease use '{tool} --help' to get a list of supported arguments.");
    Answer::failure([b"Invalid command line argument: ", word.as_bytes(), hint.as_bytes()].concat())
}
