//! The registry on disk: read strictly, written atomically, one writer.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::distro::Guid;
use sampan_model::document::{self, DocumentError};
use sampan_model::instance::Instance;
use sampan_model::registry::Registry;
use sampan_sys::SysError;

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
            Self::Write(error) if error.errno() == sampan_sys::Errno::NOSPC => ErrorCode::DiskFull,
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
}

impl Store {
    pub(crate) fn new(instance: Instance) -> Self {
        Self { instance, turn: Mutex::new(()) }
    }

    /// The registry as it is now.
    pub(crate) fn load(&self) -> Result<Registry, StoreError> {
        let _turn = self.turn();
        self.read()
    }

    /// Changes the registry: what `change` made of it is on the disk when this returns.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> Result<T, StoreError> {
        let _turn = self.turn();
        let mut registry = self.read()?;
        let result = change(&mut registry);
        let text = document::render(&registry);
        sampan_sys::fs::write_atomic(&self.instance.registry(), text.as_bytes(), 0o600)
            .map_err(StoreError::Write)?;
        Ok(result)
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

    /// No registry: right only where there never was a distribution.
    fn first(&self, path: PathBuf) -> Result<Registry, StoreError> {
        let distros = self.instance.distros();
        let used = fs::read_dir(&distros).is_ok_and(|mut entries| entries.next().is_some());
        if used { Err(StoreError::Lost { path, distros }) } else { Ok(Registry::default()) }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
        assert_eq!(fs::read(&path).unwrap(), half);
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
