//! Making a distribution of an archive or a disk.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use sampan_model::config::distribution::DistributionConf;
use sampan_model::registry::{Entry, Leftover, Phase, Registry};
use sampan_model::size;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::Reply;
use sampan_model::wsl::value::is_distribution_name;

use super::defaults::VERSION;
use super::failure::failure;
use super::probe::Probe;
use super::progress::Progress;
use super::storage::{Place, Storage, cannot, reason};
use super::turns::Doing;
use super::{Asker, Distros, disk_file, guard};
use crate::archive::{Archive, ArchiveError};
use crate::disk;
use crate::disk::content::flaw;
use crate::disk::virtual_disk::{self, DiskFormat};
use crate::platform::fresh_guid;
use crate::tools::ToolError;
use crate::wslconfig::HostConfig;

/// An archive that comes through a pipe takes as long as whoever writes it.
const LIMIT: Duration = Duration::from_hours(12);

/// With so much room left it is not the disk of the host that is full.
const PLENTY: u64 = 64 << 20;

/// A folder that the user chose, and one of ours.
const PUBLIC: u32 = 0o755;
const OWN: u32 = 0o700;

/// What a distribution is made of, and how.
pub(super) struct Import<'a> {
    /// Its name; none: the one that the image gives itself.
    pub(super) name: Option<&'a str>,
    /// Folder for its storage; none: one of our own.
    pub(super) location: Option<&'a Path>,
    /// 1 or 2; none: the version of new distributions.
    pub(super) version: Option<u8>,
    /// The file is a disk, not an archive.
    pub(super) vhd: bool,
    /// The file; a pipe will do for an archive.
    pub(super) file: OwnedFd,
    /// What the client calls the file.
    pub(super) source: &'a str,
    /// The largest size of its disk; none: what `.wslconfig` says.
    pub(super) size_bytes: Option<u64>,
    /// Its first shell runs the image's first-run command.
    pub(super) first_run: bool,
    /// The archive is of a container, and has Docker's mark of one in it.
    pub(super) of_container: bool,
}

/// What is in the file.
enum Content {
    Archive(Archive),
    Disk(File),
}

impl Distros {
    /// Makes a distribution; what is in the registry about it afterwards.
    pub(super) fn import(&self, import: Import<'_>, asker: Asker<'_>) -> Result<Entry, Failure> {
        self.try_import(import, asker).map_err(|failure| failure.in_context(Context::RegisterDistro))
    }

    /// Registers a disk where it is. One in a format of other machines is converted beside it, and stays.
    pub(super) fn import_in_place(
        &self,
        name: &str,
        path: &Path,
        asker: Asker<'_>,
    ) -> Result<Entry, Failure> {
        self.try_import_in_place(name, path, asker)
            .map_err(|failure| failure.in_context(Context::RegisterDistro))
    }

    fn try_import(&self, import: Import<'_>, asker: Asker<'_>) -> Result<Entry, Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        let version = match (import.vhd, import.version) {
            (true, Some(1)) => return Err(Failure::new(Code::Wsl2Needed)),
            (true, _) => 2,
            (false, version) => version.or(registry.default_version).unwrap_or(VERSION),
        };
        if !matches!(version, 1 | 2) {
            return Err(Failure::new(Code::InvalidArg));
        }
        require_disk(version, import.size_bytes)?;
        if let Some(name) = import.name {
            require_name(&registry, name)?;
        }
        let (guid, instance) = (fresh_guid().map_err(failure)?, &self.native.instance);
        let name = import.name.map_or_else(|| guid.to_string(), str::to_owned);
        let mut entry = Entry {
            phase: Phase::Installing,
            first_run: import.first_run,
            ..Entry::new(guid, &name, version)
        };
        let place = match import.location {
            Some(location) => Place::chosen(location)?,
            None => Place::own(instance, &entry),
        };
        entry.base = import.location.map(|_| place.folder.clone());
        entry.leftover =
            Some(Leftover::Folder { folder: place.folder.clone(), made: place.missing, moved: false });
        let storage = Storage::of(instance, &entry);
        place.require_unused(instance, &registry, &entry)?;
        storage.require_free()?;
        let size = import
            .size_bytes
            .map_or_else(|| Size::Usual(HostConfig::read().values.default_vhd_size), Size::Wanted);
        let mut format = DiskFormat::Raw;
        let content = if import.vhd {
            let (file, found) = disk_file::disk_in(import.file.into(), import.source)?;
            format = found;
            Content::Disk(file)
        } else {
            let opened = Archive::open(import.file.into(), asker.cancel);
            let archive = opened.map_err(|error| not_imported(error, &storage, size))?;
            Content::Archive(if import.of_container { archive.of_container() } else { archive })
        };

