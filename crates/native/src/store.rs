//! The registry on disk: read strictly, written atomically, one writer.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::distro::Guid;
use sampan_model::document::{self, DocumentError};
use sampan_model::instance::Instance;
use sampan_model::registry::Registry;
use sampan_sys::{Errno, SysError};

use crate::stamp::Stamp;

/// Room that is held for a registry, in bytes: for some two hundred distributions.
const RESERVE: u64 = 64 << 10;

/// Why the registry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is damaged or newer than this program.
    #[error("the registry {path} cannot be used")]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DocumentError,
    },
    /// What it says contradicts itself.
    #[error("the registry {path} cannot be used: {what}")]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is gone, but the storage of distributions is there.
    #[error("{path} is missing, but {distros} holds the storage of distributions")]
    Lost {
        /// The file that should be there.
        path: PathBuf,
        /// The folder that is not empty.
        distros: PathBuf,
    },
    /// It can't be written.
    #[error("the registry is not changed")]
    Write(#[source] SysError),
}

impl Explain for StoreError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Write(error) if matches!(error.errno(), Errno::NOSPC | Errno::DQUOT) => ErrorCode::DiskFull,
            Self::Write(_) => ErrorCode::Failed,
            _ => ErrorCode::State,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Document { source: DocumentError::Newer { .. }, .. } => {
                "install the newer Sampan again; this one leaves the file as it is".to_owned()
            }
            Self::Read { path, .. } => format!("check the disk and the permissions of {}", path.display()),
            Self::Document { path, .. } | Self::Contradiction { path, .. } => format!(
                "restore {} from a backup or correct it; nothing was changed. Only if all data may go: `sampan reset --all`",
                path.display()
            ),
            Self::Lost { path, distros } => format!(
                "restore {} from a backup, or move {} away to begin with nothing",
                path.display(),
                distros.display()
            ),
            Self::Write(_) => "free some space on the disk of the state folder and try again".to_owned(),
        })
    }
}

/// The registry of an instance. One per service, which holds the instance's lock.
#[derive(Debug)]
pub(crate) struct Store {
    instance: Instance,
    /// Held while the registry is read, changed and written, so that two operations never lose one another's change.
    turn: Mutex<()>,
    /// What was read last, and of which file: a session does not wait for a file that did not change.
    last: Mutex<Option<(Stamp, Arc<Registry>)>>,
}

impl Store {
    pub(crate) fn new(instance: Instance) -> Self {
        Self { instance, turn: Mutex::new(()), last: Mutex::new(None) }
    }

    /// The registry as it is now, to be changed by the caller.
    pub(crate) fn load(&self) -> Result<Registry, StoreError> {
        Ok(Registry::clone(&*self.current()?))
    }

    /// The registry as it is now. Takes one look at the file when that did not change.
    pub(crate) fn current(&self) -> Result<Arc<Registry>, StoreError> {
        // Before it is read: a change in between is seen the next time.
        let stamp = Stamp::of(&self.instance.registry());
        if let Some(stamp) = stamp
            && let Some((of, registry)) = &*self.last()
            && *of == stamp
        {
            return Ok(Arc::clone(registry));
        }
        let registry = Arc::new(self.read()?);
        *self.last() = stamp.map(|stamp| (stamp, Arc::clone(&registry)));
        Ok(registry)
    }

