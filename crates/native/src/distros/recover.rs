//! What was cut off: finished or taken back when the service starts.
//!
//! The registry says before an operation what it is about to make, and is written once to take that into use. So whatever
//! it lists as unfinished is ours to remove, by its place, and all else is left alone.

use sampan_model::distro::is_internal;
use sampan_model::registry::{Entry, Leftover, Phase};
use sampan_model::wsl::error::{Code, Failure};

use super::Distros;
use super::failure::failure;
use super::storage::{Storage, remove_empty};
use super::turns::Doing;
use super::watch::END;

impl Distros {
    /// Puts every distribution in order; what could not be done. To be called before the first request.
    pub(super) fn recover(&self) -> Vec<Failure> {
        let registry = match self.native.store.current() {
            Ok(registry) => registry,
            Err(error) => return vec![failure(error)],
        };
        let users = registry.distributions.iter().filter(|entry| !is_internal(&entry.name));
        users.filter_map(|entry| self.recover_one(entry).err()).collect()
    }

    fn recover_one(&self, entry: &Entry) -> Result<(), Failure> {
        if entry.phase == Phase::Installed && entry.leftover.is_none() {
            return Ok(());
        }
        let _turn = self.turns.take(entry.guid, Doing::Briefly)?;
        match entry.phase {
            Phase::Installed => self.settle_leftover(entry).map(drop),
            Phase::Installing => {
                self.discard(entry)?;
                self.forget(entry)
            }
            Phase::Uninstalling => {
                self.stop(&entry.guid, END)?;
                // What could not be told is seen in the settings.
                self.forget_switch(&entry.name, &|_| ());
                self.remove_all_of(entry)
            }
        }
    }

    /// The distribution called `name`, unless it is being made or removed.
    pub(super) fn find_whole(&self, name: &str) -> Result<Entry, Failure> {
        let entry = self.find(name)?;
        if entry.phase == Phase::Installed {
            return Ok(entry);
        }
        let failure = Failure::new(Code::IllegalStateChange);
        Err(match self.turns.doing(&entry.guid) {
            Some(_) => failure,
            // Cut off, and it could not be removed when the service started.
            None => failure.hint(format!("`wsl --unregister {}` removes what is left of it", entry.name)),
        })
    }

