//! Options and words of one verb: a grammar as data, and what of it was found.
//!
//! Rules (microsoft/WSL `src/shared/inc/CommandLine.h`): a word that begins with `-` is an option, `-` alone is not; `--`
//! ends the options; `-abc` means the flags `-a -b -c` if there are all three; an option takes the next word as its value,
//! whatever it is. Of a value that is given twice the last counts.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::wsl::value;

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    name: &'static str,
    short: Option<char>,
    takes_value: bool,
}

impl Opt {
    /// A switch; `name` with its dashes.
    pub const fn flag(name: &'static str) -> Self {
        Self { name, short: None, takes_value: false }
    }

    /// An option that takes the next word.
    pub const fn value(name: &'static str) -> Self {
        Self { takes_value: true, ..Self::flag(name) }
    }

    /// The same with a short form.
    #[must_use]
    pub const fn or(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// Its name, with dashes.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn is(&self, word: &OsStr) -> bool {
        word == self.name || word.to_str().and_then(only_letter).is_some_and(|letter| self.is_letter(letter))
    }

    fn is_letter(&self, letter: char) -> bool {
        self.short == Some(letter) || only_letter(self.name) == Some(letter)
    }
}

/// `a` of `-a`.
fn only_letter(word: &str) -> Option<char> {
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next().filter(|letter| *letter != '-')?;
    letters.next().is_none().then_some(letter)
}

/// What a verb takes.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Name of the program, for messages.
    pub program: &'static str,
    /// Its options.
    pub options: &'static [Opt],
    /// How many words it takes at most.
    pub words: usize,
}

/// Why the words of a verb are refused. Its code is `E_INVALIDARG`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// An option that is not known, or a word too many.
    #[error(
        "Invalid command line argument: {word}\nPlease use '{program} --help' to get a list of supported arguments."
    )]
    Unknown {
        /// The whole word.
        word: String,
        /// Name of the program.
        program: &'static str,
    },
    /// An option at the end that takes a value.
    #[error(
        "Command line argument {option} requires a value.\nPlease use '{program} --help' to get a list of supported arguments."
    )]
    ValueMissing {
        /// The option as it was written.
        option: String,
        /// Name of the program.
        program: &'static str,
    },
    /// No number.
    #[error("{0} is not a valid integer.")]
    Integer(String),
    /// No truth value.
    #[error("{0} is not a valid boolean, <true|false>")]
    Boolean(String),
    /// No size.
    #[error("Invalid size: {0}")]
    Size(String),
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found<'w> {
    options: Vec<(&'static str, Option<&'w OsStr>)>,
    words: Vec<&'w OsStr>,
}

impl Grammar {
    /// Sorts `words` into options and words.
    pub fn parse<'w>(&self, words: &'w [OsString]) -> Result<Found<'w>, OptionError> {
        let mut found = Found::default();
        let mut rest = words.iter();
        let mut options_over = false;
        while let Some(word) = rest.next() {
            if options_over || word == "-" || !word.as_encoded_bytes().starts_with(b"-") {
                if found.words.len() == self.words {
                    return Err(self.unknown(word));
                }
                found.words.push(word);
            } else if word == "--" {
                options_over = true;
            } else if let Some(option) = self.options.iter().find(|option| option.is(word)) {
                let value = if option.takes_value {
                    let missing = || OptionError::ValueMissing {
                        option: word.to_string_lossy().into_owned(),
                        program: self.program,
                    };
                    Some(rest.next().ok_or_else(missing)?.as_os_str())
                } else {
                    None
                };
                found.options.push((option.name, value));
            } else {
                let flags = self.combined(word).ok_or_else(|| self.unknown(word))?;
                found.options.extend(flags.into_iter().map(|name| (name, None)));
            }
        }
        Ok(found)
    }

    /// The flags of `-abc`, if it is that.
    fn combined(&self, word: &OsStr) -> Option<Vec<&'static str>> {
        let letters = word.to_str()?.strip_prefix('-').filter(|letters| !letters.starts_with('-'))?;
        let flag =
            |letter| self.options.iter().find(|option| !option.takes_value && option.is_letter(letter));
        letters.chars().map(|letter| flag(letter).map(|option| option.name)).collect()
    }

    fn unknown(&self, word: &OsStr) -> OptionError {
        OptionError::Unknown { word: word.to_string_lossy().into_owned(), program: self.program }
    }
}

impl<'w> Found<'w> {
    /// Whether the option `name` is there.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(option, _)| *option == name)
    }

    /// The value of the option `name`.
    pub fn value(&self, name: &str) -> Option<&'w OsStr> {
        self.options.iter().rev().find(|(option, _)| *option == name).and_then(|(_, value)| *value)
    }

    /// The same as text. What is no text has replacement characters, which are in no name and no number.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// The same as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    /// The same as a truth value.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, OptionError> {
        self.typed(name, value::boolean, OptionError::Boolean)
    }

    /// The same as a number of bytes.
    pub fn size(&self, name: &str) -> Result<Option<u64>, OptionError> {
        self.typed(name, value::size, OptionError::Size)
    }

    /// The same as a number.
    pub fn integer(&self, name: &str) -> Result<Option<u32>, OptionError> {
        self.typed(name, value::integer, OptionError::Integer)
    }

    /// The words that are no options, in order.
    pub fn words(&self) -> &[&'w OsStr] {
        &self.words
    }

    fn typed<T>(
        &self,
        name: &str,
        read: fn(&str) -> Option<T>,
        error: fn(String) -> OptionError,
    ) -> Result<Option<T>, OptionError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        read(&text).map(Some).ok_or_else(|| error(text))
    }
}
