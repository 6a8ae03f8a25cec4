//! The user's settings. Keys and defaults follow Docker Desktop's settings-store.json where that has them.

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::network::Subnet;

/// What `settings.json` holds. A missing key has its default; an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// How long the engine may take to start, in seconds.
    pub lifecycle_timeout_seconds: u32,
    /// The largest size of the disk of `docker-desktop-data`, in MiB. It takes only what is used.
    pub disk_size_mib: u64,
    /// The network between host and distributions, e.g. `192.168.65.0/24`; without it the first free one is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpnkit_cidr: Option<Subnet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lifecycle_timeout_seconds: 600, disk_size_mib: 1024 * 1024, vpnkit_cidr: None }
    }
}

impl Document for Settings {
    const FILE: &'static str = "settings.json";
    const SCHEMA: u64 = 1;
}

/// One thing that is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// The key.
    pub field: String,
    /// What is wrong, and what is right.
    pub message: String,
}

impl Settings {
    /// Everything that is wrong, not only the first.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, message: &str| {
            errors.push(FieldError { field: field.to_owned(), message: message.to_owned() });
        };
        if !(10..=86_400).contains(&self.lifecycle_timeout_seconds) {
            wrong("lifecycleTimeoutSeconds", "must be between 10 and 86400");
        }
        if !(1024..=16 * 1024 * 1024).contains(&self.disk_size_mib) {
            wrong("diskSizeMib", "must be between 1024 (1 GiB) and 16777216 (16 TiB)");
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{parse, render};

    #[test]
    fn missing_keys_have_defaults_and_unknown_ones_are_refused() {
        assert_eq!(parse::<Settings>("{\"schemaVersion\":1}").unwrap(), Settings::default());
        assert!(parse::<Settings>("{\"schemaVersion\":1,\"lifeCycle\":1}").is_err());
        assert_eq!(parse::<Settings>(&render(&Settings::default())).unwrap(), Settings::default());
    }

    #[test]
    fn all_errors_are_reported() {
        let settings = Settings { lifecycle_timeout_seconds: 0, disk_size_mib: 1, ..Settings::default() };
        assert_eq!(settings.validate().len(), 2);
        assert!(Settings::default().validate().is_empty());
    }
}
