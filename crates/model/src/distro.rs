//! Words for distributions: identity, name, version, state.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The internal distribution that runs the engine. Replaceable.
pub const ENGINE: &str = "docker-desktop";
/// The internal distribution that holds images, containers and volumes. Precious.
pub const DATA: &str = "docker-desktop-data";

/// Why a text is no [`Guid`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a GUID of the form 01234567-89ab-cdef-0123-456789abcdef")]
pub struct GuidError(String);

/// Identity of a distribution's storage: 128 random bits, written as a lower-case GUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid([u8; 16]);

impl Guid {
    /// All zero: stands for no distribution.
    pub const NIL: Self = Self([0; 16]);

    /// Makes a version 4 GUID of 16 random bytes (RFC 9562 §5.4).
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl FromStr for Guid {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let error = || GuidError(text.to_owned());
        let shape_ok = text.len() == 36
            && text.bytes().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
            });
        if !shape_ok {
            return Err(error());
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let mut bytes = [0; 16];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Guid {
    type Error = GuidError;
    fn try_from(text: String) -> Result<Self, GuidError> {
        text.parse()
    }
}

impl From<Guid> for String {
    fn from(guid: Guid) -> Self {
        guid.to_string()
    }
}

/// What a distribution is doing. The words are those that `wsl -l -v` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DistroState {
    /// Nothing of it runs.
    Stopped,
    /// Its init runs (for `docker-desktop-data`: its disk is mounted).
    Running,
    /// It is being imported.
    Installing,
    /// It is being removed.
    Uninstalling,
    /// It is changing its version.
    Converting,
    /// It is being written to a file.
    Exporting,
}

impl DistroState {
    /// The word in the STATE column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Running => "Running",
            Self::Installing => "Installing",
            Self::Uninstalling => "Uninstalling",
            Self::Converting => "Converting",
            Self::Exporting => "Exporting",
        }
    }
}

/// Whether `name` is one of the two internal distributions (names are compared without regard to case).
pub fn is_internal(name: &str) -> bool {
    name.eq_ignore_ascii_case(ENGINE) || name.eq_ignore_ascii_case(DATA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guid_round_trip() {
        let guid = Guid::from_random([0xab; 16]);
        assert_eq!(guid.to_string(), "abababab-abab-4bab-abab-abababababab");
        assert_eq!(guid.to_string().parse::<Guid>().unwrap(), guid);
    }

    #[test]
    fn guid_refuses_what_could_leave_its_folder() {
        for bad in [
            "",
            "..",
            "../../etc",
            "ABABABAB-abab-4bab-abab-abababababab",
            "abababab_abab-4bab-abab-abababababab",
        ] {
            assert!(bad.parse::<Guid>().is_err(), "{bad:?}");
        }
    }
}