    /// A distribution as it is now that the caller has its turn: what was read of it before may be out of date.
    pub(super) fn find_again(&self, entry: &Entry) -> Result<Entry, Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        let now = registry.distributions.iter().find(|now| now.guid == entry.guid);
        now.cloned().ok_or_else(|| Failure::new(Code::DistroNotFound))
    }

    /// Removes the storage of a distribution that was never finished.
    pub(super) fn discard(&self, entry: &Entry) -> Result<(), Failure> {
        Storage::of(&self.native.instance, entry).remove()?;
        if let Some(Leftover::Folder { folder, made: true, .. }) = &entry.leftover {
            remove_empty(folder);
        }
        Ok(())
    }

    /// Takes a distribution out of the registry.
    pub(super) fn forget(&self, entry: &Entry) -> Result<(), Failure> {
        let forgotten = self.native.store.update(|registry| {
            registry.distributions.retain(|other| other.guid != entry.guid);
            registry.settle_default();
        });
        forgotten.map_err(failure)
    }

    /// Removes what a conversion or a move left beside the storage in use. The caller has the turn.
    pub(super) fn settle_leftover(&self, entry: &Entry) -> Result<Entry, Failure> {
        let storage = Storage::of(&self.native.instance, entry);
        let mut settled = Entry { leftover: None, ..entry.clone() };
        match &entry.leftover {
            None => return Ok(settled),
            Some(Leftover::Version { version }) if *version != entry.version => {
                storage.with_version(*version).remove()?;
            }
            Some(Leftover::Version { .. }) => {}
            // Its disk is not plugged in. What it was before is not to take its place.
            Some(Leftover::Folder { moved: true, .. }) if !storage.exists() => return Ok(entry.clone()),
            Some(Leftover::Folder { folder, made, .. }) => {
                let other = storage.in_folder(folder);
                if storage.exists() {
                    other.remove()?;
                    if *made {
                        remove_empty(folder);
                    }
                } else if other.exists() {
                    // It was renamed, and the registry does not say so yet.
                    remove_empty(storage.folder());
                    settled.base = Some(folder.clone());
                }
            }
        }
        self.change(entry, |entry| {
            entry.leftover = None;
            entry.base.clone_from(&settled.base);
        })?;
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use sampan_model::distro::{DATA, Guid};
    use sampan_model::instance::Instance;

    use super::*;
    use crate::platform::Native;

    /// An instance without a hub, in whose folder everything is.
    struct Bench {
        folder: tempfile::TempDir,
        distros: Distros,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let instance =
                Instance::new("t", &folder.path().join("state"), &folder.path().join("run")).unwrap();
            fs::create_dir_all(instance.distros()).unwrap();
            let native = Native::unprepared(instance, PathBuf::from("/no/such/guest"));
            Self { folder, distros: Distros::new(Arc::new(native)) }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn entry(&self, version: u8, base: &str) -> Entry {
            let base = Some(self.path(base));
            Entry { base, ..Entry::new(Guid::from_random([version; 16]), "d", version) }
        }

        /// What the registry says after a service with this entry was killed and has started again.
        fn restart(&self, entry: &Entry) -> Option<Entry> {
            let store = &self.distros.native.store;
            store.update(|registry| registry.distributions.push(entry.clone())).unwrap();
            for _ in 0..2 {
                let failures = self.distros.recover();
                assert!(failures.is_empty(), "{failures:?}");
            }
            store.load().unwrap().distributions.pop()
        }
    }

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        sampan_sys::fs::write_atomic(path, b"content", 0o600).unwrap();
    }

    #[test]
    fn an_unfinished_import_leaves_what_was_there_before() {
        let bench = Bench::new();
        for (version, storage, made) in
            [(1, "new/rootfs/fs/etc/os-release", true), (2, "mine/ext4.img", false)]
        {
            let folder = bench.path(storage.split('/').next().unwrap());
            write(&bench.path(storage));
            if !made {
                write(&folder.join("of the user"));
            }
            let mut entry = bench.entry(version, folder.file_name().unwrap().to_str().unwrap());
            entry.phase = Phase::Installing;
            entry.leftover = Some(Leftover::Folder { folder: folder.clone(), made, moved: false });
            assert_eq!(bench.restart(&entry), None);
            assert_eq!(folder.exists(), !made);
        }
        assert!(bench.path("mine/of the user").exists() && !bench.path("mine/ext4.img").exists());
    }

    #[test]
    fn what_could_not_be_removed_says_how() {
        let bench = Bench::new();
        let entry = Entry { phase: Phase::Installing, ..bench.entry(1, "d") };
        let store = &bench.distros.native.store;
        store.update(|registry| registry.distributions.push(entry.clone())).unwrap();
        let told = bench.distros.find_whole("d").unwrap_err();
        assert_eq!(told.code, Code::IllegalStateChange);
        assert!(told.hint.unwrap().contains("wsl --unregister d"));
        assert_eq!(
            bench.distros.set_default("d", false, &|_| {}).unwrap_err().code,
            Code::IllegalStateChange
        );
        let _turn = bench.distros.turns.take(entry.guid, Doing::Installing).unwrap();
        assert_eq!(bench.distros.find_whole("d").unwrap_err().hint, None, "it is being made");
    }

    #[test]
    fn an_unfinished_removal_is_finished() {
        let bench = Bench::new();
        write(&bench.path("d/ext4.img"));
        write(&bench.path("d/rootfs/fs/etc/os-release"));
        let mut entry = bench.entry(2, "d");
        entry.phase = Phase::Uninstalling;
        entry.leftover = Some(Leftover::Version { version: 1 });
        // Another one of its name is not to have docker.
        let settings = bench.distros.native.instance.settings();
        let listed = |names: &str| format!("{{\"schemaVersion\": 1, \"integratedWslDistros\": [{names}]}}");
        let all = listed("\"other\", \"D\"");
        sampan_sys::fs::write_atomic(&settings, all.as_bytes(), 0o600).unwrap();
        assert_eq!(bench.restart(&entry), None);
        assert!(!bench.path("d").exists());
        let settings = sampan_backend::settings::load(&settings).unwrap();
        assert_eq!(settings.integrated_wsl_distros, ["other"]);
    }

    #[test]
    fn of_a_conversion_the_version_in_use_is_kept() {
        let bench = Bench::new();
        for version in [1, 2] {
            write(&bench.path("d/ext4.img"));
            write(&bench.path("d/rootfs/fs/etc/os-release"));
            let mut entry = bench.entry(version, "d");
            entry.leftover = Some(Leftover::Version { version: 3 - version });
            let settled = bench.restart(&entry).unwrap();
            assert_eq!(settled, Entry { leftover: None, ..entry });
            assert_eq!(bench.path("d/ext4.img").exists(), version == 2);
            assert_eq!(bench.path("d/rootfs").exists(), version == 1);
            let _ = bench.distros.forget(&settled);
        }
    }

    #[test]
    fn of_a_move_there_is_one_storage_afterwards_wherever_it_is() {
        let bench = Bench::new();
        let moved = |here: bool, there: bool| {
            for (folder, filled) in [("here", here), ("there", there)] {
                let _ = fs::remove_dir_all(bench.path(folder));
                fs::create_dir(bench.path(folder)).unwrap();
                if filled {
                    write(&bench.path(folder).join("ext4.img"));
                }
            }
            let mut entry = bench.entry(2, "here");
            entry.leftover = Some(Leftover::Folder { folder: bench.path("there"), made: true, moved: false });
            let settled = bench.restart(&entry).unwrap();
            bench.distros.forget(&settled).unwrap();
            assert_eq!(settled.leftover, None);
            (
                settled.base == Some(bench.path("there")),
                bench.path("here").exists(),
                bench.path("there").exists(),
            )
        };
        assert_eq!(moved(true, true), (false, true, false), "half copied, or copied and not removed yet");
        assert_eq!(moved(true, false), (false, true, false), "not begun");
        assert_eq!(moved(false, true), (true, false, true), "renamed, and not written down yet");
        let (adopted, _, _) = moved(false, false);
        assert!(!adopted, "a disk that is not plugged in is waited for where it was");
    }

    #[test]
    fn after_a_move_the_old_place_is_never_taken_for_the_new_one() {
        let bench = Bench::new();
        write(&bench.path("old/ext4.img"));
        let mut entry = bench.entry(2, "usb");
        entry.leftover = Some(Leftover::Folder { folder: bench.path("old"), made: true, moved: true });
        let kept = bench.restart(&entry).unwrap();
        assert_eq!(kept, entry, "the new disk is not plugged in");
        assert!(bench.path("old/ext4.img").exists());
        bench.distros.forget(&kept).unwrap();
        write(&bench.path("usb/ext4.img"));
        let settled = bench.restart(&entry).unwrap();
        assert_eq!(settled, Entry { leftover: None, ..entry });
        assert!(!bench.path("old").exists() && bench.path("usb/ext4.img").exists());
    }

    #[test]
    fn whole_distributions_and_internal_ones_are_not_touched() {
        let bench = Bench::new();
        write(&bench.path("d/ext4.img"));
        let entry = bench.entry(2, "d");
        assert_eq!(bench.restart(&entry), Some(entry));
        let data = Entry { phase: Phase::Uninstalling, ..Entry::new(Guid::from_random([9; 16]), DATA, 2) };
        assert_eq!(bench.restart(&data), Some(data));
        assert!(bench.path("d/ext4.img").exists());
    }
}
