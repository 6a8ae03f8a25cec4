//! The server that a TLS client means, by its first message (RFC 8446, 4.1.2; RFC 6066, 3).

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// As much as is looked at: a first message is 2 kB long even with keys of the largest kind.
const LONGEST: usize = 16 << 10;

/// Kinds of record, message, extension and name.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// The name in the first message of `client`; none: it says no name, or speaks something else. What was read is in `said`,
/// also when this is dropped before its end.
pub(super) async fn read(client: &mut TcpStream, said: &mut Vec<u8>) -> Option<String> {
    loop {
        match find(said) {
            Found::Name(name) => return Some(name),
            Found::None => return None,
            Found::Unfinished if said.len() >= LONGEST => return None,
            Found::Unfinished => {}
        }
        if client.read_buf(said).await.ok()? == 0 {
            return None;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Name(String),
    None,
    Unfinished,
}

fn find(said: &[u8]) -> Found {
    if said.first().is_some_and(|kind| *kind != HANDSHAKE) {
        return Found::None;
    }
    // The message may be cut into several records: what they hold is put together.
    let mut message = Vec::new();
    let mut records = Reader(said);
    let is_whole = loop {
        match record(&mut records) {
            Some(part) => message.extend_from_slice(part),
            None => break false,
        }
        let length = message.get(1..4).map(|length| {
            usize::from(length[0]) << 16 | usize::from(length[1]) << 8 | usize::from(length[2])
        });
        if length.is_some_and(|length| message.len() >= 4 + length) {
            break true;
        }
    };
    match name(&message) {
        Some(name) => Found::Name(name),
        None if is_whole => Found::None,
        None => Found::Unfinished,
    }
}

fn record<'a>(records: &mut Reader<'a>) -> Option<&'a [u8]> {
    let kind = records.byte()?;
    records.take(2)?;
    let part = records.sized16()?;
    (kind == HANDSHAKE).then_some(part)
}

fn name(message: &[u8]) -> Option<String> {
    let mut reader = Reader(message);
    if reader.byte()? != CLIENT_HELLO {
        return None;
    }
    // Length, version and random.
    reader.take(3 + 2 + 32)?;
    reader.sized8()?; // session
    reader.sized16()?; // ciphers
    reader.sized8()?; // compressions
    let mut extensions = Reader(reader.sized16()?);
    loop {
        let (kind, data) = (extensions.number()?, extensions.sized16()?);
        if kind == SERVER_NAME {
            let mut names = Reader(Reader(data).sized16()?);
            let is_host = names.byte()? == HOST_NAME;
            let name = std::str::from_utf8(names.sized16()?).ok()?;
            let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
            return (is_host && !name.is_empty() && name.bytes().all(is_plain)).then(|| name.to_owned());
        }
    }
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(length)?;
        self.0 = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|taken| u16::from_be_bytes([taken[0], taken[1]]))
    }

    /// A length in one byte, and as much.
    fn sized8(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// A length in two bytes, and as much.
    fn sized16(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first message of a TLS client that means `name`, in records of at most `longest` bytes.
    pub(in crate::web) fn hello(name: Option<&str>, longest: usize) -> Vec<u8> {
        let sized16 = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let mut extensions = [&[0, 43][..], &sized16(&[2, 3, 4])].concat();
        if let Some(name) = name {
            let names = [&[HOST_NAME][..], &sized16(name.as_bytes())].concat();
            extensions.extend([&[0, 0][..], &sized16(&sized16(&names))].concat());
        }
        let body =
            [&[3, 3][..], &[7; 32], &[0], &sized16(&[0x13, 1]), &[1, 0], &sized16(&extensions)].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[CLIENT_HELLO][..], &length[1..], &body].concat();
        message.chunks(longest).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &sized16(part)].concat()).collect()
    }

    #[test]
    fn the_name_is_found_in_one_record_and_in_many() {
        for longest in [usize::MAX, 40, 7] {
            let whole = hello(Some("registry.test"), longest);
            assert_eq!(find(&whole), Found::Name("registry.test".to_owned()));
            for cut in [0, 1, 5, 30] {
                assert_eq!(find(&whole[..cut]), Found::Unfinished, "{cut}");
            }
            assert_eq!(find(&hello(None, longest)), Found::None);
        }
        assert_eq!(find(b"SSH-2.0-x\r\n"), Found::None);
        assert_eq!(find(&hello(Some("a\r\nHost: b"), 4096)), Found::None, "it would be put into a request");
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_does_harm(said: Vec<u8>, at in 0usize..200, byte: u8) {
            find(&said);
            let mut changed = hello(Some("registry.test"), 50);
            let at = at % changed.len();
            changed[at] = byte;
            find(&changed);
        }
    }
}
