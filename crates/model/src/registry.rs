//! The registry: which distributions are installed and where their storage is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::distro::{DATA, ENGINE, Guid, is_internal};
use crate::document::{Document, DocumentError};
use crate::instance::Instance;

/// The installed distributions of an instance, in order of installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// The default distribution of `wsl`, if the user chose or installed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Guid>,
    /// The distributions.
    pub distributions: Vec<Entry>,
    /// The version of new distributions, if the user chose one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_version: Option<u8>,
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
    /// Whether it is whole.
    #[serde(default, skip_serializing_if = "is_default")]
    pub phase: Phase,
    /// The folder of its storage; its own folder of the instance when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// File name of its disk in that folder, unless it is the usual one: a disk registered where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What an unfinished conversion or move left: removed when the service starts, or when it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftover: Option<Leftover>,
    /// Its default user by number, unless its `wsl.conf` names one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub default_uid: u32,
    /// Its first interactive shell is still to run the image's first-run command.
    #[serde(default, skip_serializing_if = "is_default")]
    pub first_run: bool,
    /// Root in it is root of the host; the user said so on the host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// What its `os-release` calls it, e.g. `debian`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavor: Option<String>,
    /// The version in its `os-release`, e.g. `13`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The engine image it was made of (`docker-desktop` only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
    /// Storage of the engine before the last upgrade, kept until the new engine answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<Previous>>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a distribution is whole. One that is not is removed when the service starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// It can be used.
    #[default]
    Installed,
    /// Its storage is being made.
    Installing,
    /// Its storage is being removed.
    Uninstalling,
}

/// Storage beside the one in use, made or left by an operation on the same distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "camelCase")]
pub enum Leftover {
    /// Of a conversion: the storage of this version in the same folder.
    Version {
        /// 1 or 2.
        version: u8,
    },
    /// Of a move: the storage in this folder.
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Whether the operation made the folder.
        made: bool,
        /// It is where the distribution was before: the move is done, and what is in this folder is out of date.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        moved: bool,
    },
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
    const SCHEMA: u64 = 2;

    /// Schema 1 had fewer fields; what it lacks has its default.
    fn migrate(from: u64, body: Value) -> Result<Value, DocumentError> {
        if from == 1 {
            Ok(body)
        } else {
            Err(DocumentError::Damaged(format!("schemaVersion {from} was never written")))
        }
    }
}

impl Entry {
    /// A whole distribution with nothing special about it.
    pub fn new(guid: Guid, name: &str, version: u8) -> Self {
        Self {
            guid,
            name: name.to_owned(),
            version,
            phase: Phase::Installed,
            base: None,
            disk: None,
            leftover: None,
            default_uid: 0,
            first_run: false,
            privileged: false,
            flavor: None,
            os_version: None,
            image: None,
            previous: None,
        }
    }

    /// The folder of its storage.
    pub fn folder(&self, instance: &Instance) -> PathBuf {
        self.base.clone().unwrap_or_else(|| instance.distro(&self.guid))
    }
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

    /// Keeps to the rule for the default distribution: the chosen one while it is there, else the first whole one of the
    /// user's. An internal one is never the default by accident.
    pub fn settle_default(&mut self) {
        let there = |guid: Guid| self.distributions.iter().any(|entry| entry.guid == guid);
        if !self.default.is_some_and(there) {
            let usable = |entry: &&Entry| entry.phase == Phase::Installed && !is_internal(&entry.name);
            self.default = self.distributions.iter().find(usable).map(|entry| entry.guid);
        }
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
                image: Some(ImageRecord { source: "/x.tar".into(), sha256: "00".into() }),
                previous: Some(Box::new(Previous { guid: Guid::from_random([2; 16]), image: None })),
                ..Entry::new(Guid::from_random([1; 16]), ENGINE, 2)
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
        let newer = render(&sample()).replacen("\"schemaVersion\": 2", "\"schemaVersion\": 3", 1);
        assert_eq!(parse::<Registry>(&newer), Err(DocumentError::Newer { found: 3, supported: 2 }));
        let older = render(&sample()).replacen("\"schemaVersion\": 2", "\"schemaVersion\": 1", 1);
        assert_eq!(parse::<Registry>(&older), Ok(sample()));
        for foreign in
            ["[]", "{}", "null", "{\"schemaVersion\":1}", "{\"schemaVersion\":0,\"distributions\":[]}"]
        {
            assert!(matches!(parse::<Registry>(foreign), Err(DocumentError::Damaged(_))), "{foreign}");
        }
        let unknown = "{\"schemaVersion\":2,\"distributions\":[],\"surprise\":1}";
        assert!(parse::<Registry>(unknown).is_err());
    }

    #[test]
    fn the_first_of_the_user_s_is_the_default_until_another_is_chosen() {
        let mut registry = sample();
        registry.settle_default();
        assert_eq!(registry.default, None);
        let entry = |byte, name| Entry::new(Guid::from_random([byte; 16]), name, 2);
        let unfinished = Entry { phase: Phase::Installing, ..entry(3, "half") };
        registry.distributions.extend([unfinished, entry(4, "a"), entry(5, "b")]);
        registry.settle_default();
        assert_eq!(registry.default, Some(Guid::from_random([4; 16])));
        registry.default = Some(Guid::from_random([5; 16]));
        registry.settle_default();
        assert_eq!(registry.default, Some(Guid::from_random([5; 16])));
        registry.distributions.retain(|entry| entry.name != "b");
        registry.settle_default();
        assert_eq!(registry.default, Some(Guid::from_random([4; 16])));
        registry.distributions.retain(|entry| entry.name != "a");
        registry.settle_default();
        assert_eq!(registry.default, None);
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
