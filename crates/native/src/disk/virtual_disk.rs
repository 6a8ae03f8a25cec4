//! Disks in the formats of virtual machines on Windows: told by their first bytes, read and written by qemu-img.
//!
//! Only these two: neither can name another file of the host, which the disk would then show.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::guest::{ConfineSpec, ConfinedRoot, ConfinedTree};

use crate::tools::guest::Guest;
use crate::tools::{ToolError, find};

/// A terabyte takes hours on a slow disk.
const LIMIT: Duration = Duration::from_hours(12);

/// A format that a disk can be imported from or exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFormat {
    /// As it is used here.
    Raw,
    Vhd,
    Vhdx,
}

impl DiskFormat {
    /// By the ending of a file's name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let ending = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "vhdx" => Self::Vhdx,
            "vhd" => Self::Vhd,
            "img" | "raw" => Self::Raw,
            _ => return None,
        })
    }

    /// By the content: VHDX begins with a signature (MS-VHDX 2.2.1), VHD ends with one, and a growing one begins with it,
    /// too ("Virtual Hard Disk Image Format Specification", Hard Disk Footer).
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let has = |signature: &[u8; 8], offset: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, offset).is_ok_and(|()| bytes == *signature)
        };
        Ok(match () {
            () if has(b"vhdxfile", 0) => Self::Vhdx,
            () if has(b"conectix", 0) || has(b"conectix", length.saturating_sub(512)) => Self::Vhd,
            () => Self::Raw,
        })
    }

    fn name_for_qemu(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
        }
    }

    fn options(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            // To the byte: otherwise it is rounded up to a whole number of cylinders.
            Self::Vhd => Some("force_size=on"),
            // Pieces as small as WSL's own, or a small disk is a large file.
            Self::Vhdx => Some("block_size=1M"),
        }
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Vhd => "VHD",
            Self::Vhdx => "VHDX",
        })
    }
}

/// Makes the new image `folder`/`name` of a disk in another format.
pub(crate) fn import(
    guest: &Guest,
    from: File,
    format: DiskFormat,
    folder: &Path,
    name: &str,
) -> Result<(), ToolError> {
    let tree = tree("/target", folder, true);
    let tool = guest
        .confine("qemu-img", &ConfineSpec { trees: vec![tree], input: None }, LIMIT)
        .input_from(from)
        .arg(qemu_img()?)
        .args(["convert", "-q", "-f", format.name_for_qemu(), "-O", "raw", "-S", "4k", "/proc/self/fd/0"])
        .arg(format!("/target/{name}"));
    tool.output().map(drop)
}

/// Writes an image to the file `to` in another format.
pub(crate) fn export(guest: &Guest, image: &Path, format: DiskFormat, to: File) -> Result<(), ToolError> {
    let folder = image.parent().unwrap_or(image);
    let name = image.file_name().unwrap_or_default();
    let tree = tree("/source", folder, false);
    let tool = guest
        .confine("qemu-img", &ConfineSpec { trees: vec![tree], input: None }, LIMIT)
        // Standard output is what the program says; its file is its standard input.
        .input_from(to)
        .arg(qemu_img()?)
        .args(["convert", "-q", "-f", "raw", "-O", format.name_for_qemu(), "-S", "4k"])
        .args(format.options().map(|options| format!("-o{options}")))
        .arg(Path::new("/source").join(name))
        .arg("/proc/self/fd/0");
    tool.output().map(drop)
}

fn tree(at: &str, folder: &Path, writable: bool) -> ConfinedTree {
    ConfinedTree { at: PathBuf::from(at), root: ConfinedRoot::Folder { path: folder.to_owned() }, writable }
}

fn qemu_img() -> Result<PathBuf, ToolError> {
    find("qemu-img").ok_or_else(|| ToolError::Missing { program: "qemu-img".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_name_and_by_content() {
        for (name, format) in [
            ("C:\\disk.VHDX", Some(DiskFormat::Vhdx)),
            ("/x/disk.vhd", Some(DiskFormat::Vhd)),
            ("disk.img", Some(DiskFormat::Raw)),
            ("disk.qcow2", None),
            ("vhdx", None),
        ] {
            assert_eq!(DiskFormat::of_name(name), format, "{name}");
        }
        let file = tempfile::tempfile().unwrap();
        assert_eq!(DiskFormat::of(&file).unwrap(), DiskFormat::Raw);
        file.write_all_at(b"conectix", 10_000 - 512).unwrap();
        file.set_len(10_000).unwrap();
        assert_eq!(DiskFormat::of(&file).unwrap(), DiskFormat::Vhd);
        file.write_all_at(b"vhdxfile", 0).unwrap();
        assert_eq!(DiskFormat::of(&file).unwrap(), DiskFormat::Vhdx);
    }
}
