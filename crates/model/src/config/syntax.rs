//! The line grammar: sections, keys, values, comments, and where a malformed line ends.
//!
//! ```text
//! [section]                 # letters and digits, a letter first; case does not matter
//! key = value               # blanks around the value do not count
//! key = "a # b" \"c\"       # quotes are removed; \\ \" \b \n \t stand for themselves
//! key = one \
//!       value               # a backslash at the end of the line goes on with the next
//! ```
//!
//! Line numbers are WSL's, which are not an editor's in a file with CRLF: there the carriage return ends the
//! line of a section or of a key, and the line feed behind it counts as one more, blank line.

/// What follows a malformed line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLines {
    /// Nothing: it is the last that is read (`/etc/wsl.conf`).
    Stop,
    /// The next line (`.wslconfig`).
    Skip,
}

/// A line that says something; comments and blank lines are between the items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What the line says.
    pub content: Content,
    /// Its number, from 1. A value that goes on over several lines has the number of its last.
    pub line: usize,
    /// Offset of its first byte, blanks included.
    pub start: usize,
    /// Offset behind its line break, or the length of the input.
    pub end: usize,
    /// Offset of the `#` of a comment at its end.
    pub comment: Option<usize>,
    /// Whether it ends with a line break; only the last item of a file may not.
    pub terminated: bool,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// `[name]`, as it is written.
    Section(String),
    /// `key = value`.
    Assignment {
        /// `section.key` as they are written, or `key` before the first section.
        name: String,
        /// Without quotes, escapes and outer blanks.
        value: Vec<u8>,
        /// Where the value is written, from its first byte to behind its last one that is no blank.
        written: std::ops::Range<usize>,
    },
    /// It cannot be read.
    Malformed(Malformed),
}

/// Why a line cannot be read. The text is WSL's warning up to ` in <path>:<line>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `[` without a letter behind it.
    #[error("Invalid section name")]
    SectionName,
    /// Neither a section nor a comment, and no letter at the beginning.
    #[error("Invalid key name")]
    KeyName,
    /// Something else is missing.
    #[error("Expected {0}")]
    Expected(&'static str),
    /// A backslash with something behind it that needs none; empty at the end of the file.
    #[error("Invalid escaped character: '{0}'")]
    Escape(String),
    /// A byte order mark at the beginning of a file that may not have one.
    #[error("Unexpected byte order mark")]
    ByteOrderMark,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// All items of a file, in their order.
///
/// With [`BadLines::Stop`] a malformed item is the last. With [`BadLines::Skip`] it changes nothing but
/// itself: below a section header that cannot be read, the section is still the one before. (WSL makes one
/// out of the letters of both there, which no key belongs to.) A byte order mark is passed over.
pub fn items(input: &[u8], bad_lines: BadLines) -> impl Iterator<Item = Item> {
    Scanner { input, bad_lines, at: 0, line: 1, section: None, stopped: false }
}

struct Scanner<'a> {
    input: &'a [u8],
    bad_lines: BadLines,
    at: usize,
    line: usize,
    section: Option<String>,
    stopped: bool,
}

impl Iterator for Scanner<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.stopped {
            return None;
        }
        let mut start = self.at;
        if start == 0 && self.input.starts_with(BYTE_ORDER_MARK) {
            if self.bad_lines == BadLines::Stop {
                return Some(self.finish(start, Content::Malformed(Malformed::ByteOrderMark)));
            }
            self.at = BYTE_ORDER_MARK.len();
            start = self.at;
        }
        loop {
            self.skip_blanks();
            match self.peek()? {
                b'\n' | b'\r' => {
                    // A lone carriage return between lines is a blank.
                    let returned = self.bump() == Some(b'\r');
                    if !returned || self.eat(b'\n') {
                        self.line += 1;
                    }
                }
                b'#' => _ = self.skip_line(),
                byte => {
                    let read = match byte {
                        b'[' => self.section(),
                        byte if byte.is_ascii_alphabetic() => self.assignment(),
                        _ => Err(Malformed::KeyName),
                    };
                    return Some(self.finish(start, read.unwrap_or_else(Content::Malformed)));
                }
            }
            start = self.at;
        }
    }
}

