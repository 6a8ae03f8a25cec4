//! Failures whose message names an object. Texts: microsoft/WSL `localization/strings/en-US/Resources.resw`.

use super::{Code, Context, Failure};
use crate::wsl::manifest::{ChecksumError, ManifestError};

impl Failure {
    /// A new distribution would have the name of another one.
    pub fn name_taken() -> Self {
        Self::new(Code::AlreadyExists).with_message("A distribution with the supplied name already exists.")
    }

    /// The name that an image gives itself is that of another distribution. Only an installation has such a name, and an
    /// option for another one.
    pub fn own_name_taken() -> Self {
        Self::new(Code::AlreadyExists).with_message(
            "A distribution with the supplied name already exists. Use --name to choose a different name.",
        )
    }

    /// A name that no distribution can have.
    pub fn invalid_name(name: &str) -> Self {
        Self::new(Code::InvalidArg).with_message(format!("Invalid distribution name: \"{name}\"."))
    }

    /// A name that is in no manifest.
    pub fn not_in_manifest(name: &str) -> Self {
        Self::new(Code::DistroNotFound).with_message(format!(
            "Invalid distribution name: '{name}'.\n\
             To get a list of valid distributions, use 'wsl --list --online'."
        ))
    }

    /// The manifest could not be fetched.
    pub fn manifest_not_fetched(url: &str, code: Code, why: &str) -> Self {
        Self::new(code).with_message(format!("Failed to fetch the distribution list from '{url}'. {why}"))
    }

    /// Another distribution lives in the folder.
    pub fn location_in_use() -> Self {
        Self::new(Code::FileExists).with_message("The supplied install location is already in use.")
    }

    /// A disk image could not be made.
    pub fn disk_not_created(disk: &str, code: Code) -> Self {
        Self::new(code).with_message(format!("Failed to create disk '{disk}': {}", code.text()))
    }

    /// A disk could not be attached.
    pub fn disk_not_attached(disk: &str, code: Code) -> Self {
        Self::new(code)
            .with_message(format!("Failed to attach disk '{disk}' to WSL2: {}", code.text()))
            .in_context(Context::MountDisk)
            .in_context(Context::HCS)
    }

    /// A disk is attached already.
    pub fn disk_already_attached(disk: &str) -> Self {
        Self::new(Code::DiskAlreadyAttached).with_message(format!("The disk '{disk}' is already attached."))
    }

    /// A disk did not take its new size.
    pub fn disk_not_resized() -> Self {
        Self::new(Code::Fail).with_message("Failed to resize disk.")
    }

    /// A disk is to be exported to a file whose name says another format, e.g. `.vhdx` for `.vhd`.
    pub fn wrong_extension(needed: &str) -> Self {
        Self::new(Code::ExportFailed)
            .with_message(format!("The specified file must have the {needed} file extension."))
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Self::new(Code::InvalidJson).with_message(error.to_string())
    }
}

impl From<ChecksumError> for Failure {
    fn from(error: ChecksumError) -> Self {
        let code = match error {
            ChecksumError::Invalid(_) => Code::InvalidArg,
            ChecksumError::Mismatch { .. } => Code::BadDigest,
        };
        Self::new(code).with_message(error.to_string()).in_context(Context::VerifyChecksum)
    }
}
