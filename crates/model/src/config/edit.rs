//! Changes single keys of a file in place. Every byte that is not part of the change stays as it is:
//! comments, blanks, unknown keys, malformed lines, the kind of line break, a byte order mark.

use std::ops::Range;

use super::syntax::{self, BadLines, Content, Item};
use super::value::{Entry, Key};
use super::{ConfigFile, find};

/// Why a file is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// No such key.
    #[error("{0} is not a known key")]
    UnknownKey(String),
    /// The key has another type.
    #[error("{value:?} is not a valid value for {key}")]
    InvalidValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// It has a carriage return or a NUL, which the grammar has no way to say.
    #[error("the value of {0} has a character that cannot be written into the file")]
    Unwritable(String),
    /// What would be added behind the line would not be read.
    #[error("line {line} of the file cannot be read, and nothing after it is: {problem}")]
    Malformed {
        /// The line, as warnings number it.
        line: usize,
        /// What is wrong.
        problem: syntax::Malformed,
    },
}

/// The file with `key` (any of its names) set to `value`, which is taken unescaped and kept in the user's
/// words.
///
/// The first line of the key gets the value. If there is none, a line is added at the end of the first
/// section of that name, or a new section at the end of the file. Set to its default for this `host`, the key
/// is removed instead, so that a later default counts. Of a list that is valid in part, only that part is
/// written.
pub fn set<C: ConfigFile>(
    input: &[u8],
    key: &str,
    value: &str,
    host: &C::Host,
) -> Result<Vec<u8>, EditError> {
    let known = find::<C>(key).ok_or_else(|| EditError::UnknownKey(key.to_owned()))?;
    let Some(slot) = known.slot else { return Err(EditError::UnknownKey(key.to_owned())) };
    if value.contains(['\r', '\0']) {
        return Err(EditError::Unwritable(key.to_owned()));
    }
    let mut warnings = Vec::new();
    let mut wanted = C::unresolved();
    let wanted = slot(&mut wanted);
    if !wanted.read(&mut Entry { name: key, value, path: "", line: 0, warnings: &mut warnings }) {
        return Err(EditError::InvalidValue { key: key.to_owned(), value: value.to_owned() });
    }
    let mut default = super::parse::<C>(b"", "", host).config;
    if wanted.write() == slot(&mut default).write() {
        return Ok(delete(input, known));
    }
    let text = if warnings.is_empty() { value.to_owned() } else { wanted.write() };
    put(input, known, &escape(&text))
}

/// The file without any line of `key`. A comment behind the value stays, on a line of its own.
pub fn remove<C: ConfigFile>(input: &[u8], key: &str) -> Result<Vec<u8>, EditError> {
    let known = find::<C>(key).ok_or_else(|| EditError::UnknownKey(key.to_owned()))?;
    Ok(delete(input, known))
}

/// `value` as it is written behind the `=`.
fn escape(value: &str) -> String {
    let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    let blank = [' ', '\t'];
    if value.contains('#') || value.starts_with(blank) || value.ends_with(blank) {
        format!("\"{escaped}\"")
    } else {
        escaped
    }
}

fn delete<C: ConfigFile>(input: &[u8], key: &Key<C>) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    for item in syntax::items(input, C::BAD_LINES) {
        if value_of(&item, key).is_some() {
            output.extend_from_slice(&input[at..item.start]);
            at = item.comment.unwrap_or(item.end);
        }
    }
    output.extend_from_slice(&input[at..]);
    output
}

fn put<C: ConfigFile>(input: &[u8], key: &Key<C>, written: &str) -> Result<Vec<u8>, EditError> {
    let items: Vec<Item> = syntax::items(input, C::BAD_LINES).collect();
    if let Some(old) = items.iter().find_map(|item| value_of(item, key)) {
        // A comment that begins at the value's place would touch it.
        let space = if input[old.end..].starts_with(b"#") { " " } else { "" };
        return Ok(splice(input, old, &format!("{written}{space}")));
    }
    if let (BadLines::Stop, Some(Item { content: Content::Malformed(problem), line, .. })) =
        (C::BAD_LINES, items.last())
    {
        return Err(EditError::Malformed { line: *line, problem: problem.clone() });
    }
    let (section, name) = key.names[0].split_once('.').expect("a key has a section");
    let newline = line_break(input);
    let line = format!("{name}={written}{newline}");
    let is_ours = |item: &Item| is_section(item, |name| name.eq_ignore_ascii_case(section));
    let Some(header) = items.iter().position(is_ours) else {
        let end = end_the_last_line(input, &items, newline);
        let apart = if ends_with_a_blank_line(input, &end) { "" } else { newline };
        return Ok(splice(
            input,
            input.len()..input.len(),
            &format!("{end}{apart}[{section}]{newline}{line}"),
        ));
    };
    let next = items[header + 1..].iter().position(|item| is_section(item, |_| true)).map(|n| header + 1 + n);
    let last = &items[next.unwrap_or(items.len()) - 1];
    let gap = last.end..next.map_or(input.len(), |next| items[next].start);
    let at = last.end + end_of_section(&input[gap], next.is_some());
    let end = if at == input.len() { end_the_last_line(input, &items, newline) } else { String::new() };
    Ok(splice(input, at..at, &format!("{end}{line}")))
}

/// Where the value of `key` is written, if `item` assigns to it.
fn value_of<C>(item: &Item, key: &Key<C>) -> Option<Range<usize>> {
    match &item.content {
        Content::Assignment { name, written, .. } if key.is_called(name) => Some(written.clone()),
        _ => None,
    }
}

fn is_section(item: &Item, wanted: impl Fn(&str) -> bool) -> bool {
    matches!(&item.content, Content::Section(name) if wanted(name))
}

