//! The registry: which distributions are installed and where their storage is.

use serde::{Deserialize, Serialize};

use crate::distro::{DATA, ENGINE, Guid};
use crate::document::Document;

/// The installed distributions of an instance, in order of installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// The default distribution of `wsl`, if the user chose or installed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Guid>,
    /// The distributions.
    pub distributions: Vec<Entry>,
    /// Storage that an unfinished operation made. Removed, by identity, when the service starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Guid>,
}

/// One installed distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Identity; also the name of the folder of its storage.
    pub guid: Guid,
    /// Name as the user wrote it; look-up ignores case.
    pub name: String,
    /// 1 (folder) or 2 (ext4 image).
    pub version: u8,
    /// The engine image it was made of (`docker-desktop` only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
    /// Storage of the engine before the last upgrade, kept until the new engine answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<Previous>>,
}

/// The storage an upgrade replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Previous {
    /// Its identity.
    pub guid: Guid,
    /// The engine image it was made of.
    pub image: Option<ImageRecord>,
}

/// Where an engine's root file system came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageRecord {
    /// The file it was imported from.
    pub source: String,
    /// SHA-256 of that file, in hex.
    pub sha256: String,
}

impl Document for Registry {
    const FILE: &'static str = "registry.json";
    const SCHEMA: u64 = 1;
}

impl Registry {
    /// The distribution called `name`, whatever the case.
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.distributions.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// As [`Registry::find`], to change it.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.distributions.iter_mut().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// Every storage that the registry accounts for.
    pub fn known(&self) -> Vec<Guid> {
        let of_entries = self.distributions.iter().flat_map(|entry| {
            std::iter::once(entry.guid).chain(entry.previous.as_ref().map(|previous| previous.guid))
        });
        of_entries.chain(self.unfinished.iter().copied()).collect()
    }

    /// What makes this registry unusable although it could be read, if anything.
    pub fn contradiction(&self) -> Option<String> {
        for (index, entry) in self.distributions.iter().enumerate() {
            if !matches!(entry.version, 1 | 2) {
                return Some(format!("{} has version {}", entry.name, entry.version));
            }
            if self.distributions[..index].iter().any(|e| e.name.eq_ignore_ascii_case(&entry.name)) {
                return Some(format!("two distributions are called {}", entry.name));
            }
            if self.distributions[..index].iter().any(|e| e.guid == entry.guid) {
                return Some(format!("{} shares its storage with another distribution", entry.name));
            }
        }
        let precious = self.find(DATA).map(|entry| entry.guid);
        if precious.is_some_and(|guid| self.unfinished.contains(&guid)) {
            return Some(format!("{DATA} is listed as unfinished"));
        }
        if self.find(ENGINE).is_some_and(|e| self.unfinished.contains(&e.guid)) {
            return Some(format!("{ENGINE} is listed as unfinished"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{DocumentError, parse, render};

    fn sample() -> Registry {
        Registry {
            distributions: vec![Entry {
                guid: Guid::from_random([1; 16]),
                name: ENGINE.to_owned(),
                version: 2,
                image: Some(ImageRecord { source: "/x.tar".into(), sha256: "00".into() }),
                previous: Some(Box::new(Previous { guid: Guid::from_random([2; 16]), image: None })),
            }],
            ..Registry::default()
        }
    }

    #[test]
    fn round_trip() {
        let registry = sample();
        assert_eq!(parse::<Registry>(&render(&registry)).unwrap(), registry);
        assert_eq!(registry.known().len(), 2);
        assert!(registry.find("Docker-Desktop").is_some());
    }

    #[test]
    fn every_cut_off_file_is_damaged_never_empty() {
        let text = render(&sample());
        for end in 0..text.trim_end().len() {
            assert!(
                matches!(parse::<Registry>(&text[..end]), Err(DocumentError::Damaged(_))),
                "cut at {end} was accepted"
            );
        }
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let newer = render(&sample()).replacen("\"schemaVersion\": 1", "\"schemaVersion\": 2", 1);
        assert_eq!(parse::<Registry>(&newer), Err(DocumentError::Newer { found: 2, supported: 1 }));
        for foreign in
            ["[]", "{}", "null", "{\"schemaVersion\":1}", "{\"schemaVersion\":0,\"distributions\":[]}"]
        {
            assert!(matches!(parse::<Registry>(foreign), Err(DocumentError::Damaged(_))), "{foreign}");
        }
        let unknown = "{\"schemaVersion\":1,\"distributions\":[],\"surprise\":1}";
        assert!(parse::<Registry>(unknown).is_err());
    }

    #[test]
    fn contradictions_are_named() {
        let mut registry = sample();
        assert_eq!(registry.contradiction(), None);
        let mut twin = registry.distributions[0].clone();
        twin.guid = Guid::from_random([9; 16]);
        twin.name = "DOCKER-DESKTOP".into();
        registry.distributions.push(twin);
        assert!(registry.contradiction().unwrap().contains("DOCKER-DESKTOP"));
    }
}
