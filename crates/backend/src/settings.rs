//! Reading the user's settings. Only a user's own change writes them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sampan_model::api::ErrorCode;
use sampan_model::document::{self, DocumentError};
use sampan_model::settings::{FieldError, Settings};

use crate::error::Explain;

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is damaged or newer.
    #[error("the settings in {path} cannot be used")]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// Values are out of range.
    #[error("the settings in {path} cannot be used: {}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        errors: Vec<FieldError>,
    },
}

impl Explain for SettingsError {
    fn code(&self) -> ErrorCode {
        ErrorCode::State
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "check the disk and the file's permissions".to_owned(),
            Self::Document { path, source: DocumentError::Newer { .. } } => format!(
                "install the newer Sampan again, or move {} away to start with the default settings",
                path.display()
            ),
            Self::Document { path, .. } | Self::Invalid { path, .. } => {
                format!("correct {0}, or move it away to start with the default settings", path.display())
            }
        })
    }
}

/// The settings in `path`; the defaults when there is no such file.
pub fn load(path: &Path) -> Result<Settings, SettingsError> {
    load_text(path).map(|(settings, _)| settings)
}

/// As [`load`], with the text of the file; empty when there is none.
pub fn load_text(path: &Path) -> Result<(Settings, String), SettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(source) => return Err(SettingsError::Read { path: path.to_owned(), source }),
    };
    let settings: Settings =
        document::parse(&text).map_err(|source| SettingsError::Document { path: path.to_owned(), source })?;
    let errors = settings.validate();
    if errors.is_empty() {
        Ok((settings, text))
    } else {
        Err(SettingsError::Invalid { path: path.to_owned(), errors })
    }
}
