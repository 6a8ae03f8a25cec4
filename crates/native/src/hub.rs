//! The hub: the process that holds the instance's mount and network namespaces.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_backend::Explain;
use sampan_model::api::ErrorCode;
use sampan_model::distro::Guid;
use sampan_model::guest::{
    Answer, AttachSpec, DetachSpec, HubRecord, HubSpec, ProcessId, ShareSpec, SharedFolder,
};
use sampan_model::instance::Instance;
use sampan_model::settings::Settings;
use sampan_model::views::{self, VIEWS};
use sampan_sys::{SysError, loopdev};

use crate::process;
use crate::tools::guest::{Guest, GuestError};

/// The kernel frees a loop device a moment after the last unmount.
const LOOP_LIMIT: Duration = Duration::from_secs(5);

/// A hub that stands.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) process: ProcessId,
    /// Whether users' distributions are in the host's network, and only the engine in that of the hub.
    pub(crate) mirrored: bool,
}

/// What sharing folders came to.
#[derive(Debug, Default)]
pub(crate) struct NewlyShared {
    /// Those that were not shown before.
    pub(crate) folders: Vec<PathBuf>,
    /// One sentence for each that can't be shown.
    pub(crate) warnings: Vec<String>,
}

/// Why the hub could not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    #[error("the hub cannot be started")]
    Start(#[source] GuestError),
    #[error("the folder {path} for the hub cannot be made")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the hub cannot be looked at")]
    Look(#[source] SysError),
    #[error("the hub (pid {pid}) does not end although it was killed")]
    Stuck { pid: i32 },
    #[error("cannot show the host's shared folders to containers")]
    Share(#[source] GuestError),
    #[error("cannot mount the disk {image}")]
    Attach { image: PathBuf, source: GuestError },
    #[error("cannot unmount the disk {image}")]
    Detach { image: PathBuf, source: GuestError },
    #[error("the disk {image} is still held by something after it was unmounted")]
    Held { image: PathBuf },
}

impl HubError {
    /// Whether something uses the disk, and nothing else is wrong.
    pub(crate) fn is_in_use(&self) -> bool {
        match self {
            Self::Held { .. } => true,
            Self::Detach { source, .. } => source.is_busy(),
            _ => false,
        }
    }
}

impl Explain for HubError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Start(source)
            | Self::Share(source)
            | Self::Attach { source, .. }
            | Self::Detach { source, .. } => source.code(),
            Self::Held { .. } => ErrorCode::Busy,
            _ => ErrorCode::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Start(source) | Self::Share(source) | Self::Detach { source, .. } => source.hint(),
            Self::Attach { image, .. } => Some(format!(
                "`sampan check` tests loop devices and ext4; a damaged disk is repaired by `e2fsck -f {}` while Sampan is stopped",
                image.display()
            )),
            Self::Held { image } => Some(format!(
                "find the process with `grep -l loop /proc/*/mountinfo` and end it; {} is safe",
                image.display()
            )),
            Self::Stuck { .. } => Some("the kernel log (`dmesg`) says what it waits for".to_owned()),
            Self::Folder { .. } | Self::Look(_) => None,
        }
    }
}

impl Hub {
    /// The hub of the instance, if it lives.
    pub(crate) fn find(instance: &Instance) -> Result<Option<Self>, HubError> {
        let Some(record) = process::read_record::<HubRecord>(&instance.hub_record()) else { return Ok(None) };
        let alive = process::open(&record.process).map_err(HubError::Look)?.is_some();
        Ok(alive.then_some(Self { process: record.process, mirrored: record.mirrored }))
    }

    /// Starts the hub; beside it, warnings. `mirrored`: users' distributions are to be in the host's network; `netns_of`: a process of a distribution that outlived the last hub; `views_of`:
    /// of the engine's, if that did.
    pub(crate) fn start(
        instance: &Instance,
        guest: &Guest,
        cgroup: PathBuf,
        folders: Vec<SharedFolder>,
        mirrored: bool,
        netns_of: Option<ProcessId>,
        views_of: Option<ProcessId>,
    ) -> Result<(Self, Vec<String>), HubError> {
        let workdir = instance.run().join("hub");
        make_folder(&workdir)?;
        let spec = HubSpec {
            workdir,
            name: "sampan-hub".to_owned(),
            record: instance.hub_record(),
            cgroup,
            folders,
            netns_of,
            mirrored,
            views_of,
        };
        let log = open_log(&instance.log("hub"))?;
        let answer = guest.ask("hub", &spec, Some(log)).map_err(HubError::Start)?;
        match answer {
            Answer::Started { process, warnings } => Ok((Self { process, mirrored }, warnings)),
            other => {
                let said = format!("{other:?}");
                Err(HubError::Start(GuestError::Garbled { verb: "hub".to_owned(), said }))
            }
        }
    }

    /// Inode of its network namespace.
    pub(crate) fn netns(&self) -> Result<u64, HubError> {
        sampan_sys::namespace::netns_inode(self.process.pid).map_err(HubError::Look)
    }

    /// Ends the hub: with it go its mounts and, when no distribution is in it any more, the network namespace.
    pub(crate) fn stop(&self, instance: &Instance) -> Result<(), HubError> {
        if let Some(pidfd) = process::open(&self.process).map_err(HubError::Look)?
            && !process::kill(&pidfd).map_err(HubError::Look)?
        {
            return Err(HubError::Stuck { pid: self.process.pid });
        }
        let _ = fs::remove_file(instance.hub_record());
        let _ = fs::remove_dir(instance.run().join("hub"));
        Ok(())
    }

    /// Where the storage `guid` is attached.
    pub(crate) fn place(guid: &Guid) -> PathBuf {
        Path::new("/int").join(guid.to_string())
    }

