//! How many files a service may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::verb;

/// Raises the limit as far as it goes: every connection takes two, and the usual 1024 is soft, there for programs that use
/// select(2).
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        verb::log(&format!("cannot raise the limit of open files: {error}"));
    }
}
