//! What NTFS cannot have in a name goes to the private-use characters U+F000 + c and back.
//!
//! Source: microsoft/WSL `src/linux/init/escape.cpp`. Only sequences that [`escape`] makes are taken back;
//! WSL also takes others that look alike, such as a full-width colon, for one of them.

/// A Linux path as a Windows path without a drive.
pub(super) fn escape(path: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'/' => escaped.push(b'\\'),
            _ if is_illegal(byte) => escaped.extend(private_use(byte)),
            _ => escaped.push(byte),
        }
    }
    escaped
}

/// Takes back what [`escape`] did to characters (not to separators). A zero is never made: no path has one.
pub(super) fn unescape(path: &[u8]) -> Vec<u8> {
    let mut unescaped = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        let character = (1..128).find(|&byte| is_illegal(byte) && rest.starts_with(&private_use(byte)));
        unescaped.push(character.unwrap_or(first));
        rest = if character.is_some() { &rest[3..] } else { after };
    }
    unescaped
}

fn is_illegal(byte: u8) -> bool {
    byte < b' ' || b"\"*:<>?\\|".contains(&byte)
}

/// U+F000 + `byte` in UTF-8.
fn private_use(byte: u8) -> [u8; 3] {
    [0xef, 0x80 | (byte >> 6), 0x80 | (byte & 0x3f)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn illegal_characters_go_there_and_back() {
        let all: Vec<u8> = (1..=255).collect();
        let escaped = escape(&all);
        assert!(!escaped.iter().any(|&byte| byte != b'\\' && is_illegal(byte)));
        let back: Vec<u8> = unescape(&escaped).iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect();
        let expected: Vec<u8> = all.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect();
        assert_eq!(back, expected);
        assert_eq!(escape(b":"), "\u{f03a}".as_bytes());
    }

    #[test]
    fn look_alikes_and_zero_stay() {
        for text in ["\u{ff1a}", "\u{f000}", "\u{f041}", "\u{f02f}"] {
            assert_eq!(unescape(text.as_bytes()), text.as_bytes());
        }
        assert_eq!(unescape(&[0xef, 0x80]), [0xef, 0x80]);
    }
}
