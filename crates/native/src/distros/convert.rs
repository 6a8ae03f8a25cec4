//! Converting a distribution between the versions, both ways and to the byte.

use std::time::Duration;

use sampan_backend::error::chain;
use sampan_model::registry::Leftover;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::Reply;

use super::failure::failure;
use super::import::{Size, no_room};
use super::progress::Progress;
use super::storage::Storage;
use super::turns::Doing;
use super::{Asker, Distros, guard};
use crate::tools::ToolError;
use crate::tree;
use crate::wslconfig::HostConfig;

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(500);

impl Distros {
    /// Converts a distribution, which ends for it. Whatever fails, it is as it was before.
    pub(super) fn set_version(&self, name: &str, version: u8, asker: Asker<'_>) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        guard::users_only(&entry.name, "converting it")?;
        if !matches!(version, 1 | 2) {
            return Err(Failure::new(Code::InvalidArg));
        }
        if entry.version == version {
            return Err(Failure::new(Code::VmModeInvalidState));
        }
        let _turn = self.turns.take(entry.guid, Doing::Converting)?;
        let entry = self.find_again(&entry)?;
        if entry.version == version {
            return Err(Failure::new(Code::VmModeInvalidState));
        }
        if version == 1 {
            // `docker` cannot work there.
            self.native.undo_files(&entry).map_err(failure)?;
        }
        self.ensure_stopped(&entry)?;
        let entry = self.settle_leftover(&entry)?;
        let old = Storage::of(&self.native.instance, &entry);
        let new = old.with_version(version);
        let progress = Progress::new(asker, message::progress::CONVERTING);
        let total = old.used_bytes()?;
        new.require_free()?;
        self.change(&entry, |entry| entry.leftover = Some(Leftover::Version { version }))?;
        let size = HostConfig::read().values.default_vhd_size;
        let switched = self.fill(&old, &new, size, &progress, total).and_then(|()| {
            self.change(&entry, |entry| {
                entry.leftover = Some(Leftover::Version { version: entry.version });
                entry.version = version;
            })
        });
        if let Err(failure) = switched {
            // What is in the way is somebody else's; what can't be removed now is removed when the service starts.
            if failure.code == Code::FileExists || new.remove().is_ok() {
                let _ = self.change(&entry, |entry| entry.leftover = None);
            }
            return Err(failure);
        }
        if let Err(error) = self.find_whole(name).and_then(|entry| self.settle_leftover(&entry)) {
            let message = format!("the storage of version {} is still there: {error}", entry.version);
            asker.tell(Reply::Warning { message });
        }
        Ok(())
    }

    fn fill(
        &self,
        old: &Storage,
        new: &Storage,
        size: u64,
        progress: &Progress<'_>,
        total: u64,
    ) -> Result<(), Failure> {
        new.create(size)?;
        let free = || sampan_sys::fs::free_space(new.folder()).unwrap_or(0);
        let before = free();
        // What the copy takes is the only sign of how far it is; others who write there make it a guess.
        let tick = || progress.told(before.saturating_sub(free()), total);
        let guest = progress.asker.guest(&self.native.guest);
        let copied = crate::ticks::during(TICK, tick, || tree::copy(&guest, old.root(), new.root()));
        // One that was stopped lets go of the disks a moment after its end.
        let _ = old.wait_free();
        copied.map_err(|error| not_converted(error, new, size))
    }
}

fn not_converted(error: ToolError, new: &Storage, size: u64) -> Failure {
    if error.is_disk_full() {
        return no_room(new, new.is_disk().then_some(Size::Usual(size)));
    }
    match error {
        error @ ToolError::Failed { .. } => {
            let message = "The distribution could not be converted, and is as it was before.";
            Failure::new(Code::Fail).with_message(format!("{message}\n{}", chain(&error)))
        }
        error => failure(error),
    }
}
