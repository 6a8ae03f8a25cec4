//! What can be mounted: partitions, whole disks, devices.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::tools::Tool;
use sampan_e2e::{disk, files, kernel};
use serde_json::{Value, json};

use super::{
    assert_nothing_attached, folder, instance, mount, name_of, partitioned, plain, record, seen, unmount,
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("mounting::m02_m04_m17_a_partition_with_options", partition),
        Case::new("mounting::m05_m16_two_partitions", two_partitions),
        Case::new("mounting::m01_m07_attached_first_and_mounted_then", bare),
        Case::new("mounting::m08_m10_m11_whole_disks", whole),
        Case::new("mounting::a_device_of_the_machine", device),
        Case::new("mounting::the_disk_of_a_distribution_is_used_once", own_disk),
    ]
}

fn partition() {
    let instance = instance();
    let disk = partitioned(&instance, "one_disk.img");
    let name = name_of(&disk, Some(1));
    let said = mount(&instance, &disk, &["--partition", "1"]);
    assert_eq!(
        said.expect(0).text(),
        format!(
            "The disk was successfully mounted as '/mnt/wsl/{name}'.\n\
             Note: The location will be different if you have modified the automount.root setting in /etc/wsl.conf.\n\
             To unmount and detach the disk, run 'wsl --unmount {}'.\n",
            disk.display()
        ),
        "M02"
    );
    assert_eq!(said.errors(), "");
    for distribution in ["d", "p"] {
        let (kind, options) = seen(&instance, distribution, &name).expect("it is mounted");
        assert_eq!(kind, "ext4");
        assert!(options.contains("nodev"), "a device on a disk is none of this machine: {options}");
    }
    assert_eq!(record(&instance)["disks"][0]["mounts"], json!([{ "partition": 1, "name": name }]));
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);

    mount(&instance, &disk, &["-p", "1", "--options", "data=journal"]).expect(0);
    assert!(seen(&instance, "d", &name).expect("M04").1.contains("data=journal"));
    assert_eq!(record(&instance)["disks"][0]["mounts"][0]["options"], "data=journal", "M04");
    unmount(&instance, &disk).expect(0);
    mount(&instance, &disk, &["-p", "1", "-o", "sync,noatime,noexec"]).expect(0);
    for distribution in ["d", "p"] {
        let (_, options) = seen(&instance, distribution, &name).expect("M17");
        for option in ["sync", "noatime", "noexec"] {
            assert!(options.split(',').any(|one| one == option), "M17: {option}: {options}");
        }
    }
    instance.wsl(&["--unmount"]).expect(0);
    assert_nothing_attached(&instance);
}

fn two_partitions() {
    let instance = instance();
    let disk = partitioned(&instance, "two.img");
    disk::format_partition(&disk, 2, "ext2");
    mount(&instance, &disk, &["-p", "1"]).expect(0);
    // Of another type, as the row has it. Its driver can't shift ids, which is said.
    let said = mount(&instance, &disk, &["-p", "2", "--type", "ext2"]);
    said.expect(0).says("In d the files of").says("belong to nobody");
    for (partition, kind) in [(1, "ext4"), (2, "ext2")] {
        for distribution in ["d", "p"] {
            let found = seen(&instance, distribution, &name_of(&disk, Some(partition)));
            assert_eq!(found.expect("M05").0, kind, "M05: {distribution}");
        }
    }
    assert_eq!(record(&instance)["disks"].as_array().map(Vec::len), Some(1));
    assert_eq!(record(&instance)["disks"][0]["mounts"][1]["type"], "ext2");
    mount(&instance, &disk, &["-p", "2", "-n", "again"]).expect(255).says("already mounted");
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);

    for partition in ["1", "2"] {
        mount(&instance, &disk, &["--name", &format!("Np{partition}"), "-p", partition]).expect(0);
    }
    for name in ["Np1", "Np2"] {
        assert!(seen(&instance, "d", name).is_some(), "M16: {name}");
    }
    let taken = plain(&instance, "taken.img");
    mount(&instance, &taken, &["--name", "Np1"])
        .expect(255)
        .says("Wsl/Service/MountDisk/WSL_E_VM_MODE_MOUNT_NAME_ALREADY_EXISTS");
    instance.inside("p", "mkdir /mnt/wsl/theirs; mount -t tmpfs none /mnt/wsl/theirs").expect(0);
    mount(&instance, &taken, &["--name", "theirs"]).expect(255).says("ALREADY_EXISTS");
    instance.inside("p", "umount /mnt/wsl/theirs").expect(0);
    instance.wsl(&["--unmount"]).expect(0);
    assert_nothing_attached(&instance);
}

