//! Options of mount(8): what concerns the mount, what the file system, and what neither.

use anyhow::bail;
use sampan_sys::mount::MountAttrFlags;

/// Options of a mount.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options<'a> {
    /// Of the mount itself.
    pub(super) attributes: MountAttrFlags,
    /// Of the file system: a name, with or without a value.
    pub(super) data: Vec<(&'a str, Option<&'a str>)>,
}

/// What tells mount(8) and its relatives something, and the kernel nothing. `dev` is among them: see [`Options::parse`].
const OF_PROGRAMS: [&str; 12] = [
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail", "dev",
    "loop",
];

impl<'a> Options<'a> {
    /// Splits `a,b=c`; of two that contradict each other the last one counts. Device files never work: those of a disk that
    /// anybody made would be devices of this machine.
    pub(super) fn parse(text: &'a str) -> Self {
        let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        let mut data = Vec::new();
        for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            if OF_PROGRAMS.contains(&option) || option.starts_with("x-") || option.starts_with("comment=") {
                continue;
            }
            if let Some((set, clear)) = attribute(option) {
                attributes = attributes.difference(clear).union(set);
                // Read-only is said of both.
                if !matches!(option, "ro" | "rw") {
                    continue;
                }
            }
            data.push(match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            });
        }
        Self { attributes, data }
    }

    /// A disk may ask that the kernel stops at its first error. This machine is not to end by somebody's disk.
    pub(super) fn made_harmless(mut self, fstype: &str) -> anyhow::Result<Self> {
        if let Some((name, _)) = self.data.iter().find(|(_, value)| *value == Some("panic")) {
            bail!("{name}=panic would stop this machine at an error of the disk");
        }
        // What ext4 takes from the superblock where nothing is said.
        if fstype.starts_with("ext") && !self.data.iter().any(|(name, _)| *name == "errors") {
            self.data.push(("errors", Some("remount-ro")));
        }
        Ok(self)
    }
}

/// What an option sets and what it clears, if it concerns the mount.
fn attribute(option: &str) -> Option<(MountAttrFlags, MountAttrFlags)> {
    use MountAttrFlags as Flag;
    const NONE: MountAttrFlags = MountAttrFlags::empty();
    let times = Flag::MOUNT_ATTR_NOATIME | Flag::MOUNT_ATTR_STRICTATIME;
    Some(match option {
        "ro" => (Flag::MOUNT_ATTR_RDONLY, NONE),
        "rw" => (NONE, Flag::MOUNT_ATTR_RDONLY),
        "nodev" => (Flag::MOUNT_ATTR_NODEV, NONE),
        "nosuid" => (Flag::MOUNT_ATTR_NOSUID, NONE),
        "suid" => (NONE, Flag::MOUNT_ATTR_NOSUID),
        "noexec" => (Flag::MOUNT_ATTR_NOEXEC, NONE),
        "exec" => (NONE, Flag::MOUNT_ATTR_NOEXEC),
        "noatime" => (Flag::MOUNT_ATTR_NOATIME, times),
        "strictatime" => (Flag::MOUNT_ATTR_STRICTATIME, times),
        "atime" | "relatime" | "norelatime" | "nostrictatime" => (NONE, times),
        "nodiratime" => (Flag::MOUNT_ATTR_NODIRATIME, NONE),
        "diratime" => (NONE, Flag::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => (Flag::MOUNT_ATTR_NOSYMFOLLOW, NONE),
        "symfollow" => (NONE, Flag::MOUNT_ATTR_NOSYMFOLLOW),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_mount_and_data_of_the_file_system() {
        let found = Options::parse("noatime, data=ordered,sync,,nosuid,x-systemd.automount,defaults,ro");
        let flags = MountAttrFlags::MOUNT_ATTR_NOATIME
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_RDONLY;
        assert_eq!(found.attributes, flags);
        assert_eq!(found.data, [("data", Some("ordered")), ("sync", None), ("ro", None)]);
    }

    #[test]
    fn no_disk_stops_the_machine() {
        let data = |text, fstype| Options::parse(text).made_harmless(fstype).map(|options| options.data);
        assert_eq!(data("", "ext4").unwrap(), [("errors", Some("remount-ro"))]);
        assert_eq!(data("errors=continue", "ext2").unwrap(), [("errors", Some("continue"))]);
        assert_eq!(data("", "xfs").unwrap(), []);
        for (text, fstype) in [
            ("errors=panic", "ext4"),
            ("errors=continue,errors=panic", "f2fs"),
            ("fatal_errors=panic", "btrfs"),
        ] {
            assert!(data(text, fstype).unwrap_err().to_string().contains("would stop this machine"));
        }
    }

    #[test]
    fn the_last_word_counts_and_devices_never_work() {
        assert_eq!(Options::parse("").attributes, MountAttrFlags::MOUNT_ATTR_NODEV);
        let found = Options::parse("noexec,dev,exec,noatime,strictatime,suid");
        assert_eq!(
            found.attributes,
            MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_STRICTATIME
        );
        assert_eq!(found.data, []);
        assert_eq!(Options::parse("ro,rw").attributes, MountAttrFlags::MOUNT_ATTR_NODEV);
        assert_eq!(Options::parse("a=b=c").data, [("a", Some("b=c"))]);
    }
}
