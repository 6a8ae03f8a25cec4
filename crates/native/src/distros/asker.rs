//! Whoever asked for an operation that takes minutes: hears of it, and may call it off.

use sampan_model::wsl::service::{Manage, Reply, Request};

use super::Tell;
use crate::cancel::Cancel;
use crate::tools::guest::Guest;

/// Who asked.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) tell: Tell<'a>,
    pub(super) cancel: &'a Cancel,
}

impl Asker<'_> {
    /// Says something to them.
    pub(super) fn tell(&self, reply: Reply) {
        (self.tell)(reply);
    }

    /// `guest`, whose work ends when they call it off.
    pub(super) fn guest(&self, guest: &Guest) -> Guest {
        guest.stopped_by(self.cancel)
    }
}

/// Whether a request can be called off: it takes minutes, and what it began can be taken back. All others are finished.
pub(super) fn can_be_called_off(request: &Request) -> bool {
    match request {
        Request::Import { .. }
        | Request::ImportInPlace { .. }
        | Request::Export { .. }
        | Request::Install(_)
        | Request::SetVersion { .. }
        | Request::Manage { action: Manage::Move { .. }, .. } => true,
        Request::Session { .. }
        | Request::List
        | Request::Status
        | Request::Online
        | Request::SetDefault { .. }
        | Request::SetDefaultVersion { .. }
        | Request::Terminate { .. }
        | Request::Unregister { .. }
        | Request::Shutdown { .. }
        | Request::Manage { .. }
        | Request::Mount(_)
        | Request::Unmount { .. }
        | Request::Integration(_)
        | Request::SetPrivileged { .. } => false,
    }
}
