//! The block device that a disk is, and its partitions.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sampan_model::guest::BlockDevice;
use sampan_sys::block;

use super::partition;

/// What kind of file an image is that is none of a disk as it is, by its first bytes.
const FOREIGN: [(&[u8], &str); 4] =
    [(b"vhdxfile", "VHDX"), (b"conectix", "VHD"), (b"QFI\xfb", "qcow2"), (b"KDMV", "VMDK")];

/// A whole disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    /// Its path.
    pub(super) node: PathBuf,
    /// Itself.
    pub(super) whole: BlockDevice,
}

impl Device {
    /// The block device at `node`.
    pub(super) fn at(node: &Path) -> io::Result<Self> {
        let number = fs::metadata(node)?.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let name = name_of(&fs::canonicalize(sysfs(major, minor))?)?;
        Ok(Self { node: node.to_owned(), whole: BlockDevice { name, major, minor } })
    }

    /// It and its partitions.
    pub(super) fn all(&self) -> Vec<BlockDevice> {
        std::iter::once(self.whole.clone()).chain(self.partitions().into_iter().map(|(_, one)| one)).collect()
    }

    /// Partition `number`, made known to the kernel if it did not look for it; none: there is no such one.
    pub(super) fn partition(&self, number: u32) -> io::Result<Option<BlockDevice>> {
        if let Some(found) = self.known(Some(number)) {
            return Ok(Some(found));
        }
        let (size, sector) = (self.attribute("size")? * 512, self.attribute("queue/logical_block_size")?);
        let Some(extent) = partition::find(&File::open(&self.node)?, sector, size, number)? else {
            return Ok(None);
        };
        match block::add_partition(&self.node, number, extent.start, extent.length) {
            Ok(()) => Ok(self.known(Some(number))),
            Err(error) => Err(error.errno().into()),
        }
    }

    /// A partition that the kernel knows, or the whole disk.
    pub(super) fn known(&self, partition: Option<u32>) -> Option<BlockDevice> {
        let Some(number) = partition else { return Some(self.whole.clone()) };
        self.partitions().into_iter().find(|(other, _)| *other == number).map(|(_, one)| one)
    }

    fn partitions(&self) -> Vec<(u32, BlockDevice)> {
        let BlockDevice { major, minor, .. } = self.whole;
        let entries = fs::read_dir(sysfs(major, minor)).into_iter().flatten().flatten();
        let partition = |folder: &Path| {
            let number = fs::read_to_string(folder.join("partition")).ok()?.trim().parse().ok()?;
            let text = fs::read_to_string(folder.join("dev")).ok()?;
            let (major, minor) = text.trim().split_once(':')?;
            let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
            Some((number, BlockDevice { name: name_of(folder).ok()?, major, minor }))
        };
        entries.filter_map(|entry| partition(&entry.path())).collect()
    }

    fn attribute(&self, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(sysfs(self.whole.major, self.whole.minor).join(name))?;
        text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// Whether nothing can be written to the device.
pub(super) fn is_read_only(device: &BlockDevice) -> bool {
    let text = fs::read_to_string(sysfs(device.major, device.minor).join("ro"));
    text.is_ok_and(|text| text.trim() == "1")
}

/// What kind of file an image is that has to be converted first; none: the file is the disk.
pub(super) fn foreign_format(image: &Path) -> io::Result<Option<&'static str>> {
    let mut begin = Vec::new();
    File::open(image)?.take(8).read_to_end(&mut begin)?;
    Ok(FOREIGN.iter().find(|(mark, _)| begin.starts_with(mark)).map(|(_, name)| *name))
}

/// What the kernel says of a block device.
fn sysfs(major: u32, minor: u32) -> PathBuf {
    PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
}

fn name_of(folder: &Path) -> io::Result<String> {
    let name = folder.file_name().and_then(OsStr::to_str);
    name.map(str::to_owned).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_disk_is_known_by_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let format = |bytes: &[u8]| {
            sampan_sys::fs::write_atomic(&path, bytes, 0o600).unwrap();
            foreign_format(&path).unwrap()
        };
        assert_eq!(format(b"vhdxfile\0\0"), Some("VHDX"));
        assert_eq!(format(b"conectix"), Some("VHD"));
        assert_eq!(format(b"QFI\xfb\0\0\0\x03"), Some("qcow2"));
        assert_eq!((format(b""), format(b"vhdx"), format(&[0; 512])), (None, None, None));
    }

    #[test]
    fn a_character_device_is_no_block_device() {
        assert!(Device::at(Path::new("/dev/null")).is_err());
    }
}
