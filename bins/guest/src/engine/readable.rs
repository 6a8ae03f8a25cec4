//! Descriptors whose readiness the runtime waits for.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// For descriptors that only become readable: a pidfd at the end of its process, inotify at a change.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "the new one is unsafe because of types whose descriptor may change or close; OwnedFd's does not"
    )]
    AsyncFd::with_interest(fd, Interest::READABLE)
}
