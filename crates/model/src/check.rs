//! The result of `sampan check`: one row per prerequisite.

use serde::{Deserialize, Serialize};

/// One tested prerequisite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was tested, e.g. `overlayfs`.
    pub name: String,
    /// What Sampan needs it for.
    pub purpose: String,
    /// What came out.
    pub outcome: Outcome,
    /// What was found, e.g. a version or a size.
    pub found: String,
    /// The command that mends it, when it is not all right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// As it must be.
    Pass,
    /// Sampan works, but less well.
    Warn,
    /// Sampan can't work like this.
    Fail,
}