    /// Where a user's distribution is attached.
    pub(crate) fn view(guid: &Guid) -> PathBuf {
        Path::new(VIEWS).join(guid.to_string())
    }

    /// The users' distributions whose disks are mounted in it.
    pub(crate) fn views(&self) -> Result<Vec<Guid>, HubError> {
        let table = sampan_sys::mount::mountinfo(Some(self.process.pid)).map_err(HubError::Look)?;
        let guid = |place: &Path| place.strip_prefix(VIEWS).ok()?.to_str()?.parse().ok();
        Ok(table.iter().filter_map(|mounted| guid(&mounted.mount_point)).collect())
    }

    /// Writes back what was written to the disk of a user's distribution that is mounted.
    pub(crate) fn write_view_back(&self, guid: &Guid) -> std::io::Result<()> {
        // Closed before anybody can want to unmount it: the caller has the distribution's turn.
        let place = format!("/proc/{}/root{}", self.process.pid, Self::view(guid).display());
        Ok(rustix::fs::syncfs(File::open(place)?)?)
    }

    /// Shows folders of the host that it does not show yet. Those that are no longer to be shared stay: containers may use
    /// them.
    pub(crate) fn share(&self, guest: &Guest, folders: Vec<SharedFolder>) -> Result<NewlyShared, HubError> {
        let folders: Vec<_> = folders.into_iter().filter(|folder| !self.shows(folder)).collect();
        if folders.is_empty() {
            return Ok(NewlyShared::default());
        }
        let spec = ShareSpec { hub: self.process.clone(), folders };
        match guest.ask("share", &spec, None).map_err(HubError::Share)? {
            Answer::Shared { warnings } => {
                let shown = spec.folders.into_iter().filter(|folder| self.shows(folder));
                Ok(NewlyShared { folders: shown.map(|folder| folder.from).collect(), warnings })
            }
            other => {
                let said = format!("{other:?}");
                Err(HubError::Share(GuestError::Garbled { verb: "share".to_owned(), said }))
            }
        }
    }

    fn shows(&self, folder: &SharedFolder) -> bool {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.pid));
        // A deleted one keeps its number, which may be another one's by now; but nothing leads to it.
        let file = |path: &Path| {
            fs::metadata(path).ok().filter(|found| found.nlink() > 0).map(|found| (found.dev(), found.ino()))
        };
        let shown = file(&root.join(&VIEWS[1..]).join(views::HOST).join(&folder.name));
        shown.is_some() && shown == file(&folder.from)
    }

    /// Mounts an image. `cached`: read it through the host's page cache.
    pub(crate) fn attach(
        &self,
        guest: &Guest,
        image: &Path,
        guid: &Guid,
        cached: bool,
    ) -> Result<(), HubError> {
        let spec = AttachSpec {
            hub: self.process.clone(),
            image: image.to_owned(),
            at: Self::place(guid),
            cached,
            read_only: false,
        };
        guest
            .ask("attach", &spec, None)
            .map(|_| ())
            .map_err(|source| HubError::Attach { image: image.to_owned(), source })
    }

    /// Unmounts an image and waits until nothing holds it.
    pub(crate) fn detach(&self, guest: &Guest, image: &Path, guid: &Guid) -> Result<(), HubError> {
        self.take_off(guest, image, Self::place(guid))?;
        wait_free(image)
    }

    /// Unmounts the image of a user's distribution.
    pub(crate) fn detach_view(&self, guest: &Guest, image: &Path, guid: &Guid) -> Result<(), HubError> {
        self.take_off(guest, image, Self::view(guid))
    }

    fn take_off(&self, guest: &Guest, image: &Path, at: PathBuf) -> Result<(), HubError> {
        let spec = DetachSpec { hub: self.process.clone(), at };
        guest
            .ask("detach", &spec, None)
            .map(|_| ())
            .map_err(|source| HubError::Detach { image: image.to_owned(), source })
    }
}

/// Waits until no loop device holds `image`.
pub(crate) fn wait_free(image: &Path) -> Result<(), HubError> {
    match loopdev::wait_free(image, LOOP_LIMIT) {
        Ok(true) => Ok(()),
        Ok(false) => Err(HubError::Held { image: image.to_owned() }),
        Err(error) => Err(HubError::Look(error)),
    }
}

/// The folders of the host that the settings share and that are there.
pub(crate) fn shared_folders(settings: &Settings) -> Vec<SharedFolder> {
    present(&settings.filesharing_directories)
}

/// Those of `paths` that are folders of the host now.
pub(crate) fn present(paths: &[PathBuf]) -> Vec<SharedFolder> {
    let folders = paths.iter().filter(|folder| folder.is_dir());
    folders
        .filter_map(|from| {
            let name = from.strip_prefix("/").ok()?.to_str()?.to_owned();
            (!name.is_empty()).then(|| SharedFolder { name, from: from.clone() })
        })
        .collect()
}

/// A log file, opened for appending.
pub(crate) fn open_log(path: &Path) -> Result<File, HubError> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| HubError::Folder { path: path.to_owned(), source })
}

fn make_folder(path: &Path) -> Result<(), HubError> {
    fs::create_dir_all(path).map_err(|source| HubError::Folder { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_not_there_are_not_shared() {
        let folder = tempfile::tempdir().unwrap();
        let paths = vec![folder.path().to_owned(), "/no/such/folder".into(), "/".into()];
        let settings = Settings { filesharing_directories: paths, ..Settings::default() };
        let name = folder.path().strip_prefix("/").unwrap().to_str().unwrap().to_owned();
        assert_eq!(shared_folders(&settings), [SharedFolder { name, from: folder.path().to_owned() }]);
    }
}
