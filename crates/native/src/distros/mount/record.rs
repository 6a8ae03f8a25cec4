//! The record of the disks that the user attached: volatile, like what it describes.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sampan_model::instance::Instance;
use sampan_sys::SysError;
use sampan_sys::loopdev::FileId;
use serde::{Deserialize, Serialize};

use crate::process::{read_record, write_record};

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) disks: Vec<Disk>,
}

/// An attached disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Disk {
    /// As the user named it, without links.
    pub(super) path: PathBuf,
    /// Which file an image is, whatever is at its path by now; none: it is a block device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image: Option<Image>,
    /// What of it is mounted.
    pub(super) mounts: Vec<Mounted>,
}

/// The identity of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Image {
    major: u32,
    minor: u32,
    inode: u64,
}

/// A mounted disk or partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mounted {
    /// From 1; none: the whole disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition: Option<u32>,
    /// Its folder below `/mnt/wsl`.
    pub(super) name: String,
    /// The file system, as the user said; none: by its content.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(super) fstype: Option<String>,
    /// Options, as the user said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) options: Option<String>,
    /// It is being mounted or unmounted: if that is cut off, it is to be taken off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) pending: bool,
}

impl From<FileId> for Image {
    fn from(FileId { major, minor, inode }: FileId) -> Self {
        Self { major, minor, inode }
    }
}

impl Image {
    /// The file that was looked at.
    pub(super) fn of(found: &Metadata) -> Self {
        let device = found.dev();
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device), inode: found.ino() }
    }
}

impl Record {
    /// The record of an instance; a damaged one is as good as none.
    pub(super) fn read(instance: &Instance) -> Self {
        read_record(&instance.disks_record()).unwrap_or_default()
    }

    /// Writes it. That of no disks is no file.
    pub(super) fn write(&self, instance: &Instance) -> Result<(), SysError> {
        let path = instance.disks_record();
        if self.disks.is_empty() {
            let _ = fs::remove_file(path);
            return Ok(());
        }
        write_record(&path, self)
    }

    /// Where the disk stands that was attached by this path, or that is the same image.
    pub(super) fn position(&self, path: &Path, image: Option<Image>) -> Option<usize> {
        let same = |disk: &Disk| disk.path == path || (image.is_some() && disk.image == image);
        self.disks.iter().position(same)
    }

    pub(super) fn mounts(&self) -> impl Iterator<Item = &Mounted> {
        self.disks.iter().flat_map(|disk| &disk.mounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_user_said_and_no_more() {
        let base = tempfile::tempdir().unwrap();
        let instance = Instance::new("t", Path::new("/s"), base.path()).unwrap();
        fs::create_dir_all(instance.run()).unwrap();
        let image = Image { major: 254, minor: 0, inode: 7 };
        let mut one =
            Mounted { partition: Some(1), name: "xp1".into(), fstype: None, options: None, pending: true };
        let record = |one: &Mounted| Record {
            disks: vec![Disk { path: "/x".into(), image: Some(image), mounts: vec![one.clone()] }],
        };
        record(&one).write(&instance).unwrap();
        assert_eq!(Record::read(&instance), record(&one));
        one.pending = false;
        record(&one).write(&instance).unwrap();
        let text: serde_json::Value =
            serde_json::from_slice(&fs::read(instance.disks_record()).unwrap()).unwrap();
        assert_eq!(text["disks"][0]["mounts"][0], serde_json::json!({ "partition": 1, "name": "xp1" }));
        assert_eq!(record(&one).position(Path::new("/./x"), None), Some(0));
        assert_eq!(record(&one).position(Path::new("/y"), Some(image)), Some(0));
        assert_eq!(record(&one).position(Path::new("/y"), None), None);
        Record::default().write(&instance).unwrap();
        assert!(!instance.disks_record().exists());
        assert_eq!(Record::read(&instance), Record::default());
    }
}