        let _turn = self.turns.take(guid, Doing::Installing)?;
        self.register(&entry, &place)?;
        let progress = Progress::new(asker, message::progress::IMPORTING);
        let warn =
            |complaint| asker.tell(Reply::Warning { message: format!("{}: {complaint}", import.source) });
        place
            .make(if entry.base.is_some() { PUBLIC } else { OWN })
            .and_then(|()| match content {
                Content::Archive(archive) => self.unpack(archive, &storage, size, &progress, &warn),
                Content::Disk(file) => self.copy_disk(file, format, import.source, &storage, &progress),
            })
            .and_then(|()| storage.probe())
            .map_err(|failure| disk_file::of_copy(failure, import.source, format))
            .and_then(|probe| self.finish(&entry, import.name, &probe))
            .map_err(|failure| self.undo(&entry, failure))
    }

    fn try_import_in_place(&self, name: &str, path: &Path, asker: Asker<'_>) -> Result<Entry, Failure> {
        let registry = self.native.store.current().map_err(failure)?;
        require_name(&registry, name)?;
        if !path.is_absolute() {
            return Err(Failure::new(Code::InvalidArg));
        }
        let path = path.canonicalize().map_err(|error| disk_file::unopened(path, &error))?;
        let (Some(folder), Some(file_name)) = (path.parent(), path.file_name().and_then(|it| it.to_str()))
        else {
            return Err(Failure::new(Code::InvalidArg));
        };
        let shown = path.display().to_string();
        let (file, format) = disk_file::disk_in(disk_file::open_regular(&path)?, &shown)?;
        let (guid, instance) = (fresh_guid().map_err(failure)?, &self.native.instance);
        let mut entry = Entry { base: Some(folder.to_owned()), ..Entry::new(guid, name, 2) };
        let place = Place { folder: folder.to_owned(), missing: false };
        place.require_unused(instance, &registry, &entry)?;
        let _turn = self.turns.take(guid, Doing::Installing)?;
        if format == DiskFormat::Raw {
            entry.disk = Some(file_name.to_owned()).filter(|name| name != disk::IMAGE);
            // Registered as it is, or not at all: nothing is made that could be left.
            Storage::of(instance, &entry).probe()?.note(&mut entry);
            self.register(&entry, &place)?;
            return Ok(entry);
        }
        let storage = Storage::of(instance, &entry);
        storage.require_free()?;
        entry.phase = Phase::Installing;
        entry.leftover = Some(Leftover::Folder { folder: folder.to_owned(), made: false, moved: false });
        self.register(&entry, &place)?;
        let progress = Progress::new(asker, message::progress::IMPORTING);
        self.copy_disk(file, format, &shown, &storage, &progress)
            .and_then(|()| storage.probe())
            .map_err(|failure| disk_file::of_copy(failure, &shown, format))
            .and_then(|probe| self.finish(&entry, Some(name), &probe))
            .map_err(|failure| self.undo(&entry, failure))
    }

    /// Writes down what is about to be made, unless somebody was faster with the name or the folder.
    fn register(&self, entry: &Entry, place: &Place) -> Result<(), Failure> {
        let instance = &self.native.instance;
        let registered = self.native.store.update(|registry| {
            require_name(registry, &entry.name)?;
            place.require_unused(instance, registry, entry)?;
            registry.distributions.push(entry.clone());
            registry.settle_default();
            Ok(())
        });
        registered.map_err(failure)?
    }

    fn unpack(
        &self,
        archive: Archive,
        storage: &Storage,
        size: Size,
        progress: &Progress<'_>,
        warn: &dyn Fn(String),
    ) -> Result<(), Failure> {
        storage.create(size.bytes())?;
        let told = |permille: u16| progress.told(u64::from(permille), 1000);
        let unpacked =
            archive.unpack(&progress.asker.guest(&self.native.guest), storage.root(), LIMIT, &told);
        unpacked.map_err(|error| not_imported(error, storage, size))?.into_iter().for_each(warn);
        Ok(())
    }

    /// Makes the disk of another one.
    fn copy_disk(
        &self,
        from: File,
        format: DiskFormat,
        source: &str,
        storage: &Storage,
        progress: &Progress<'_>,
    ) -> Result<(), Failure> {
        let path = storage.path();
        let to = storage.create_empty()?;
        if format == DiskFormat::Raw {
            let total = from.metadata().map_or(0, |meta| meta.len());
            let copied = disk::copy::copy(&from, &to, &|done| progress.copied(done, total));
            copied.map_err(|error| cannot("write", &path, &error))?;
        } else {
            let guest = progress.asker.guest(&self.native.guest);
            virtual_disk::import(&guest, from, format, storage.folder(), storage.disk()).map_err(
                |error| match error {
                    ToolError::Failed { ref stderr, .. } if !error.is_disk_full() => {
                        disk_file::not_converted(source, format, stderr)
                    }
                    error => not_imported(
                        error.into(),
                        storage,
                        Size::Usual(to.metadata().map_or(0, |meta| meta.len())),
                    ),
                },
            )?;
            let flaw = flaw(&to).map_err(|error| cannot("read", &path, &error))?;
            if let Some(flaw) = flaw {
                return Err(disk_file::no_disk(source, &flaw));
            }
        }
        disk::settle(&to, storage.folder()).map_err(|error| cannot("write", &path, &error))
    }

    /// Takes it into use under the name that the user or the image chose.
    fn finish(&self, entry: &Entry, name: Option<&str>, probe: &Probe) -> Result<Entry, Failure> {
        let own = DistributionConf::parse(&probe.distribution_conf).config.oobe.default_name;
        let is_own = name.is_none();
        let name = match name {
            Some(name) => name.to_owned(),
            None => own.ok_or_else(|| Failure::new(Code::DistributionNameNeeded))?,
        };
        let finished = self.native.store.update(|registry| {
            if registry.find(&name).is_none_or(|other| other.guid != entry.guid) {
                require_name(registry, &name).map_err(|failure| {
                    if is_own && failure == Failure::name_taken() {
                        Failure::own_name_taken()
                    } else {
                        failure
                    }
                })?;
            }
            let found = registry.distributions.iter_mut().find(|other| other.guid == entry.guid);
            let found = found.ok_or_else(|| Failure::new(Code::DistroNotFound))?;
            found.name = name;
            found.phase = Phase::Installed;
            found.leftover = None;
            probe.note(found);
            let finished = found.clone();
            registry.settle_default();
            Ok(finished)
        });
        finished.map_err(failure)?
    }

    /// Removes what was made of a distribution that could not be finished. What can't be removed now is removed when the
    /// service starts.
    fn undo(&self, entry: &Entry, failure: Failure) -> Failure {
        // What is in the way is somebody else's.
        if failure.code == Code::FileExists || self.discard(entry).is_ok() {
            let _ = self.forget(entry);
        }
        failure
    }
}