fn bare() {
    let instance = instance();
    let disk = partitioned(&instance, "bare.img");
    let said = mount(&instance, &disk, &["--bare"]).ok();
    let [(device, file)] = &kernel::loops_below(&folder(&instance))[..] else { panic!("one device") };
    assert_eq!(file, &disk);
    assert!(said.contains(&format!("attached as '/dev/{device}'")), "M01: {said}");
    assert!(said.ends_with("The operation completed successfully."), "M01: {said}");
    assert_eq!(record(&instance)["disks"][0]["mounts"], json!([]), "M01");
    let begin = format!("test -b /dev/{device} && tail -c +511 /dev/{device} | head -c 2 | od -An -tx1");
    assert_eq!(instance.inside("p", &begin).ok(), "55 aa", "M01");
    instance.inside("d", &format!("test -e /dev/{device}")).expect_failure();
    // Not with a node of its own either, nor any device that is not attached.
    let number = fs::metadata(format!("/dev/{device}")).map(|node| node.rdev()).expect("a device");
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let own = |minor: u32| format!("mknod /tmp/x b {major} {minor}; head -c 1 /tmp/x | wc -c; rm /tmp/x");
    assert!(!instance.inside("d", &own(minor)).all().starts_with('1'));
    assert!(!instance.inside("p", &own(minor + 1)).all().starts_with('1'));
    mount(&instance, &disk, &["--bare"])
        .expect(255)
        .says("Wsl/Service/AttachDisk/WSL_E_DISK_ALREADY_ATTACHED");

    mount(&instance, &disk, &["-p", "1"]).expect(0);
    assert!(seen(&instance, "d", &name_of(&disk, Some(1))).is_some(), "M07");
    assert_eq!(kernel::loops_below(&folder(&instance)).len(), 1, "M07: it is attached once");
    instance.inside("p", &format!("head -c 1 /dev/{device}p1 | wc -c")).expect(0).says("1");
    // A distribution that is started later has it too.
    instance.wsl(&["--terminate", "p"]).expect(0);
    assert_eq!(instance.inside("p", &begin).ok(), "55 aa");
    unmount(&instance, &disk).expect(0);
    instance.inside("p", &format!("test -e /dev/{device} || test -e /dev/{device}p1")).expect_failure();
    assert!(!instance.inside("p", &own(minor)).all().starts_with('1'));
    assert_nothing_attached(&instance);
}