impl Scanner<'_> {
    fn section(&mut self) -> Result<Content, Malformed> {
        self.bump();
        let name = self.name().ok_or(Malformed::SectionName)?;
        if !self.eat(b']') {
            return Err(Malformed::Expected("']'"));
        }
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(b'\n' | b'\r' | b'#')) {
            return Err(Malformed::Expected("' ' or '\\n'"));
        }
        self.section = Some(name.clone());
        Ok(Content::Section(name))
    }

    fn assignment(&mut self) -> Result<Content, Malformed> {
        let key = self.name().ok_or(Malformed::KeyName)?;
        self.skip_blanks();
        if !self.eat(b'=') {
            return Err(Malformed::Expected("'='"));
        }
        self.skip_blanks();
        let (value, written) = self.value()?;
        let name = match &self.section {
            Some(section) => format!("{section}.{key}"),
            None => key,
        };
        Ok(Content::Assignment { name, value, written })
    }

    fn value(&mut self) -> Result<(Vec<u8>, std::ops::Range<usize>), Malformed> {
        let start = self.at;
        let mut value = Vec::new();
        let mut quoted = false;
        // Behind the last byte that is no blank, in the value and in the input.
        let (mut trimmed, mut end) = (0, start);
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' | b'\r' => break,
                b'#' if !quoted => break,
                b'"' => quoted = !quoted,
                b'\\' => {
                    self.bump();
                    match self.peek() {
                        Some(plain @ (b'\\' | b'"')) => value.push(plain),
                        Some(b'b') => value.push(b'\x08'),
                        Some(b'n') => value.push(b'\n'),
                        Some(b't') => value.push(b'\t'),
                        // Dropped, so that a continuation ends with its first line in a file with CRLF.
                        Some(b'\r') => {}
                        Some(b'\n') => self.line += 1,
                        _ => return Err(Malformed::Escape(self.character())),
                    }
                }
                plain => value.push(plain),
            }
            self.bump();
            if byte != b' ' && byte != b'\t' {
                (trimmed, end) = (value.len(), self.at);
            }
        }
        if quoted {
            return Err(Malformed::Expected("\""));
        }
        value.truncate(trimmed);
        // WSL hands values on as C strings.
        if let Some(nul) = value.iter().position(|byte| *byte == 0) {
            value.truncate(nul);
        }
        Ok((value, start..end))
    }

    /// Ends the line of `content`, which began at `start`.
    fn finish(&mut self, start: usize, content: Content) -> Item {
        let line = self.line;
        let mut comment = None;
        let terminated = if let Content::Malformed(_) = content {
            self.stopped = self.bad_lines == BadLines::Stop;
            self.skip_line()
        } else {
            match self.peek() {
                None => false,
                Some(b'#') => {
                    comment = Some(self.at);
                    self.skip_line()
                }
                Some(_) => {
                    let returned = self.bump() == Some(b'\r');
                    self.line += if returned && self.eat(b'\n') { 2 } else { 1 };
                    true
                }
            }
        };
        Item { content, line, start, end: self.at, comment, terminated }
    }

    /// Goes behind the next line feed, and says whether there was one.
    fn skip_line(&mut self) -> bool {
        let rest = &self.input[self.at..];
        let feed = rest.iter().position(|byte| *byte == b'\n');
        self.at += feed.map_or(rest.len(), |feed| feed + 1);
        self.line += usize::from(feed.is_some());
        feed.is_some()
    }

    /// A letter, and all letters and digits behind it.
    fn name(&mut self) -> Option<String> {
        let rest = &self.input[self.at..];
        rest.first().filter(|byte| byte.is_ascii_alphabetic())?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        self.at += length;
        Some(rest[..length].iter().copied().map(char::from).collect())
    }

    /// The character here, for a message; nothing at the end of the file.
    fn character(&self) -> String {
        let rest = &self.input[self.at..];
        let text = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
        text.chars().take(1).collect()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &str) -> Vec<usize> {
        items(input.as_bytes(), BadLines::Skip).map(|item| item.line).collect()
    }

    #[test]
    fn lines_are_counted_like_wsl() {
        assert_eq!(lines("[a]\n\n# c\nb=1 # c\nc=2\n"), [1, 4, 5]);
        assert_eq!(lines("[a]\r\nb=1 # c\r\nc=2\r\n\r\nd=3"), [1, 3, 4, 7]);
        // A malformed line is one line, whatever ends it; a value has the number of its last line.
        assert_eq!(lines("[a\r\nb\r\nc=1\\\n2\\\n3\nd=4"), [1, 2, 5, 6]);
    }

    #[test]
    fn a_skipped_line_changes_nothing_but_itself() {
        let input = b"\xef\xbb\xbf[a]\nb=1\\x\n[c\nd=2";
        let contents: Vec<Content> = items(input, BadLines::Skip).map(|item| item.content).collect();
        assert_eq!(contents[0], Content::Section("a".to_owned()));
        assert_eq!(contents[1], Content::Malformed(Malformed::Escape("x".to_owned())));
        assert_eq!(contents[2], Content::Malformed(Malformed::Expected("']'")));
        let Content::Assignment { name, value, .. } = &contents[3] else { panic!("{contents:?}") };
        assert_eq!((name.as_str(), value.as_slice()), ("a.d", b"2".as_slice()));
    }

    #[test]
    fn any_text_may_be_a_value() {
        let value = |input: &[u8]| match items(input, BadLines::Stop).next().unwrap().content {
            Content::Assignment { value, .. } => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(value("a=é€".as_bytes()), "é€".as_bytes());
        assert_eq!(value(b"a=\xff "), b"\xff");
        assert_eq!(value(b"a=b\0c"), b"b");
        assert_eq!(value(b"a=\" b \" \t"), b" b ");
    }
}
