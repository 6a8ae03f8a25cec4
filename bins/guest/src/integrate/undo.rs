//! Undoing: from the last change to the first, each of which may have been made or not.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sampan_model::integration::group::{self, Added};
use sampan_model::integration::journal::{Change, Version};

use super::record::Record;
use super::tree::{Found, Tree, sha256};

/// Undoes all changes but the first `from` ones. Files that others have changed, so that they were left as they are. One
/// that can't be undone stays in the journal, and does not keep the others from it.
pub(super) fn since(tree: &Tree, record: &mut Record, from: usize) -> anyhow::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    let mut failed = Vec::new();
    for index in (from..record.changes().len()).rev() {
        match undo(tree, &record.changes()[index]) {
            Ok(done) => {
                kept.extend(done);
                record.forget(index)?;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    if failed.is_empty() { Ok(kept) } else { bail!("{}", failed.join("; ")) }
}

/// Undoes a change. The file, if it was left.
fn undo(tree: &Tree, change: &Change) -> anyhow::Result<Option<PathBuf>> {
    match change {
        Change::Folder { path } => {
            if let Some((folder, name)) = tree.folder_of(path)? {
                folder.remove_folder(name)?;
            }
            Ok(None)
        }
        Change::File { path, sha256 } => file(tree, path, sha256),
        Change::Edit { path, added, before, after } => edit(tree, path, added, before, after),
    }
}

fn file(tree: &Tree, path: &Path, ours: &[String]) -> anyhow::Result<Option<PathBuf>> {
    let Some((folder, name)) = tree.folder_of(path)? else { return Ok(None) };
    folder.clear(name)?;
    if matches!(folder.find(name)?, Found::Nothing) {
        return Ok(None);
    }
    if folder.sha256(name)?.is_some_and(|hash| ours.contains(&hash)) {
        folder.remove(name)?;
        return Ok(None);
    }
    Ok(Some(path.to_owned()))
}

fn edit(
    tree: &Tree,
    path: &Path,
    added: &Added,
    before: &Version,
    after: &str,
) -> anyhow::Result<Option<PathBuf>> {
    let Some((folder, name)) = tree.folder_of(path)? else { return Ok(None) };
    folder.clear(name)?;
    let mut found = match folder.find(name)? {
        Found::Nothing => return Ok(None),
        Found::Other(_) => return Ok(Some(path.to_owned())),
        Found::File(found) => found,
    };
    let about = || format!("cannot read {} of the distribution", path.display());
    let now = found.read().with_context(about)?;
    let hash = sha256(&now);
    if hash == before.sha256 {
        return Ok(None);
    }
    let Some(rest) = group::remove(&now, added) else { return Ok(Some(path.to_owned())) };
    let mut like = found.likeness().with_context(about)?;
    if hash == after {
        like.modified = Some((before.seconds, before.nanoseconds));
    }
    folder.replace(name, &now, &rest, &like)?;
    Ok(None)
}
