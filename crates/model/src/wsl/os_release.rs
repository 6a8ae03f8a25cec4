//! What a distribution is, by `/etc/os-release` (os-release(5)).

use serde::{Deserialize, Serialize};

/// Flavour and version, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// `ID`, e.g. `debian`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// `VERSION_ID`, e.g. `13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Release {
    /// Reads the file's text. The first line of each kind counts; one with other characters than letters,
    /// digits and `-_.,` is no line of that kind (microsoft/WSL `src/linux/init/util.cpp`,
    /// `UtilReadFlavorAndVersion`).
    pub fn probe(text: &str) -> Self {
        let find =
            |key: &str| text.lines().find_map(|line| value(line.strip_prefix(key)?.strip_prefix('=')?));
        Self { flavor: find("ID"), version: find("VERSION_ID") }
    }

    /// Takes over what `newer` knows and keeps the rest: a distribution whose file is gone or odd stays what
    /// it was.
    #[must_use]
    pub fn updated(self, newer: Self) -> Self {
        Self { flavor: newer.flavor.or(self.flavor), version: newer.version.or(self.version) }
    }
}

fn value(text: &str) -> Option<String> {
    let text = text.strip_prefix(['"', '\'']).unwrap_or(text);
    let text = text.strip_suffix(['"', '\'']).unwrap_or(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,".contains(c);
    text.chars().all(plain).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_well_formed_line_counts() {
        let release = Release::probe("ID=a b\nID='deb'\nID=other\nNAME=\"x\"\nVERSION_ID=\n");
        assert_eq!(release, Release { flavor: Some("deb".to_owned()), version: Some(String::new()) });
    }
}