    /// Changes the registry: what `change` made of it is on the disk when this returns.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> Result<T, StoreError> {
        let _turn = self.turn();
        let mut registry = self.read()?;
        let result = change(&mut registry);
        match self.write(document::render(&registry).as_bytes()) {
            // The file is the new one although it could not be made lasting: whoever took the change for undone would
            // remove what the registry names.
            Err(_) if self.read().is_ok_and(|now| now == registry) => Ok(result),
            Err(error) => Err(StoreError::Write(error)),
            Ok(()) => Ok(result),
        }
    }

    /// Holds room for the next write ready, so that what makes room is written down although the disk is full. What a
    /// write replaces is as much as that write took, so that there is room for the next one, too.
    pub(crate) fn hold_reserve(&self) {
        // On a full disk there is none to hold; it is tried again after the next write.
        let _ = sampan_sys::fs::hold_reserve(&self.instance.registry_reserve(), RESERVE);
    }

    /// Writes down that storage `guid` is about to be made; [`Store::finish`] or the next start takes it off.
    pub(crate) fn begin(&self, guid: Guid) -> Result<(), StoreError> {
        self.update(|registry| registry.unfinished.push(guid))
    }

    /// Takes `guid` off the unfinished ones and makes `change` in the same write.
    pub(crate) fn finish(&self, guid: Guid, change: impl FnOnce(&mut Registry)) -> Result<(), StoreError> {
        self.update(|registry| {
            registry.unfinished.retain(|other| *other != guid);
            change(registry);
        })
    }

    fn read(&self) -> Result<Registry, StoreError> {
        let path = self.instance.registry();
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return self.first(path),
            Err(source) => return Err(StoreError::Read { path, source }),
        };
        let registry: Registry =
            document::parse(&text).map_err(|source| StoreError::Document { path: path.clone(), source })?;
        match registry.contradiction() {
            Some(what) => Err(StoreError::Contradiction { path, what }),
            None => Ok(registry),
        }
    }

    fn write(&self, text: &[u8]) -> Result<(), SysError> {
        const MODE: u32 = 0o600;
        let path = self.instance.registry();
        let written = match sampan_sys::fs::write_atomic(&path, text, MODE) {
            Err(error) if matches!(error.errno(), Errno::NOSPC | Errno::DQUOT) => {
                let reserve = self.instance.registry_reserve();
                // Without a reserve it is the first error that says what to do.
                sampan_sys::fs::write_from_reserve(&reserve, &path, text, MODE).map_err(|_| error)
            }
            written => written,
        };
        self.hold_reserve();
        written
    }

    /// No registry: right only where there never was a distribution.
    fn first(&self, path: PathBuf) -> Result<Registry, StoreError> {
        let distros = self.instance.distros();
        let used = fs::read_dir(&distros).is_ok_and(|mut entries| entries.next().is_some());
        if used { Err(StoreError::Lost { path, distros }) } else { Ok(Registry::default()) }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Option<(Stamp, Arc<Registry>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn store(base: &Path) -> Store {
        let instance = Instance::new("t", base, Path::new("/run/x")).unwrap();
        fs::create_dir_all(instance.distros()).unwrap();
        Store::new(instance)
    }

    #[test]
    fn a_change_is_on_disk_and_a_damaged_file_stays_as_it_is() {
        let base = tempfile::tempdir().unwrap();
        let store = store(base.path());
        let guid = Guid::from_random([7; 16]);
        store.begin(guid).unwrap();
        assert_eq!(store.load().unwrap().unfinished, [guid]);
        let path = store.instance.registry();
        let half = fs::read(&path).unwrap()[..20].to_vec();
        let half = half.as_slice();
        sampan_sys::fs::write_atomic(&path, half, 0o600).unwrap();
        assert!(matches!(store.begin(guid), Err(StoreError::Document { .. })));
        assert!(matches!(store.load(), Err(StoreError::Document { .. })));
        assert_eq!(fs::read(&path).unwrap(), half);
    }

    #[test]
    fn what_did_not_change_is_not_read_again_and_what_did_is() {
        let base = tempfile::tempdir().unwrap();
        let store = store(base.path());
        store.begin(Guid::from_random([7; 16])).unwrap();
        let first = store.current().unwrap();
        assert!(Arc::ptr_eq(&first, &store.current().unwrap()));
        store.begin(Guid::from_random([8; 16])).unwrap();
        assert_eq!(store.current().unwrap().unfinished.len(), 2);
        // As an editor does it: the same file, the same length.
        let path = store.instance.registry();
        let text = fs::read_to_string(&path).unwrap().replace("08080808", "09090909");
        let file = fs::File::options().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, text.as_bytes(), 0).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(store.current().unwrap().unfinished[1].to_string().starts_with("09090909"));
    }

    #[test]
    fn a_reserve_is_held_from_the_first_write_on_and_means_nothing() {
        let base = tempfile::tempdir().unwrap();
        let store = store(base.path());
        let reserve = store.instance.registry_reserve();
        store.hold_reserve();
        assert_eq!(store.load().unwrap(), Registry::default());
        fs::remove_file(&reserve).unwrap();
        store.begin(Guid::from_random([7; 16])).unwrap();
        assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE);
        // As a service leaves it that was killed in the middle of a write.
        sampan_sys::fs::write_atomic(&reserve, b"{\"schemaVer", 0o600).unwrap();
        assert_eq!(store.load().unwrap().unfinished.len(), 1);
        store.begin(Guid::from_random([8; 16])).unwrap();
        assert_eq!(store.load().unwrap().unfinished.len(), 2);
        assert!(fs::metadata(&reserve).unwrap().len() >= RESERVE);
    }

    #[test]
    fn a_lost_registry_is_not_begun_anew() {
        let base = tempfile::tempdir().unwrap();
        let store = store(base.path());
        assert_eq!(store.load().unwrap(), Registry::default());
        fs::create_dir(store.instance.distro(&Guid::from_random([1; 16]))).unwrap();
        assert!(matches!(store.load(), Err(StoreError::Lost { .. })));
    }
}
