//! Bringing a distribution's storage to another folder, on the same disk or another one.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use sampan_model::registry::{Entry, Leftover};
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::Reply;

use super::failure::failure;
use super::import::no_room;
use super::progress::Progress;
use super::storage::{Place, Storage, cannot, remove_empty};
use super::turns::Doing;
use super::{Asker, Distros, guard};
use crate::disk::{self, copy};
use crate::distro::Running;
use crate::tools::ToolError;
use crate::tree;

/// What is said meanwhile.
const MOVING: &str = "Move in progress, this may take a few minutes.";

impl Distros {
    /// Brings a stopped distribution to another folder. Whatever fails, it is where it was before.
    pub(super) fn relocate(&self, name: &str, folder: &Path, asker: Asker<'_>) -> Result<(), Failure> {
        self.try_relocate(name, folder, asker).map_err(|failure| failure.in_context(Context::MoveDistro))
    }

    fn try_relocate(&self, name: &str, folder: &Path, asker: Asker<'_>) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        guard::users_only(&entry.name, "moving it")?;
        let instance = &self.native.instance;
        let _turn = self.turns.take(entry.guid, Doing::Converting)?;
        let entry = self.find_again(&entry)?;
        self.require_stopped(&entry)?;
        let entry = self.settle_leftover(&entry)?;
        let old = Storage::of(instance, &entry);
        if !old.exists() {
            return Err(Failure::disk_not_attached(&old.path().display().to_string(), Code::PathNotFound));
        }
        let place = Place::chosen(folder)?;
        let registry = self.native.store.current().map_err(failure)?;
        place.require_unused(instance, &registry, &entry)?;
        let here = fs::canonicalize(old.folder()).map_err(|error| cannot("use", old.folder(), &error))?;
        if place.folder == here || place.folder.starts_with(old.path()) {
            return Err(Failure::location_in_use());
        }
        let new = old.in_folder(&place.folder);
        new.require_free()?;
        let leftover = Leftover::Folder { folder: place.folder.clone(), made: place.missing, moved: false };
        self.change(&entry, |entry| entry.leftover = Some(leftover))?;
        let progress = Progress::new(asker, MOVING);
        let moved = place.make(0o755).and_then(|()| self.bring(&old, &new, &progress)).and_then(|()| {
            self.change(&entry, |entry| {
                entry.base = Some(place.folder.clone());
                entry.leftover =
                    Some(Leftover::Folder { folder: old.folder().to_owned(), made: true, moved: true });
            })
        });
        if let Err(failure) = moved {
            self.bring_back(&entry, &old, &new, &place, &failure);
            return Err(failure);
        }
        if let Err(error) = self.find_whole(name).and_then(|entry| self.settle_leftover(&entry)) {
            let message = format!("{} is still there: {error}", old.path().display());
            asker.tell(Reply::Warning { message });
        }
        Ok(())
    }

    /// Renames the storage, or copies it to another file system. The old one is there until the registry says otherwise,
    /// or has become the new one.
    fn bring(&self, old: &Storage, new: &Storage, progress: &Progress<'_>) -> Result<(), Failure> {
        let (from, to) = (old.path(), new.path());
        match fs::rename(&from, &to) {
            Ok(()) => {
                let settled = [new.folder(), old.folder()].map(|folder| File::open(folder)?.sync_all());
                let settled: std::io::Result<()> = settled.into_iter().collect();
                settled.map_err(|error| cannot("write", &to, &error))
            }
            Err(error) if error.kind() == ErrorKind::CrossesDevices && old.is_disk() => {
                let copied =
                    copy_image(&from, &new.create_empty()?, &|done, total| progress.copied(done, total));
                let settled = copied.and_then(|file| disk::settle(&file, new.folder()));
                settled.map_err(|error| match error.kind() {
                    ErrorKind::StorageFull => no_room(new, None),
                    _ => cannot("write", &to, &error),
                })
            }
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                // Also an error when it can't be used.
                old.used_bytes()?;
                new.create(0)?;
                tree::copy(&progress.asker.guest(&self.native.guest), old.root(), new.root()).map_err(
                    |error| match error {
                        error if error.is_disk_full() => no_room(new, None),
                        error @ ToolError::Failed { .. } => {
                            let why = sampan_backend::error::chain(&error);
                            let message = "The distribution could not be moved, and is where it was before.";
                            Failure::new(Code::Fail).with_message(format!("{message}\n{why}"))
                        }
                        error => failure(error),
                    },
                )
            }
            Err(error) => Err(cannot("move", &from, &error)),
        }
    }

    fn bring_back(&self, entry: &Entry, old: &Storage, new: &Storage, place: &Place, failure: &Failure) {
        let undone = if failure.code == Code::FileExists {
            // What is in the way is somebody else's.
            Ok(())
        } else if old.exists() {
            new.remove()
        } else {
            fs::rename(new.path(), old.path()).map_err(|error| cannot("move", &new.path(), &error))
        };
        if undone.is_ok() {
            if place.missing {
                remove_empty(&place.folder);
            }
            let _ = self.change(entry, |entry| entry.leftover = None);
        }
    }

    /// An error when a distribution runs: its user may not expect that it ends.
    pub(super) fn require_stopped(&self, entry: &Entry) -> Result<(), Failure> {
        match Running::find(&self.native.instance, &entry.guid).map_err(failure)? {
            Some(_) => Err(Failure::new(Code::DistroNotStopped)),
            None => self.ensure_stopped(entry),
        }
    }
}

/// Copies an image with its owner and permissions.
fn copy_image(
    from: &Path,
    to: &File,
    told: &dyn Fn(u64, u64) -> std::io::Result<()>,
) -> std::io::Result<File> {
    let source = File::open(from)?;
    let meta = source.metadata()?;
    copy::copy(&source, to, &|done| told(done, meta.len()))?;
    rustix::fs::fchown(
        to,
        Some(rustix::fs::Uid::from_raw(meta.uid())),
        Some(rustix::fs::Gid::from_raw(meta.gid())),
    )?;
    to.set_permissions(fs::Permissions::from_mode(meta.permissions().mode() & 0o7777))?;
    to.try_clone()
}
