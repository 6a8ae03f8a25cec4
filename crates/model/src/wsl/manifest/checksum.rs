//! Checksums as text: two hexadecimal digits a byte, `0x` before them or not.

/// Text that is no checksum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid hex string: {0}")]
pub struct InvalidHex(String);

/// Why an archive is not the one that was promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// What was promised cannot be read.
    #[error(transparent)]
    Invalid(InvalidHex),
    /// It is another one.
    #[error("The distribution hash doesn't match. Expected: {expected}, actual hash: {actual}")]
    Mismatch {
        /// The checksum as the list writes it.
        expected: String,
        /// The archive's own, see [`hex_of_bytes`].
        actual: String,
    },
}

/// Compares an archive's SHA-256 with the one in the list. An empty one is a mismatch: nothing is installed
/// unchecked.
pub fn check(expected: &str, actual: &[u8; 32]) -> Result<(), ChecksumError> {
    if bytes_of_hex(expected).map_err(ChecksumError::Invalid)? == actual {
        return Ok(());
    }
    Err(ChecksumError::Mismatch { expected: expected.to_owned(), actual: hex_of_bytes(actual) })
}

/// `0xdeadbeef`
pub fn hex_of_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The bytes of `0xdeadbeef` or `DEADBEEF`; none of an empty text.
pub fn bytes_of_hex(text: &str) -> Result<Vec<u8>, InvalidHex> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect::<Option<_>>().ok_or_else(|| InvalidHex(text.to_owned()))
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back() {
        for (text, bytes) in [
            ("", &[][..]),
            ("0x", &[]),
            ("0x0f", &[0x0f]),
            ("0XDEADBEEF", &[0xde, 0xad, 0xbe, 0xef]),
            ("deadbeef", &[0xde, 0xad, 0xbe, 0xef]),
        ] {
            assert_eq!(bytes_of_hex(text).as_deref(), Ok(bytes), "{text}");
            assert_eq!(bytes_of_hex(&hex_of_bytes(bytes)).as_deref(), Ok(bytes));
        }
        for text in ["0xabc", "0xZZ", "+1", " 1", "0x0x00", "é"] {
            assert_eq!(bytes_of_hex(text), Err(InvalidHex(text.to_owned())));
        }
    }

    #[test]
    fn nothing_passes_unchecked() {
        let actual = [0xab; 32];
        assert_eq!(check(&"AB".repeat(32), &actual), Ok(()));
        for expected in ["", "0x", &"ab".repeat(31), &"ab".repeat(33)] {
            assert!(matches!(check(expected, &actual), Err(ChecksumError::Mismatch { .. })), "{expected}");
        }
    }
}
