//! What integration has changed in a distribution: enough to undo it exactly.
//!
//! A change is written down before it is made. So what is in the journal may have been made or not, and undoing finds out
//! by what is there.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::group::Added;
use crate::document::Document;

/// The changes in one distribution, in the order in which they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Journal {
    /// The changes.
    pub changes: Vec<Change>,
    /// The folder in which something is being changed at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touched: Option<Touched>,
}

/// A folder whose modification time is to be as before when the change in it is done. Left in the journal it says that the
/// change was cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    /// The folder, absolute in the distribution.
    pub path: PathBuf,
    /// Modification time in seconds since 1970.
    pub seconds: i64,
    /// And the nanoseconds to add.
    pub nanoseconds: u32,
}

impl Document for Journal {
    const FILE: &'static str = "integration journal";
    const SCHEMA: u64 = 1;
}

/// A change. Paths are absolute in the distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    /// A folder was made.
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// A file was made. One that is another now is somebody else's.
    File {
        /// The file.
        path: PathBuf,
        /// SHA-256, in hex, of what it may have in it: while a newer one takes its place, it is the old or the new one.
        sha256: Vec<String>,
    },
    /// A line of a file that was there was added or extended.
    Edit {
        /// The file.
        path: PathBuf,
        /// What was added.
        added: Added,
        /// The file before.
        before: Version,
        /// SHA-256 of its content afterwards.
        after: String,
    },
}

/// The content of a file, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// SHA-256 in hex.
    pub sha256: String,
    /// Modification time in seconds since 1970.
    pub seconds: i64,
    /// And the nanoseconds to add.
    pub nanoseconds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{parse, render};

    #[test]
    fn there_and_back() {
        let before = Version { sha256: "ab".to_owned(), seconds: -1, nanoseconds: 7 };
        let journal = Journal {
            changes: vec![
                Change::Folder { path: "/usr".into() },
                Change::File { path: "/usr/bin/docker".into(), sha256: vec!["cd".to_owned()] },
                Change::Edit {
                    path: "/etc/group".into(),
                    added: Added::Line { text: "docker:x:999:".to_owned(), newline_before: true },
                    before: before.clone(),
                    after: "ef".to_owned(),
                },
                Change::Edit {
                    path: "/etc/gshadow".into(),
                    added: Added::Member { user: "ann".to_owned() },
                    before,
                    after: "01".to_owned(),
                },
            ],
            touched: Some(Touched { path: "/etc".into(), seconds: 5, nanoseconds: 6 }),
        };
        assert_eq!(parse::<Journal>(&render(&journal)), Ok(journal));
    }

    #[test]
    fn a_damaged_one_is_an_error() {
        for text in ["", "{", "[]", "{}", r#"{"schemaVersion":1}"#, r#"{"schemaVersion":2,"changes":[]}"#] {
            assert!(parse::<Journal>(text).is_err(), "{text}");
        }
        let unknown = r#"{"schemaVersion":1,"changes":[{"kind":"delete","path":"/"}]}"#;
        assert!(parse::<Journal>(unknown).is_err());
    }
}
