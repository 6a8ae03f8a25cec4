//! A file that the user calls a disk: whether it is one, and what is said when it is none.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use sampan_model::wsl::error::{Code, Failure};

use super::import::not_imported_because;
use super::storage::{cannot, reason};
use crate::disk::content::{Flaw, flaw};
use crate::disk::virtual_disk::DiskFormat;

/// What qemu-img calls the file that it is given.
const INPUT: &str = "/proc/self/fd/0";

/// The disk in a file, which is called `source`; an error when it is none.
pub(super) fn disk_in(file: File, source: &str) -> Result<(File, DiskFormat), Failure> {
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(not_imported_because("A disk cannot come through a pipe.").hint("give it as a file"));
    }
    let unreadable =
        |error: std::io::Error| not_imported_because(&format!("{source} cannot be read: {}", reason(&error)));
    let format = DiskFormat::of(&file).map_err(unreadable)?;
    if format == DiskFormat::Raw
        && let Some(flaw) = flaw(&file).map_err(unreadable)?
    {
        return Err(no_disk(source, &flaw));
    }
    Ok((file, format))
}

/// A file for reading. Looked at before it is opened: opening a pipe waits for ever.
pub(super) fn open_regular(path: &Path) -> Result<File, Failure> {
    let meta = std::fs::metadata(path).map_err(|error| unopened(path, &error))?;
    if !meta.is_file() {
        let (what, hint) = if meta.is_dir() {
            ("is a folder, not the file of a disk", "name the disk in it, such as ext4.img")
        } else {
            ("is no regular file", "only a disk in a file can be registered; `wsl --mount` is for others")
        };
        let message = format!("{} {what}.", path.display());
        return Err(Failure::new(Code::InvalidArg).with_message(message).hint(hint));
    }
    File::open(path).map_err(|error| unopened(path, &error))
}

/// An error for a file that can't be opened or found.
pub(super) fn unopened(path: &Path, error: &std::io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound => Failure::new(Code::FileNotFound).hint(format!("there is no file {shown}")),
        ErrorKind::NotADirectory => {
            Failure::new(Code::PathNotFound).hint(format!("there is no file {shown}"))
        }
        _ => cannot("open", path, error),
    }
}

/// What is said of a file that is no disk to be used.
pub(super) fn no_disk(source: &str, flaw: &Flaw) -> Failure {
    let code = if matches!(flaw, Flaw::Archive(_)) { Code::ImportFailed } else { Code::DiskCorrupted };
    let failure = Failure::new(code).with_message(format!("{}\n{source} {flaw}.", code.text()));
    match flaw {
        Flaw::Archive(_) => failure.hint(format!("`wsl --import NAME FOLDER {source}` imports an archive")),
        Flaw::Format(format) => failure.hint(format!(
            "`qemu-img convert -f {format} -O raw {source} disk.img` makes a disk of it that can be imported"
        )),
        Flaw::Partitions => failure
            .hint("only a disk that is one file system can be imported; `wsl --mount` shows partitions"),
        Flaw::FileSystem(_) | Flaw::Unknown => failure
            .hint("a disk with ext4 is needed; of anything else make an archive with tar, and import that"),
        Flaw::Empty | Flaw::CutOff { .. } => failure.hint("copy the file again from where it came from"),
    }
}

/// What is said when qemu-img could not read a disk; `stderr`: its own words.
pub(super) fn not_converted(source: &str, format: DiskFormat, stderr: &[String]) -> Failure {
    let why = stderr.join("\n").replace(INPUT, source);
    let why = if why.is_empty() { "qemu-img gave no reason".to_owned() } else { why };
    not_imported_because(&format!("{source} cannot be read as a disk in the format {format}.\n{why}"))
        .hint("copy the file again from where it came from: it is damaged or cut off")
}

/// The failure of a copy of `source`, which is removed again: nobody is to be sent there.
pub(super) fn of_copy(failure: Failure, source: &str, format: DiskFormat) -> Failure {
    if failure.code != Code::DiskCorrupted {
        return failure;
    }
    failure.hint(match format {
        DiskFormat::Raw => format!("`e2fsck -f {source}` repairs what can be repaired; then import it again"),
        _ => format!(
            "`qemu-img convert -O raw {source} disk.img`, then `e2fsck -f disk.img` repairs what can be repaired; then \
             import that"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flaw_has_a_sentence_and_a_way_out() {
        let flaws = [
            (Flaw::Empty, Code::DiskCorrupted, "d is empty."),
            (Flaw::Archive("gzip"), Code::ImportFailed, "d is an archive (gzip), not a disk."),
            (Flaw::Format("qcow2"), Code::DiskCorrupted, "d is a disk in the format qcow2."),
            (Flaw::FileSystem("XFS"), Code::DiskCorrupted, "d has the file system XFS, not ext4."),
            (Flaw::Unknown, Code::DiskCorrupted, "d has no file system that is known here."),
        ];
        for (flaw, code, sentence) in flaws {
            let told = no_disk("d", &flaw);
            assert_eq!(told.code, code);
            assert_eq!(
                told.message,
                format!("{}\n{sentence}", code.text()),
                "the words of wsl.exe come first"
            );
            assert!(told.hint.is_some(), "{told:?}");
        }
    }

    #[test]
    fn a_file_that_was_given_is_called_as_the_user_calls_it() {
        let said = ["qemu-img: Could not open '/proc/self/fd/0': Invalid argument".to_owned()];
        let told = not_converted("/x/d.vhdx", DiskFormat::Vhdx, &said);
        assert!(told.message.ends_with("qemu-img: Could not open '/x/d.vhdx': Invalid argument"), "{told:?}");
        let copy = Failure::new(Code::DiskCorrupted).hint("e2fsck of a file that is gone");
        let told = of_copy(copy, "/x/d.img", DiskFormat::Raw).hint.unwrap();
        assert!(told.starts_with("`e2fsck -f /x/d.img`"), "{told}");
        let other = Failure::new(Code::NotALinuxDistro);
        assert_eq!(of_copy(other.clone(), "/x", DiskFormat::Raw), other);
    }
}