/// How many bytes of `gap`, the comments and blank lines at the end of a section, belong to it.
///
/// Blank lines before the next header do not, nor does a comment on that header that blank lines set apart.
fn end_of_section(gap: &[u8], before_a_header: bool) -> usize {
    let lines: Vec<&[u8]> = gap.split_inclusive(|byte| *byte == b'\n').collect();
    let is_blank = |line: &&[u8]| line.trim_ascii().is_empty();
    let mut kept = lines.as_slice();
    if before_a_header && let Some(blank) = lines.iter().rposition(is_blank) {
        kept = &lines[..=blank];
    }
    while let Some((last, rest)) = kept.split_last()
        && is_blank(last)
    {
        kept = rest;
    }
    kept.iter().map(|line| line.len()).sum()
}

/// What ends the last line of the file, if something has to.
fn end_the_last_line(input: &[u8], items: &[Item], newline: &str) -> String {
    let ended = match items.last() {
        Some(item) if item.end == input.len() => item.terminated,
        _ => input.last().is_none_or(|byte| *byte == b'\n'),
    };
    match input.last() {
        _ if ended => String::new(),
        // A backslash right before the line break would make the next line a part of this one.
        Some(b'\\') => format!(" {newline}"),
        _ => newline.to_owned(),
    }
}

/// Whether what follows `input` and `end` is at the beginning of the file or behind a blank line.
fn ends_with_a_blank_line(input: &[u8], end: &str) -> bool {
    let text = [input, end.as_bytes()].concat();
    let mut lines = text.rsplit(|byte| *byte == b'\n').skip(1);
    lines.next().is_none_or(|line| line.trim_ascii().is_empty())
}

/// The line break of the file's first line.
fn line_break(input: &[u8]) -> &'static str {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(feed) if input[..feed].ends_with(b"\r") => "\r\n",
        _ => "\n",
    }
}

fn splice(input: &[u8], range: Range<usize>, text: &str) -> Vec<u8> {
    [&input[..range.start], text.as_bytes(), &input[range.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::distro::WslConf;
    use crate::config::host::{HostFacts, WslConfig};

    const HOST: HostFacts = HostFacts { memory_bytes: 16 << 30, processors: 8 };

    fn memory(input: &str) -> String {
        let output = set::<WslConfig>(input.as_bytes(), "wsl2.memory", "4GB", &HOST).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_new_line_goes_to_the_end_of_its_section() {
        for (input, output) in [
            ("", "[wsl2]\nmemory=4GB\n"),
            ("# mine", "# mine\n\n[wsl2]\nmemory=4GB\n"),
            ("[general]\n\n", "[general]\n\n[wsl2]\nmemory=4GB\n"),
            ("[WSL2]\nswap=0\n\n# end\n", "[WSL2]\nswap=0\n\n# end\nmemory=4GB\n"),
            ("[wsl2]\nswap=0\n\n\n", "[wsl2]\nswap=0\nmemory=4GB\n\n\n"),
            ("[wsl2]\r\n\r\n[general]\r\n", "[wsl2]\r\nmemory=4GB\r\n\r\n[general]\r\n"),
            ("\u{feff}[wsl2]\n", "\u{feff}[wsl2]\nmemory=4GB\n"),
        ] {
            assert_eq!(memory(input), output, "{input:?}");
        }
    }

    #[test]
    fn a_new_line_is_not_swallowed_by_the_last_one() {
        for (input, output) in [
            // The value goes on up to the end of the file.
            ("[wsl2]\nkernel=a\\\n", "[wsl2]\nkernel=a\\\n\nmemory=4GB\n"),
            // With the line break right behind it, this would become a value, and the first one.
            ("[wsl2]\nmemory=5\\", "[wsl2]\nmemory=5\\ \nmemory=4GB\n"),
            ("[wsl2]\nkernel=\"a", "[wsl2]\nkernel=\"a\nmemory=4GB\n"),
        ] {
            assert_eq!(memory(input), output, "{input:?}");
            let parsed = WslConfig::parse(output.as_bytes(), "F", &HOST);
            assert_eq!(parsed.config.memory, 4 << 30, "{input:?}");
        }
    }

    #[test]
    fn a_value_does_not_touch_the_comment_behind_it() {
        assert_eq!(memory("[wsl2]\nmemory= # all\n"), "[wsl2]\nmemory= 4GB # all\n");
    }

    #[test]
    fn nothing_is_written_where_it_would_not_be_read() {
        let set = |input: &str| set::<WslConf>(input.as_bytes(), "user.default", "ann", &());
        let output = set("[user]\ndefault=bob\nbad\n").unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "[user]\ndefault=ann\nbad\n");
        let error = set("[user]\nbad\ndefault=bob\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2 of the file cannot be read, and nothing after it is: Expected '='"
        );
        assert!(matches!(set("\u{feff}[user]\n"), Err(EditError::Malformed { line: 1, .. })));
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let set = |key: &str, value: &str| set::<WslConf>(b"", key, value, &()).unwrap_err().to_string();
        assert_eq!(set("boot.nothing", "1"), "boot.nothing is not a known key");
        assert_eq!(set("boot.systemd", "yes"), "\"yes\" is not a valid value for boot.systemd");
        assert_eq!(
            set("boot.command", "a\rb"),
            "the value of boot.command has a character that cannot be written into the file"
        );
    }

    #[test]
    fn all_lines_of_a_key_are_removed() {
        let input = b"[wsl2]\nautoProxy=false # why\nswap=0\n[experimental]\nautoProxy=a\\\nb\n";
        let output = remove::<WslConfig>(input, "experimental.autoProxy").unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "[wsl2]\n# why\nswap=0\n[experimental]\n");
    }
}
