//! Writing a distribution to a file.

use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::time::Duration;

use sampan_backend::error::chain;
use sampan_model::registry::Entry;
use sampan_model::wsl::error::{Code, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Format, Reply};

use super::failure::failure;
use super::progress::Progress;
use super::storage::{Storage, cannot, reason};
use super::turns::Doing;
use super::watch::END;
use super::{Asker, Distros, guard};
use crate::archive::{self, ArchiveError, Filter};
use crate::disk::copy::copy;
use crate::disk::virtual_disk::{self, DiskFormat};
use crate::tools::ToolError;

/// A large distribution, strongly compressed, into a pipe that is read slowly.
const LIMIT: Duration = Duration::from_hours(24);

impl Distros {
    /// Writes a distribution, which ends for it, to a file or pipe. `file_name`: what the client calls it.
    pub(super) fn export(
        &self,
        name: &str,
        format: Format,
        file: OwnedFd,
        file_name: &str,
        asker: Asker<'_>,
    ) -> Result<(), Failure> {
        let entry = self.find_whole(name)?;
        guard::stopped(&entry.name, self.engine_runs()?)?;
        let file = File::from(file);
        // Of a file that the caller opened to append to it, what is there stays.
        let before = length(&file);
        let regular = before.is_some();
        let disk = match format {
            Format::Vhd if entry.version == 1 => return Err(Failure::new(Code::Wsl2Needed)),
            Format::Vhd if !regular => {
                return Err(not_exported_because("A disk cannot go through a pipe.").hint("give a file"));
            }
            Format::Vhd => {
                Some(DiskFormat::of_name(file_name).ok_or_else(|| Failure::wrong_extension(".vhdx"))?)
            }
            Format::Tar | Format::TarGz | Format::TarXz => None,
        };
        let _turn = self.turns.take(entry.guid, Doing::Exporting)?;
        let entry = self.find_again(&entry)?;
        let mut storage = Storage::of(&self.native.instance, &entry);
        if disk.is_none() && entry.version == 2 && self.ends_in_use(&entry, asker)? {
            storage = storage.in_use();
        } else {
            self.ensure_stopped(&entry)?;
        }
        let output = file.try_clone().map_err(|error| not_written(file_name, &error))?;
        let progress = Progress::new(asker, message::progress::EXPORTING);
        let written = match disk {
            Some(format) => self.write_disk(&storage, format, output, file_name, &progress),
            None => self.write_archive(&entry, &storage, filter(format), output, file_name, &progress),
        };
        let kept = written.and_then(|()| match file.sync_all() {
            Err(error) if regular => Err(not_written(file_name, &error)),
            _ => Ok(()),
        });
        kept.inspect_err(|_| {
            // Half an archive is none.
            let _ = before.map(|length| file.set_len(length));
        })
    }

    /// Ends a distribution whose files are read. Whether its disk is for containers then, which go on with it.
    fn ends_in_use(&self, entry: &Entry, asker: Asker<'_>) -> Result<bool, Failure> {
        self.stop(&entry.guid, END)?;
        let writers = self.native.layers.told_of_writers(entry);
        let in_use = writers.is_some() || self.native.layers.is_attached(&entry.guid);
        if let Some(message) = writers {
            asker.tell(Reply::Warning { message });
        }
        Ok(in_use)
    }

    fn write_archive(
        &self,
        entry: &Entry,
        storage: &Storage,
        filter: Filter,
        output: File,
        file_name: &str,
        progress: &Progress<'_>,
    ) -> Result<(), Failure> {
        let total = storage.used_bytes()?;
        let written = output.try_clone().map_err(|error| not_written(file_name, &error))?;
        let regular = length(&output).is_some();
        let told = |bytes| {
            progress.told(bytes, total);
            // While tar reads on. A pipe has nothing to be written back.
            let _ = sampan_sys::fs::begin_write_back(&written);
        };
        let guest = progress.asker.guest(&self.native.guest);
        let packed = archive::pack(&guest, storage.root(), filter, output, LIMIT, &told);
        // One that was stopped lets go of the disk a moment after its end.
        let _ = storage.wait_free();
        for complaint in packed.map_err(|error| not_exported(error, file_name, regular))? {
            progress.asker.tell(Reply::Warning { message: format!("{}: {complaint}", entry.name) });
        }
        Ok(())
    }

    fn write_disk(
        &self,
        storage: &Storage,
        format: DiskFormat,
        output: File,
        file_name: &str,
        progress: &Progress<'_>,
    ) -> Result<(), Failure> {
        // A damaged disk is not handed on as a good one.
        storage.used_bytes()?;
        let image = storage.path();
        if format != DiskFormat::Raw {
            let written =
                virtual_disk::export(&progress.asker.guest(&self.native.guest), &image, format, output);
            return written.map_err(|error| not_exported(error.into(), file_name, true));
        }
        let from = File::open(&image).map_err(|error| cannot("read", &image, &error))?;
        let total = from.metadata().map_or(0, |meta| meta.len());
        copy(&from, &output, &|done| progress.copied(done, total))
            .map_err(|error| not_written(file_name, &error))
    }
}

fn filter(format: Format) -> Filter {
    match format {
        Format::TarGz => Filter::Gzip,
        Format::TarXz => Filter::Xz,
        Format::Tar | Format::Vhd => Filter::None,
    }
}

/// The length of a regular file.
fn length(file: &File) -> Option<u64> {
    file.metadata().ok().filter(Metadata::is_file).map(|meta| meta.len())
}

/// `regular`: it was written to a regular file, not to a pipe or device.
fn not_exported(error: ArchiveError, file_name: &str, regular: bool) -> Failure {
    // Of a disk that takes the beginning of a record and not its end, tar says no more than that; and no more of a pipe
    // whose reader goes in the middle of one.
    let cut_short = |stderr: &[String]| stderr.iter().any(|line| line.contains("Wrote only"));
    match error {
        error if error.is_disk_full() => full(file_name),
        ArchiveError::Tool(ToolError::Failed { stderr, .. }) if cut_short(&stderr) && regular => {
            full(file_name)
        }
        ArchiveError::Tool(ToolError::Failed { stderr, .. }) if cut_short(&stderr) => {
            not_exported_because(&format!("{}\nBroken pipe", stderr.join("\n")))
        }
        ArchiveError::Tool(ToolError::Failed { stderr, .. }) => not_exported_because(&stderr.join("\n")),
        ArchiveError::Tool(error) => failure(error),
        error => not_exported_because(&chain(&error)),
    }
}

fn not_exported_because(why: &str) -> Failure {
    Failure::new(Code::ExportFailed).with_message(format!("{}\n{why}", Code::ExportFailed.text()))
}

fn not_written(file_name: &str, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return full(file_name);
    }
    not_exported_because(&format!("Cannot write {file_name}: {}", reason(error)))
}

fn full(file_name: &str) -> Failure {
    Failure::new(Code::DiskFull).hint(format!("free some space on the disk of {file_name}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_record_cut_short_is_a_full_disk_of_a_file_and_a_broken_pipe_of_a_pipe() {
        let error = || {
            let stderr = vec!["tar: -: Wrote only 4096 of 10240 bytes".to_owned()];
            let status = ExitStatus::from_raw(2 << 8);
            ArchiveError::Tool(ToolError::Failed { program: "tar".to_owned(), status, stderr })
        };
        assert_eq!(not_exported(error(), "f", true).code, Code::DiskFull);
        let pipe = not_exported(error(), "<stdout>", false);
        assert_eq!(pipe.code, Code::ExportFailed);
        assert!(pipe.message.ends_with("\nBroken pipe"), "{pipe:?}");
    }
}
