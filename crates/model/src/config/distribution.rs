//! `/etc/wsl-distribution.conf`: what the maker of a distribution says about it.

use serde::{Deserialize, Serialize};

use super::syntax::BadLines;
use super::value::{Key, key};
use super::{ConfigFile, Parsed, Warning};

/// Where the file is in a distribution.
pub const PATH: &str = "/etc/wsl-distribution.conf";

/// Everything that `/etc/wsl-distribution.conf` can say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DistributionConf {
    /// `[oobe]`
    pub oobe: Oobe,
    /// `[shortcut]`: an entry in the host's menu.
    pub shortcut: Shortcut,
    /// `[windowsterminal]`: a profile of the host's terminal.
    pub windowsterminal: WindowsTerminal,
}

/// The first start ("out of box experience").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Oobe {
    /// A command for `/bin/sh -c`, run as root before the first interactive shell, and again until it
    /// succeeds.
    pub command: Option<String>,
    /// The user of sessions once the command succeeded; never negative.
    pub default_uid: Option<i32>,
    /// What the distribution is called when whoever installs it gives no name.
    pub default_name: Option<String>,
}

/// An entry in the host's menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Shortcut {
    /// Whether there is one.
    pub enabled: bool,
    /// Path of its icon in the distribution.
    pub icon: Option<String>,
}

/// A profile of the host's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WindowsTerminal {
    /// Whether there is one.
    pub enabled: bool,
    /// Path of its template in the distribution.
    pub profile_template: Option<String>,
}

impl Default for Shortcut {
    fn default() -> Self {
        Self { enabled: true, icon: None }
    }
}

impl Default for WindowsTerminal {
    fn default() -> Self {
        Self { enabled: true, profile_template: None }
    }
}

impl DistributionConf {
    /// Reads the bytes of the file; none for one that is missing.
    pub fn parse(input: &[u8]) -> Parsed<Self> {
        super::parse(input, PATH, &())
    }
}

impl ConfigFile for DistributionConf {
    type Host = ();
    const BAD_LINES: BadLines = BadLines::Stop;
    const KEYS: &'static [Key<Self>] = &[
        key(&["oobe.command"], |c| &mut c.oobe.command),
        key(&["oobe.defaultUid"], |c| &mut c.oobe.default_uid),
        key(&["oobe.defaultName"], |c| &mut c.oobe.default_name),
        key(&["shortcut.enabled"], |c| &mut c.shortcut.enabled),
        key(&["shortcut.icon"], |c| &mut c.shortcut.icon),
        key(&["windowsterminal.enabled"], |c| &mut c.windowsterminal.enabled),
        key(&["windowsterminal.profileTemplate"], |c| &mut c.windowsterminal.profile_template),
    ];

    fn unresolved() -> Self {
        Self::default()
    }

    fn resolve(&mut self, (): &(), _: &mut Vec<Warning>) {
        // -1 is how WSL says "none"; the other negative numbers name nobody either.
        self.oobe.default_uid = self.oobe.default_uid.filter(|uid| *uid >= 0);
        // An empty command or name is none, as in WSL.
        for text in [&mut self.oobe.command, &mut self.oobe.default_name] {
            text.take_if(|text| text.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_is_read() {
        let parsed = DistributionConf::parse(
            b"[oobe]\ncommand = /bin/bash -c 'echo OOBE'\ndefaultUid = 1011\ndefaultName = test\n\
              [shortcut]\nenabled = false\nicon = /usr/share/a.ico\n\
              [windowsterminal]\nprofileTemplate = /usr/share/a.json\n",
        );
        assert_eq!(parsed.warnings, []);
        let oobe = parsed.config.oobe;
        assert_eq!(oobe.command.as_deref(), Some("/bin/bash -c 'echo OOBE'"));
        assert_eq!((oobe.default_uid, oobe.default_name.as_deref()), (Some(1011), Some("test")));
        assert!(!parsed.config.shortcut.enabled && parsed.config.windowsterminal.enabled);
    }

    #[test]
    fn nobody_is_the_default_user_but_by_name() {
        for input in ["", "[oobe]\ndefaultUid=-1\ncommand=\n", "[oobe]\ndefaultUid=ann\n"] {
            assert_eq!(DistributionConf::parse(input.as_bytes()).config.oobe, Oobe::default(), "{input:?}");
        }
    }
}
