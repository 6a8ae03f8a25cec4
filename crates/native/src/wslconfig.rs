//! `.wslconfig`: what the user of the machine set for all distributions together.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use sampan_model::config::host::{HostFacts, NetworkingMode, WslConfig};
use sampan_model::config::syntax::{BadLines, Content, items};
use sampan_model::config::unreadable;

/// Names the file instead of the one in root's home folder.
const VARIABLE: &str = "SAMPAN_WSLCONFIG";

/// The file as it is now.
#[derive(Debug)]
pub(crate) struct HostConfig {
    /// Every value, the defaults included.
    pub(crate) values: WslConfig,
    /// What the user should know of the file, one sentence each.
    pub(crate) warnings: Vec<String>,
    /// `section.key` of every value that the file sets and that could be read.
    set: Vec<String>,
}

impl HostConfig {
    /// Reads the file; a missing one is all defaults, one that can't be read too, with a warning.
    pub(crate) fn read() -> Self {
        let path = path(std::env::var_os(VARIABLE));
        let shown = path.display().to_string();
        match fs::read(&path) {
            Ok(bytes) => Self::of(&bytes, &shown, &facts()),
            Err(error) => {
                let mut none = Self::of(&[], &shown, &facts());
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                    none.warnings.push(unreadable(&shown, &error.to_string()).message);
                }
                none
            }
        }
    }

    pub(crate) fn of(bytes: &[u8], path: &str, host: &HostFacts) -> Self {
        let parsed = WslConfig::parse(bytes, path, host);
        let wrong = |line| parsed.warnings.iter().any(|warning| warning.line == Some(line));
        let set = items(bytes, BadLines::Skip).filter_map(|item| match item.content {
            Content::Assignment { name, .. } if !wrong(item.line) => Some(name),
            _ => None,
        });
        let set = set.collect();
        let mut warnings: Vec<_> = parsed.warnings.into_iter().map(|warning| warning.message).collect();
        let mode = parsed.config.networking_mode;
        // Safe mode changes it too, and leaves the network as it is.
        if !matches!(mode, NetworkingMode::Mirrored | NetworkingMode::Nat | NetworkingMode::None) {
            warnings.push(format!(
                "wsl2.networkingMode of .wslconfig has no effect: there is no {mode:?} here, only Nat, Mirrored and None"
            ));
        }
        Self { values: parsed.config, warnings, set }
    }

    /// Whether there is to be no network between the host and distributions. Safe mode says so too, but leaves it as it is.
    pub(crate) fn is_without_network(&self) -> bool {
        self.values.networking_mode == NetworkingMode::None && !self.values.safe_mode
    }

    /// Whether users' distributions are to be in the host's network.
    pub(crate) fn is_mirrored(&self) -> bool {
        self.values.networking_mode == NetworkingMode::Mirrored
    }

    /// Whether the file sets `key` (`section.key`) to a value that could be read.
    pub(crate) fn sets(&self, key: &str) -> bool {
        self.set.iter().any(|set| set.eq_ignore_ascii_case(key))
    }
}

fn path(named: Option<OsString>) -> PathBuf {
    match named {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => home_of_root(&fs::read_to_string("/etc/passwd").unwrap_or_default()).join(".wslconfig"),
    }
}

fn home_of_root(table: &str) -> PathBuf {
    let root = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let root = root.into_iter().find(|fields| fields.get(2) == Some(&"0"));
    let home = root.and_then(|fields| fields.get(5).map(PathBuf::from));
    home.filter(|home| home.is_absolute()).unwrap_or_else(|| PathBuf::from("/root"))
}

fn facts() -> HostFacts {
    let info = rustix::system::sysinfo();
    HostFacts {
        memory_bytes: info.totalram.saturating_mul(info.mem_unit.into()),
        processors: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A host with 8 GiB and 4 processors.
    pub(crate) const HOST: HostFacts = HostFacts { memory_bytes: 8 << 30, processors: 4 };

    #[test]
    fn what_is_set_wrongly_is_not_set() {
        let file = HostConfig::of(b"[wsl2]\nMEMORY=2GB\nprocessors=many\n", "/w", &HOST);
        assert!(file.sets("wsl2.memory") && !file.sets("wsl2.processors") && !file.sets("wsl2.swap"));
        assert_eq!((file.values.memory, file.warnings.len()), (2 << 30, 1));
    }

    #[test]
    fn a_mode_of_the_network_that_is_not_there_is_said() {
        let warnings = |text: &str| HostConfig::of(text.as_bytes(), "/w", &HOST).warnings;
        for mode in ["Bridged", "VirtioProxy"] {
            let told = warnings(&format!("[wsl2]\nnetworkingMode={mode}\n"));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("wsl2.networkingMode of .wslconfig has no effect: "), "{told:?}");
        }
        for known in [
            "",
            "[wsl2]\nnetworkingMode=NAT\n",
            "[wsl2]\nnetworkingMode=none\n",
            "[wsl2]\nnetworkingMode=mirrored\n",
        ] {
            assert!(warnings(known).is_empty(), "{known}");
        }
        assert_eq!(warnings("[wsl2]\nsafeMode=true\n").len(), 1);
    }

    #[test]
    fn only_who_says_so_is_without_network() {
        let is_without = |text: &str| HostConfig::of(text.as_bytes(), "/w", &HOST).is_without_network();
        assert!(is_without("[wsl2]\nnetworkingMode=None\n"));
        for other in ["", "[wsl2]\nnetworkingMode=mirrored\n", "[wsl2]\nsafeMode=true\n"] {
            assert!(!is_without(other), "{other}");
        }
    }

    #[test]
    fn the_file_is_named_or_in_root_s_home_folder() {
        assert_eq!(path(Some("/x/y".into())), PathBuf::from("/x/y"));
        let table = "a:x:7:7::/home/a:/bin/sh\ntoor:x:0:0::/var/root:/bin/sh\n";
        assert_eq!(home_of_root(table), PathBuf::from("/var/root"));
        assert_eq!(home_of_root(""), PathBuf::from("/root"));
    }
}
