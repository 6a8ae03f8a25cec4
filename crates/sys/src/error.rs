//! The error of every operation: what was tried, on which object, and the kernel's answer.

use std::ffi::OsStr;

use rustix::io::Errno;

/// Result of a system operation.
pub type Result<T> = std::result::Result<T, SysError>;

/// A system call that failed. The text names the operation and its object; the kernel's reason is the source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {object}{}", in_parentheses(detail))]
pub struct SysError {
    /// The operation as a verb phrase that the object completes: `mount ext4 from`.
    pub what: &'static str,
    /// The file, process, socket or namespace it was tried on.
    pub object: String,
    /// What the kernel said beyond the number (messages of a file system); empty when nothing.
    pub detail: String,
    /// The error number.
    pub source: Errno,
}

impl SysError {
    /// The kernel's error number.
    pub fn errno(&self) -> Errno {
        self.source
    }

    pub(crate) fn new(what: &'static str, object: impl AsRef<OsStr>, source: Errno) -> Self {
        let object = object.as_ref().to_string_lossy().into_owned();
        Self { what, object, detail: String::new(), source }
    }

    pub(crate) fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// Names operation and object of a failed call.
pub(crate) trait Context<T> {
    fn on(self, what: &'static str, object: impl AsRef<OsStr>) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn on(self, what: &'static str, object: impl AsRef<OsStr>) -> Result<T> {
        self.map_err(|errno| SysError::new(what, object, errno))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn on(self, what: &'static str, object: impl AsRef<OsStr>) -> Result<T> {
        // std's own errors (a NUL byte in a path, text that is not UTF-8) carry no number: the input was
        // invalid.
        self.map_err(|error| {
            SysError::new(what, object, Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
        })
    }
}

/// The error number of the libc call that has just failed.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn in_parentheses(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_the_object_and_leaves_the_reason_to_the_source() {
        let error = SysError::new("mount ext4 from", "/dev/loop3", Errno::ACCESS);
        assert_eq!(error.to_string(), "cannot mount ext4 from /dev/loop3");
        assert_eq!(error.errno(), Errno::ACCESS);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(!error.to_string().contains(&source));
        assert_eq!(error.because("bad option").to_string(), "cannot mount ext4 from /dev/loop3 (bad option)");
    }
}
