//! `/etc/wsl.conf`, `/etc/wsl-distribution.conf` and `.wslconfig`: read, and edited in place.
//!
//! Names, values, warnings and what counts as malformed are those of WSL (microsoft/WSL,
//! `src/shared/configfile`, `WslDistributionConfig.cpp` and `WslCoreConfig.cpp` at commit 3e27a6a), so that a
//! file means the same here and there.

use serde::{Deserialize, Serialize};

pub mod distribution;
pub mod distro;
pub mod edit;
pub mod host;
pub mod syntax;
pub mod value;

use syntax::{BadLines, Content, Malformed};
use value::{Entry, Key};

/// One of the files, as a type: its keys, its defaults, and what depends on the machine.
pub trait ConfigFile: Clone + 'static {
    /// What defaults and limits depend on besides the file; `()` where there is nothing.
    type Host;
    /// All known keys. A key that is missing here gives the warning `Unknown key …`.
    const KEYS: &'static [Key<Self>];
    /// What a line that cannot be read means for those after it.
    const BAD_LINES: BadLines;

    /// What holds before the first line is read.
    fn unresolved() -> Self;

    /// Fills in the defaults that depend on `host`, and keeps every value within its limits.
    fn resolve(&mut self, host: &Self::Host, warnings: &mut Vec<Warning>);
}

/// One line for the user, in WSL's words, without the `wsl: ` that goes before it when it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The line of the file, as WSL counts them; none if it is about values that do not go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The whole sentence, with path and line.
    pub message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<C> {
    /// Every value, the defaults included.
    pub config: C,
    /// What is to be said about the file.
    pub warnings: Vec<Warning>,
    /// The line at which reading ended for good. Never for a file that skips malformed lines.
    pub stopped_at: Option<usize>,
}

/// Reads the bytes of a file. A file that does not exist is one without bytes.
///
/// `path` stands in the warnings and is not opened. Values that are not UTF-8 have replacement characters in
/// them.
pub fn parse<C: ConfigFile>(input: &[u8], path: &str, host: &C::Host) -> Parsed<C> {
    let mut config = C::unresolved();
    let mut warnings = Vec::new();
    let mut stopped_at = None;
    // Where each key was met first, and under which of its names.
    let mut first: Vec<Option<(String, usize)>> = C::KEYS.iter().map(|_| None).collect();
    for item in syntax::items(input, C::BAD_LINES) {
        let line = item.line;
        let mut warn = |message| warnings.push(Warning { line: Some(line), message });
        match item.content {
            Content::Section(_) => {}
            Content::Malformed(problem) => {
                if C::BAD_LINES == BadLines::Stop {
                    stopped_at = Some(line);
                }
                // WSL fails to read such a file without a word; the caller still sees where reading ended.
                if problem != Malformed::ByteOrderMark {
                    warn(format!("{problem} in {path}:{line}"));
                }
            }
            Content::Assignment { name, value, .. } => {
                let Some(index) = C::KEYS.iter().position(|key| key.is_called(&name)) else {
                    warn(format!("Unknown key '{name}' in {path}:{line}"));
                    continue;
                };
                if let Some((earlier, at)) = &first[index] {
                    warn(format!(
                        "Duplicated config key '{name}' in {path}:{line} (Conflicting key: '{earlier}' in \
                         {path}:{at})"
                    ));
                    continue;
                }
                if let Some(slot) = C::KEYS[index].slot {
                    let value = &String::from_utf8_lossy(&value);
                    slot(&mut config).read(&mut Entry {
                        name: &name,
                        value,
                        path,
                        line,
                        warnings: &mut warnings,
                    });
                }
                // Also when the value was wrong: a wrong first value is not mended by a right second one.
                first[index] = Some((name, line));
            }
        }
    }
    config.resolve(host, &mut warnings);
    Parsed { config, warnings, stopped_at }
}

/// The value of `key` (`section.key`, any case, any of its names) as it would be written into the file,
/// unescaped.
///
/// None for a name that is not known, or that is accepted without being kept.
pub fn get<C: ConfigFile>(config: &C, key: &str) -> Option<String> {
    let slot = find::<C>(key)?.slot?;
    Some(slot(&mut config.clone()).write())
}

/// The warning for a file that is there and cannot be opened; `reason` is the system's text.
pub fn unreadable(path: &str, reason: &str) -> Warning {
    Warning { line: None, message: format!("Failed to open config file {path}, {reason}") }
}

fn find<C: ConfigFile>(key: &str) -> Option<&'static Key<C>> {
    C::KEYS.iter().find(|known| known.is_called(key))
}
