//! Undoing: from the last change to the first, each of which may have been made or not.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sampan_model::integration::group::{self, Added};
use sampan_model::integration::journal::{Change, Version};

use super::record::Record;
use super::tree::{Folder, Found, Tree, sha256};

/// Undoes all changes but the first `from` ones. Files that others have changed, so that they were left as they are. One
/// that can't be undone stays in the journal, and does not keep the others from it.
pub(super) fn since(tree: &Tree, record: &mut Record, from: usize) -> anyhow::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    let mut failed = Vec::new();
    for index in (from..record.changes().len()).rev() {
        let change = record.changes()[index].clone();
        match undo(tree, record, &change) {
            Ok(done) => {
                kept.extend(done);
                record.forget(index)?;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    let settled = record.settle();
    failed.dedup();
    if failed.is_empty() { settled.map(|()| kept) } else { bail!("{}", failed.join("; ")) }
}

/// Forgets the changes that others have taken back, or made theirs: nothing is left of them to be undone.
pub(super) fn forget_lost(tree: &Tree, record: &mut Record) -> anyhow::Result<()> {
    for index in (0..record.changes().len()).rev() {
        let change = &record.changes()[index];
        let (Change::File { path, .. } | Change::Edit { path, .. }) = change else { continue };
        let Some((folder, name)) = tree.folder_of(path)? else { continue };
        let Found::File(mut found) = folder.find(name)? else { continue };
        let now = found.read().with_context(|| unreadable(path))?;
        let is_lost = match change {
            Change::File { sha256: ours, .. } => !ours.contains(&sha256(&now)),
            Change::Edit { added, .. } => group::remove(&now, added).is_none(),
            Change::Folder { .. } => false,
        };
        if is_lost {
            record.forget(index)?;
        }
    }
    Ok(())
}

/// Undoes a change. The file, if it was left.
fn undo(tree: &Tree, record: &mut Record, change: &Change) -> anyhow::Result<Option<PathBuf>> {
    let (Change::Folder { path } | Change::File { path, .. } | Change::Edit { path, .. }) = change;
    let Some((folder, name)) = tree.folder_of(path)? else { return Ok(None) };
    record.touch(folder.touched()?);
    // A journal that cannot be written is told when the change is to be forgotten.
    let _ = record.flush();
    match change {
        Change::Folder { .. } => folder.remove_folder(name).map(|()| None),
        Change::File { sha256, .. } => file(&folder, name, path, sha256),
        Change::Edit { added, before, after, .. } => edit(&folder, name, path, added, before, after),
    }
}

fn file(folder: &Folder, name: &Path, path: &Path, ours: &[String]) -> anyhow::Result<Option<PathBuf>> {
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
    folder: &Folder,
    name: &Path,
    path: &Path,
    added: &Added,
    before: &Version,
    after: &str,
) -> anyhow::Result<Option<PathBuf>> {
    folder.clear(name)?;
    let mut found = match folder.find(name)? {
        Found::Nothing => return Ok(None),
        Found::Other(_) => return Ok(Some(path.to_owned())),
        Found::File(found) => found,
    };
    let now = found.read().with_context(|| unreadable(path))?;
    let hash = sha256(&now);
    if hash == before.sha256 {
        return Ok(None);
    }
    let Some(rest) = group::remove(&now, added) else { return Ok(Some(path.to_owned())) };
    let mut like = found.likeness().with_context(|| unreadable(path))?;
    if hash == after {
        like.modified = Some((before.seconds, before.nanoseconds));
    }
    folder.replace(name, &now, &rest, &like)?;
    Ok(None)
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {} of the distribution", path.display())
}