/// An error unless a new distribution may be called `name`.
pub(super) fn require_name(registry: &Registry, name: &str) -> Result<(), Failure> {
    if !is_distribution_name(name) {
        return Err(Failure::invalid_name(name));
    }
    guard::new_name(name)?;
    if registry.find(name).is_some() { Err(Failure::name_taken()) } else { Ok(()) }
}

fn not_imported(error: ArchiveError, storage: &Storage, size: Size) -> Failure {
    if error.is_disk_full() {
        return no_room(storage, storage.is_disk().then_some(size));
    }
    match error {
        ArchiveError::Tool(ToolError::Failed { stderr, .. }) => not_imported_because(&stderr.join("\n")),
        ArchiveError::Read(error) => {
            not_imported_because(&format!("The file cannot be used: it cannot be read: {}", reason(&error)))
        }
        error @ ArchiveError::NoArchive => not_imported_because(&format!("The file cannot be used: {error}")),
        ArchiveError::Tool(error) => failure(error),
    }
}

pub(super) fn not_imported_because(why: &str) -> Failure {
    Failure::new(Code::ImportFailed).with_message(format!("{}\n{why}", Code::ImportFailed.text()))
}

/// An error when a size is wanted for a disk that a distribution of `version` does not have.
pub(super) fn require_disk(version: u8, size_bytes: Option<u64>) -> Result<(), Failure> {
    if version == 1 && size_bytes.is_some() { Err(Failure::new(Code::Wsl2Needed)) } else { Ok(()) }
}

