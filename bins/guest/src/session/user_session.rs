//! The session that systemd keeps for a user: a folder for sockets, a bus, the user's own services.

use std::path::PathBuf;
use std::time::Duration;

use crate::tools;

/// Makes sure that the user's service manager runs; whether the user has a folder in `/run/user` now. No
/// session of login(1) is needed for it, which not every distribution has.
pub(super) fn ensure(uid: u32, limit: Duration) -> anyhow::Result<bool> {
    let folder = PathBuf::from(format!("/run/user/{uid}"));
    // The manager's own socket: there as long as it runs.
    if !folder.join("systemd/private").exists() {
        tools::run("systemctl", &["start", &format!("user@{uid}.service")], limit)?;
    }
    Ok(folder.exists())
}
