//! The folder in which this program was started, for containers to mount.

use std::path::{Path, PathBuf};

use sampan_model::api::ShareRequest;
use sampan_model::instance::Instance;
use sampan_model::working_tree::{around, ceilings};

use crate::progress::Progress;
use crate::service;

/// The working tree of the user, if containers may be given it.
pub(crate) fn here() -> Option<PathBuf> {
    let folder = std::env::current_dir().ok()?;
    let ceilings = ceilings(&std::env::var_os("GIT_CEILING_DIRECTORIES").unwrap_or_default());
    // A folder, or a file where git keeps the rest elsewhere: worktrees and submodules.
    around(&folder, &ceilings, |tree| tree.join(".git").exists())
}

/// Has the service share `tree`. What can't be done is said, and stops nobody: docker tells of a path that it needs.
pub(crate) async fn share(instance: &Instance, tree: &Path) {
    let Ok(Some(client)) = service::find(instance).await else { return };
    let mut progress = Progress::new();
    let request = ShareRequest { working_tree: tree.to_owned() };
    if let Err(error) = client.post_ndjson("/v1/share", &request, |event| progress.event(event)).await {
        let message = format!("{} is not shared with containers: {error}", tree.display());
        progress.event(&sampan_model::api::Event::Warning { message });
    }
}