/// The largest size of a new disk, in bytes, and who says so.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    /// `.wslconfig`, or its default.
    Usual(u64),
    /// The option of an installation.
    Wanted(u64),
}

impl Size {
    fn bytes(self) -> u64 {
        match self {
            Self::Usual(bytes) | Self::Wanted(bytes) => bytes,
        }
    }
}

/// The disk of the host is full, or the new one, which may grow to `size`.
pub(super) fn no_room(storage: &Storage, size: Option<Size>) -> Failure {
    let folder = storage.folder();
    let free = sampan_sys::fs::free_space(folder).unwrap_or(0);
    Failure::new(Code::DiskFull).hint(match size {
        Some(size) if free > PLENTY => {
            let option = match size {
                Size::Usual(_) => "`wsl2.defaultVhdSize` in .wslconfig",
                Size::Wanted(_) => "`--vhd-size`",
            };
            format!("give it more than {}: {option}", size::human(size.bytes()))
        }
        _ => format!("free some space: the disk of {} has {} left", folder.display(), size::human(free)),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sampan_model::distro::Guid;
    use sampan_model::instance::Instance;

    use super::*;

    fn storage(folder: &Path) -> Storage {
        let instance = Instance::new("t", Path::new("/state"), Path::new("/run/x")).unwrap();
        let entry = Entry { base: Some(folder.to_owned()), ..Entry::new(Guid::from_random([1; 16]), "a", 2) };
        Storage::of(&instance, &entry)
    }

    #[test]
    fn a_full_disk_names_what_gave_it_its_size() {
        let storage = storage(&std::env::temp_dir());
        let hint = |size| no_room(&storage, Some(size)).hint.unwrap();
        assert!(hint(Size::Wanted(3 << 30)).ends_with("3 GiB: `--vhd-size`"));
        assert!(hint(Size::Usual(3 << 30)).ends_with("3 GiB: `wsl2.defaultVhdSize` in .wslconfig"));
    }

    #[test]
    fn only_version_2_has_a_disk_to_be_given_a_size() {
        assert_eq!(require_disk(1, Some(3 << 30)).unwrap_err().code, Code::Wsl2Needed);
        assert!(require_disk(2, Some(3 << 30)).is_ok() && require_disk(1, None).is_ok());
    }

    #[test]
    fn nobody_is_told_the_number_of_an_error() {
        let error = ArchiveError::Read(std::io::Error::from_raw_os_error(5));
        let told = not_imported(error, &storage(Path::new("/x")), Size::Usual(1));
        assert!(told.message.ends_with("it cannot be read: Input/output error"), "{told:?}");
        let missing = disk_file::unopened(Path::new("/x"), &std::io::ErrorKind::NotFound.into());
        assert_eq!((missing.code, missing.message.as_str()), (Code::FileNotFound, Code::FileNotFound.text()));
    }
}