fn whole() {
    let instance = instance();
    let disk = plain(&instance, "whole.img");
    let name = name_of(&disk, None);
    mount(&instance, &disk, &["--type", "ext4", "--vhd"]).expect(0);
    assert_eq!(seen(&instance, "d", &name).expect("M08").0, "ext4");
    assert_eq!(record(&instance)["disks"][0]["mounts"], json!([{ "name": name, "type": "ext4" }]), "M08");
    unmount(&instance, &disk).expect(0);

    let zeroes = disk::empty(&folder(&instance).join("zeroes.img"));
    let nothing = mount(&instance, &zeroes, &[]);
    let path = zeroes.display().to_string();
    assert_eq!(
        nothing.expect(1).text(),
        format!(
            "The disk was attached but failed to mount: no known file system is on it (if there is one, --type says which).\n\
             For more details, see 'sampan logs --unit sampand', and 'dmesg' on this machine.\nTo detach the disk, run 'wsl --unmount {path}'.\n"
        ),
        "M10"
    );
    assert_eq!(kernel::loops_below(&folder(&instance)).len(), 1, "M10: it stays attached");
    unmount(&instance, &zeroes).expect(0);

    for (fstype, reason) in [
        ("squashfs", "failed to mount: Invalid argument"),
        ("no-such-fs", "no file system called 'no-such-fs'"),
        ("tmpfs", "'tmpfs' is no file system of a disk"),
    ] {
        mount(&instance, &disk, &["--type", fstype]).expect(1).says(reason);
    }
    mount(&instance, &disk, &["-o", "no_such_option=1"])
        .expect(1)
        .says("Invalid argument")
        .says("no_such_option");
    mount(&instance, &disk, &["-p", "3"]).expect(1).says("it has no partition 3");
    assert_eq!(record(&instance)["disks"][0]["mounts"], json!([]), "M11");
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn device() {
    let instance = instance();
    let disk = partitioned(&instance, "machine.img");
    let node =
        PathBuf::from(Tool::new("losetup").args(["--find", "--show", "--partscan"]).arg(&disk).run().ok());
    let detach = Detach(&node);
    mount(&instance, &disk, &["-p", "1"]).expect(255).says("ERROR_SHARING_VIOLATION");
    mount(&instance, &node, &["-p", "1", "-n", "first"]).expect(0);
    instance.inside("d", "echo x > /mnt/wsl/first/x").expect(0);
    mount(&instance, &node, &["-p", "2", "-n", "second"]).expect(0);
    unmount(&instance, &node).expect(0);
    assert_eq!(record(&instance), Value::Null);
    // What this machine has mounted is its own.
    let here = instance.identity().state_base().join("mounted");
    files::make_folder(&here);
    let partition = PathBuf::from(format!("{}p1", node.display()));
    let is_node = |path: &Path| fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device());
    let offset = format!("loop,offset={},ro", disk::PARTITIONS[0].0);
    let mounted = if is_node(&partition) {
        Tool::new("mount").arg(&partition).arg(&here).run()
    } else {
        Tool::new("mount").args(["-o", &offset]).arg(&node).arg(&here).run()
    };
    mounted.ok();
    let refused = mount(&instance, &node, &["-p", "1"]);
    disk::unmount(&here);
    if is_node(&partition) {
        refused.expect(255).says("ERROR_SHARING_VIOLATION").says("unmount it on this machine first");
    }
    unmount(&instance, &node);
    // The disk of this machine's root file system, where that is on one.
    let root = fs::metadata("/").map(|found| found.dev()).expect("every machine has a root");
    let root = format!("/dev/block/{}:{}", rustix::fs::major(root), rustix::fs::minor(root));
    let root = fs::canonicalize(&root).or_else(|_| fs::canonicalize("/dev/root")).or_else(|_| own_root());
    if let Ok(root) = root {
        // Some machines let nobody open it at all.
        let said = mount(&instance, &root, &["--bare"]);
        said.expect(255).says_one_of(&["ERROR_SHARING_VIOLATION", "E_ACCESSDENIED"]);
    }
    drop(detach);
    assert_nothing_attached(&instance);
}

/// The device that the root file system is mounted from, by its name.
fn own_root() -> std::io::Result<PathBuf> {
    let mounts = kernel::mounts("self");
    let root = mounts.iter().find(|mount| mount.at == Path::new("/")).map(|mount| mount.source.clone());
    fs::canonicalize(root.unwrap_or_default())
}

/// Detaches a loop device of the test.
struct Detach<'a>(&'a Path);

impl Drop for Detach<'_> {
    fn drop(&mut self) {
        Tool::new("losetup").arg("--detach").arg(self.0).run();
    }
}

fn own_disk() {
    let instance = instance();
    let disk = instance.disk_of("d");
    mount(&instance, &disk, &[]).expect(255).says("ERROR_SHARING_VIOLATION");
    instance.wsl(&["--terminate", "d"]).expect(0);
    mount(&instance, &disk, &["--name", "d"]).expect(0);
    assert_eq!(instance.inside("p", "cat /mnt/wsl/d/etc/os-release | head -1").ok(), "ID=small");
    instance
        .inside("d", "true")
        .expect(255)
        .says("VHD already mounted via wsl --mount")
        .says("Wsl/Service/CreateInstance/MountDisk/WSL_E_USER_VHD_ALREADY_ATTACHED");
    instance.wsl(&["--manage", "d", "--resize", "2GB"]).expect(255).says("currently in use");
    unmount(&instance, &disk).expect(0);
    instance.inside("d", "true").expect(0);
    assert_nothing_attached(&instance);
}
