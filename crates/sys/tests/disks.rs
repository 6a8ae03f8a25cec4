//! Held loop devices, partitions and who uses them, as the kernel has it.
#![expect(clippy::disallowed_methods, reason = "tests start mke2fs and losetup")]

#[path = "support/single.rs"]
mod single;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use sampan_sys::loopdev::{self, Held, LoopError};
use sampan_sys::mount::{self, MountAttrFlags, Propagation};
use sampan_sys::namespace::Namespaces;
use sampan_sys::{Errno, block};
use single::{in_child, need_root};
use tempfile::TempDir;

fn main() -> ExitCode {
    single::run(&[
        ("a_held_image_stays_until_it_is_let_go", a_held_image_stays_until_it_is_let_go),
        ("what_others_attached_is_not_held", what_others_attached_is_not_held),
        ("a_partition_is_mounted_and_keeps_its_disk", a_partition_is_mounted_and_keeps_its_disk),
    ])
}

const LONG: Duration = Duration::from_secs(10);
const START: u64 = 1 << 20;
const LENGTH: u64 = 16 << 20;

/// An image with an ext4 file system in its second megabyte, in a folder that goes with it.
fn image(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("disk.img");
    File::create(&path).and_then(|file| file.set_len(32 << 20)).expect("sparse file");
    let offset = format!("offset={START}");
    let made =
        Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-E", &offset]).arg(&path).arg("16M").status();
    assert!(made.expect("mke2fs").success());
    path
}

/// A name that no other run has.
fn owner(name: &str) -> String {
    format!("sampan-test-{}-{name}", std::process::id())
}

fn in_mounts(body: impl FnOnce()) {
    in_child(Namespaces::MOUNT, || {
        mount::set_propagation(Path::new("/"), Propagation::Slave, true).expect("slave");
        body();
    });
}

fn a_held_image_stays_until_it_is_let_go() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    let (path, owner) = (image(&folder), owner("stays"));
    let held = loopdev::hold(&path, &owner).expect("hold");
    assert_eq!(loopdev::held(&owner), std::slice::from_ref(&held));
    assert_eq!(loopdev::hold(&path, &owner).expect("again"), held);
    assert_eq!(loopdev::loops_of(&path).expect("loops"), [held.index]);
    let other = loopdev::hold(&path, "somebody else");
    assert!(matches!(other, Err(LoopError::ImageInUse { .. })), "{other:?}");
    // It is found by what it is, not by its number.
    let never = Held { file: loopdev::FileId { inode: 0, ..held.file }, ..held.clone() };
    assert!(loopdev::let_go(&never, &owner, Duration::ZERO).expect("no such"));
    assert!(loopdev::let_go(&held, "somebody else", Duration::ZERO).expect("not theirs"));
    assert_eq!(loopdev::held(&owner), std::slice::from_ref(&held));
    // The image may be gone by then.
    std::fs::remove_file(&path).expect("remove");
    assert!(loopdev::let_go(&held, &owner, LONG).expect("let go"));
    assert_eq!(loopdev::held(&owner), []);
}

fn what_others_attached_is_not_held() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    let path = image(&folder);
    let made = Command::new("losetup").args(["--find", "--show"]).arg(&path).output();
    let device = String::from_utf8(made.expect("losetup").stdout).expect("text");
    let result = loopdev::hold(&path, &owner("others"));
    let detached = Command::new("losetup").arg("--detach").arg(device.trim()).status();
    assert!(matches!(result, Err(LoopError::ImageInUse { .. })), "{result:?}");
    assert!(detached.expect("losetup").success());
}

fn a_partition_is_mounted_and_keeps_its_disk() {
    need_root();
    let folder = TempDir::new().expect("temp folder");
    let (path, owner) = (image(&folder), owner("partition"));
    let held = loopdev::hold(&path, &owner).expect("hold");
    assert_eq!(
        block::add_partition(&held.path, 3, 1 << 40, 1 << 20).expect_err("outside").errno(),
        Errno::INVAL
    );
    block::add_partition(&held.path, 3, START, LENGTH).expect("partition");
    assert_eq!(
        block::add_partition(&held.path, 4, START, LENGTH).expect_err("overlaps").errno(),
        Errno::BUSY
    );
    let partition = PathBuf::from(format!("{}p3", held.path.display()));
    let number =
        std::fs::read_to_string(format!("/sys/block/loop{0}/loop{0}p3/dev", held.index)).expect("sysfs");
    let (major, minor) = number.trim().split_once(':').expect("numbers");
    let device = rustix::fs::makedev(major.parse().expect("major"), minor.parse().expect("minor"));
    assert!(!block::is_claimed(&held.path).expect("claimed"));
    in_mounts(|| {
        // Without devtmpfs nobody makes the node.
        mount::mount_tmpfs(Path::new("/dev"), "mode=755").expect("tmpfs");
        for (path, device) in [(&partition, device), (&held.path, rustix::fs::makedev(7, held.index))] {
            let kind = rustix::fs::FileType::BlockDevice;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, 0o600.into(), device).expect("mknod");
        }
        let none = mount::new_on_device("squashfs", &partition, &[], MountAttrFlags::empty());
        assert!(
            none.expect_err("no squashfs").to_string().starts_with("cannot mount squashfs from /dev/loop")
        );
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOATIME;
        let tree = mount::new_on_device("ext4", &partition, &[("data", Some("journal"))], attributes);
        let target = folder.path();
        mount::attach(tree.expect("ext4"), target).expect("attach");
        let table = mount::mountinfo(None).expect("table");
        let entry = table.iter().find(|entry| entry.mount_point == target).expect("mounted");
        assert_eq!(entry.source, partition.as_os_str());
        assert!(entry.options.contains("nodev") && entry.options.contains("noatime"), "{}", entry.options);
        assert!(entry.super_options.contains("data=journal"), "{}", entry.super_options);
        assert!(block::is_claimed(&held.path).expect("claimed"), "the disk of a mounted partition");
        assert!(!loopdev::let_go(&held, &owner, Duration::ZERO).expect("in use"));
        assert!(!block::wait_unclaimed(&held.path, Duration::ZERO).expect("wait"));
        mount::unmount(target, false).expect("unmount");
        assert!(block::wait_unclaimed(&held.path, LONG).expect("wait"));
    });
    assert!(loopdev::let_go(&held, &owner, LONG).expect("let go"));
    assert!(!Path::new(&format!("/sys/block/loop{0}/loop{0}p3", held.index)).exists());
}
