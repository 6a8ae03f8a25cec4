//! `wsl --mount`: disks of the user's in every distribution, and disks that are damaged.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::{Output, Tool};
use sampan_e2e::{disk, files, kernel, random, roots, waiting};
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("mounting::m02_m04_m17_a_partition_with_options", partition),
        Case::new("mounting::m05_m16_two_partitions", two_partitions),
        Case::new("mounting::m01_m07_attached_first_and_mounted_then", bare),
        Case::new("mounting::m08_m10_m11_whole_disks", whole),
        Case::new("mounting::m13_m22_m23_what_comes_back", restored),
        Case::new("mounting::m14_names_that_are_none", names),
        Case::new("mounting::m19_m20_one_disk_by_many_paths", paths),
        Case::new("mounting::m25_e22_e23_what_is_refused", refused),
        Case::new("mounting::every_distribution_has_its_own_ids", ids),
        Case::new("mounting::a_disk_in_use_stays_and_its_user_is_named", in_use),
        Case::new("mounting::a_systemd_that_ends_takes_no_disk_from_others", systemd),
        Case::new("mounting::a_device_of_the_machine", device),
        Case::new("mounting::the_disk_of_a_distribution_is_used_once", own_disk),
        Case::new("mounting::many_at_once", at_once),
        Case::new("mounting::a_service_that_is_killed_leaves_nothing_half_done", killed),
        Case::new("mounting::a_damaged_disk_is_repaired_or_can_be_looked_at", damaged),
    ]
}

/// An instance with a running distribution `d`, and `p` without a user namespace.
fn instance() -> Instance {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    instance.import("p", &roots::small(), 2);
    instance.sampan(&["distro", "set", "p", "--privileged", "--yes"]).expect(0);
    for name in ["d", "p"] {
        instance.inside(name, "true").expect(0);
    }
    instance
}

/// A folder for disks where what is left of them is found.
fn folder(instance: &Instance) -> PathBuf {
    let folder = instance.identity().state_base().join("disks");
    files::make_folder(&folder);
    folder
}

/// An image with an ext4 file system in each of two partitions.
fn partitioned(instance: &Instance, name: &str) -> PathBuf {
    disk::partitioned(&folder(instance).join(name))
}

/// An image with one ext4 file system.
fn plain(instance: &Instance, name: &str) -> PathBuf {
    disk::formatted(&folder(instance).join(name))
}

/// `wsl --mount DISK` with more words.
fn mount(instance: &Instance, disk: &Path, more: &[&str]) -> Output {
    instance.wsl_tool(&["--mount"]).arg(disk).args(more).run()
}

fn unmount(instance: &Instance, disk: &Path) -> Output {
    instance.wsl_tool(&["--unmount"]).arg(disk).run()
}

/// The name that a disk gets by itself.
fn name_of(disk: &Path, partition: Option<u32>) -> String {
    let name: String = disk.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    let name = &name[name.len().saturating_sub(200)..];
    partition.map_or_else(|| name.to_owned(), |partition| format!("{name}p{partition}"))
}

/// Type and options of what is on top at `/mnt/wsl/NAME`.
#[track_caller]
fn seen(instance: &Instance, distribution: &str, name: &str) -> Option<(String, String)> {
    let at = format!("/mnt/wsl/{name}");
    let table = instance.inside(distribution, "cat /proc/mounts").ok();
    let found =
        table.lines().rev().map(|line| line.split(' ').collect::<Vec<_>>()).find(|line| line[1] == at);
    found.map(|line| (line[2].to_owned(), line[3].to_owned()))
}

/// The record of attached disks; null when there is none.
fn record(instance: &Instance) -> Value {
    let text = fs::read(instance.place().disks_record()).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Requires that no disk is attached.
#[track_caller]
fn assert_nothing_attached(instance: &Instance) {
    assert_eq!(record(instance), Value::Null);
    assert_eq!(kernel::loops_below(&folder(instance)), []);
    for name in ["d", "p"] {
        let table = instance.inside(name, "cat /proc/mounts").ok();
        assert!(!table.contains("/mnt/wsl/"), "{name}: {table}");
    }
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
             For more details, run 'dmesg' inside WSL2.\nTo detach the disk, run 'wsl --unmount {path}'.\n"
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

fn restored() {
    let instance = instance();
    let (disk, other) = (partitioned(&instance, "named.img"), plain(&instance, "other.img"));
    mount(&instance, &disk, &["--name", "N", "-p", "1", "-o", "noexec"]).expect(0);
    mount(&instance, &other, &["--name", "other"]).expect(0);
    instance.inside("d", "echo kept > /mnt/wsl/N/file").expect(0);
    let again = |what: &str| {
        for name in ["d", "p"] {
            assert_eq!(instance.inside(name, "cat /mnt/wsl/N/file").ok(), "kept", "{what}: {name}");
            assert!(
                seen(&instance, name, "N").is_some_and(|(_, options)| options.contains("noexec")),
                "{what}"
            );
        }
    };
    again("at once");
    instance.wsl(&["--terminate", "d"]).expect(0);
    again("a distribution that is started later");

    let hub = instance.hub();
    hub.kill_and_wait();
    for name in ["d", "p"] {
        instance.wsl(&["--terminate", name]).expect(0);
    }
    again("M13: a new hub");

    for name in ["d", "p"] {
        instance.wsl(&["--terminate", name]).expect(0);
    }
    instance.sampan(&["stop"]).expect(0);
    assert!(instance.processes().is_empty());
    assert_eq!(kernel::loops_below(&folder(&instance)), [], "a stopped Sampan holds nothing");
    again("M13: a new start");

    // What can't be mounted any more is told and left out, and stops nothing.
    for name in ["d", "p"] {
        instance.wsl(&["--terminate", name]).expect(0);
    }
    instance.sampan(&["stop"]).expect(0);
    let mut saved = record(&instance);
    saved["disks"][1]["mounts"][0]["type"] = "no-such-fs".into();
    let mut lost = saved["disks"][1].clone();
    lost["path"] = "/no/such/disk".into();
    lost["image"]["inode"] = 1.into();
    saved["disks"].as_array_mut().expect("a list").push(lost);
    files::write(&instance.place().disks_record(), saved.to_string());
    let said = instance.inside("d", "echo up");
    assert_eq!(said.ok(), "up", "M23");
    for word in ["no-such-fs", "/no/such/disk", "N"] {
        assert_eq!(said.errors().contains(word), word != "N", "M23: {word}: {said}");
    }
    again("M23: the others");
    assert_eq!(record(&instance)["disks"].as_array().map(Vec::len), Some(2));

    instance.wsl(&["--shutdown"]).expect(0);
    assert!(!instance.place().disks_record().exists(), "M22");
    assert_eq!(kernel::loops_below(&folder(&instance)), []);
    instance.inside("d", "test -e /mnt/wsl/N").expect_failure();
    // Also what a stopped Sampan would bring back.
    mount(&instance, &disk, &["--name", "N", "-p", "1"]).expect(0);
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.sampan(&["stop"]).expect(0);
    instance.wsl(&["--shutdown"]).expect(0);
    assert!(!instance.place().disks_record().exists(), "M22");
    assert_nothing_attached(&instance);
}

fn names() {
    let instance = instance();
    let disk = plain(&instance, "names.img");
    for name in ["", ".", "..", "foo/bar"] {
        let said = mount(&instance, &disk, &["--name", name]);
        assert_eq!(
            said.expect(255).text(),
            "The mount name cannot be empty, '.', '..', or contain '/'. Please retry with a valid mount name.\n\
             Error code: Wsl/Service/MountDisk/WSL_E_VM_MODE_INVALID_MOUNT_NAME\n",
            "M14: {name:?}"
        );
    }
    assert_eq!(record(&instance)["disks"][0]["mounts"], json!([]), "M14: attached, not mounted");
    mount(&instance, &disk, &["--name", "with blank, ünd more"]).expect(0);
    instance.inside("d", "test -d '/mnt/wsl/with blank, ünd more/lost+found'").expect(0);
    unmount(&instance, &disk).expect(0);
    // What a distribution has put there is not followed.
    instance.inside("p", "ln -s / /mnt/wsl/link; echo > /mnt/wsl/file").expect(0);
    for name in ["link", "file"] {
        mount(&instance, &disk, &["--name", name]).expect(1).says("failed to mount");
    }
    instance.inside("p", "rm /mnt/wsl/link /mnt/wsl/file").expect(0);
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn paths() {
    let instance = instance();
    let disk = plain(&instance, "by path.img");
    let home = folder(&instance);
    std::os::unix::fs::symlink("by path.img", home.join("link")).expect("a link");
    let ways =
        ["by path.img", "./by path.img", "../disks/link", &disk.display().to_string()].map(PathBuf::from);
    for (index, way) in ways.iter().enumerate() {
        let other = &ways[(index + 1) % ways.len()];
        instance.wsl_tool(&["--mount", "--vhd"]).arg(way).folder(&home).run().expect(0);
        assert!(seen(&instance, "d", &name_of(&disk, None)).is_some(), "M19: {}", way.display());
        instance.wsl_tool(&["--unmount"]).arg(other).folder(&home).run().expect(0);
        assert_nothing_attached(&instance);
    }
    let never = plain(&instance, "never.img");
    unmount(&instance, &never).expect(255).says("Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND");
    let nowhere = instance.wsl_tool(&["--unmount", "nowhere.img"]).folder(&home).run();
    assert_eq!(nowhere.code(), Some(255), "M20: {nowhere}");
    // A disk that was deleted meanwhile is still unmounted under its name, and one that took its place is another one.
    mount(&instance, &disk, &["--name", "gone"]).expect(0);
    fs::remove_file(&disk).expect("a file of the test");
    instance.inside("d", "echo x > /mnt/wsl/gone/x").expect(0);
    plain(&instance, "by path.img");
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn refused() {
    let instance = Instance::new();
    instance.import("one", &roots::small(), 1);
    let disk = plain(&instance, "refused.img");
    let said = mount(&instance, &disk, &[]);
    assert_eq!(
        said.expect(255).text(),
        "This operation is only supported by WSL2.\nError code: Wsl/Service/AttachDisk/WSL_E_WSL2_NEEDED\n",
        "M25"
    );
    assert_eq!(kernel::loops_below(&folder(&instance)), []);
    instance.import("d", &roots::small(), 2);
    assert_eq!(
        mount(&instance, Path::new("DoesNotExist"), &[]).expect(255).text(),
        "Failed to attach disk 'DoesNotExist' to WSL2: The system cannot find the file specified. \n\
         Error code: Wsl/Service/AttachDisk/MountDisk/HCS/ERROR_FILE_NOT_FOUND\n",
        "E22"
    );
    assert_eq!(
        unmount(&instance, Path::new("DoesNotExist")).expect(255).text(),
        "The system cannot find the file specified. \n\
         Error code: Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND\n",
        "E23"
    );
    instance.wsl(&["--unmount"]).expect(0);
    mount(&instance, &folder(&instance), &[]).expect(255).says("neither a disk image nor a block device");
    mount(&instance, Path::new("/dev/null"), &[]).expect(255).says("neither a disk image nor a block device");
    let virtual_disk = folder(&instance).join("x.vhdx");
    files::write(&virtual_disk, b"vhdxfile and more");
    let said = mount(&instance, &virtual_disk, &["--vhd"]);
    said.expect(255).says("VHDX").says(&format!("qemu-img convert -O raw '{}'", virtual_disk.display()));
    assert_eq!(kernel::loops_below(&folder(&instance)), []);
    assert_eq!(record(&instance), Value::Null);
}

fn ids() {
    let instance = instance();
    instance.import("e", &roots::small(), 2);
    let disk = plain(&instance, "ids.img");
    // Files as a stranger may have made them.
    let null = "mknod null c 1 3\nset_inode_field null mode 020666\n";
    Tool::new("debugfs").args(["-w", "-f", "/dev/stdin"]).arg(&disk).input(null).run().ok();
    mount(&instance, &disk, &["--name", "shared"]).expect(0);
    let write =
        "cd /mnt/wsl/shared && echo x > root && echo x > ann && chown ann:ann ann && chmod 600 root ann";
    instance.inside("d", write).expect(0);
    for name in ["d", "p", "e"] {
        let owners = instance.inside(name, "cd /mnt/wsl/shared && stat -c %u root ann && cat root ann").ok();
        assert_eq!(owners, "0\n1000\nx\nx", "{name}");
        let ann = ["-d", name, "-u", "ann", "--cd", "/mnt/wsl/shared", "-e", "sh", "-c"];
        instance.wsl_tool(&ann).arg("cat ann && ! cat root").run().expect(0);
        instance.inside(name, "echo > /mnt/wsl/shared/null").expect_failure();
    }
    // On the disk they are what they are inside.
    unmount(&instance, &disk).expect(0);
    let stat = Tool::new("debugfs").args(["-R", "stat ann"]).arg(&disk).run().ok();
    assert!(stat.contains("User:  1000"), "{stat}");
    // Root of one that shares its mounts can take a disk away from all. It is unmounted all the same.
    mount(&instance, &disk, &["--name", "shared"]).expect(0);
    instance.inside("p", "umount /mnt/wsl/shared").expect(0);
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
    // Root of any other can take away its own view, and nothing else.
    mount(&instance, &disk, &["--name", "shared"]).expect(0);
    instance.inside("d", "umount /mnt/wsl/shared; umount /mnt/wsl/shared; umount -l /mnt/wsl").all();
    for name in ["p", "e"] {
        assert_eq!(instance.inside(name, "cat /mnt/wsl/shared/root").ok(), "x", "{name}");
    }
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn in_use() {
    let instance = instance();
    let disk = plain(&instance, "used.img");
    mount(&instance, &disk, &["--name", "used"]).expect(0);
    for name in ["d", "p"] {
        let job = instance
            .wsl_tool(&["-d", name, "--cd", "/mnt/wsl/used", "-e", "sh", "-c", "echo ready; cat"])
            .input_open()
            .spawn();
        job.wait_for_text("ready");
        let said = unmount(&instance, &disk);
        said.expect(255).says("The disk failed to detach: Device or resource busy (used by");
        said.says(&format!(") in {name})")).says("run 'wsl --shutdown'");
        for name in ["d", "p"] {
            instance.inside(name, "echo x > /mnt/wsl/used/x").expect(0);
        }
        assert_eq!(kernel::loops_below(&folder(&instance)).len(), 1);
        drop(job);
        waiting::until("it can be unmounted", || unmount(&instance, &disk).code() == Some(0));
        assert_nothing_attached(&instance);
        mount(&instance, &disk, &["--name", "used"]).expect(0);
    }
    // A mount of its own elsewhere keeps the disk, not its place.
    instance.inside("d", "mkdir -p /srv/own && mount --bind /mnt/wsl/used /srv/own").expect(0);
    let said = unmount(&instance, &disk);
    said.expect(255).says("failed to detach").says(" in d)");
    instance.inside("d", "test -e /srv/own/lost+found && umount /srv/own").expect(0);
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn systemd() {
    let instance = instance();
    instance.import("deb", &roots::debian(), 2);
    instance.sampan(&["distro", "set", "deb", "--privileged", "--yes"]).expect(0);
    instance.inside("deb", "printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf").expect(0);
    instance.wsl(&["--terminate", "deb"]).expect(0);
    let disk = plain(&instance, "kept.img");
    mount(&instance, &disk, &["--name", "kept"]).expect(0);
    for end in [&["--terminate", "deb"][..], &["-d", "deb", "-u", "root", "-e", "systemctl", "poweroff"]] {
        // Until systemd has made a unit of the mount, it would not unmount it either.
        let seen = "until systemctl is-active mnt-wsl-kept.mount; do sleep 0.1; done";
        instance.inside("deb", seen).expect(0);
        // The connection may end with the distribution.
        instance.wsl(end);
        waiting::until("it has stopped", || instance.state_of("deb") == "Stopped");
        for name in ["d", "p"] {
            instance.inside(name, "test -d /mnt/wsl/kept/lost+found").expect(0);
        }
    }
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

fn at_once() {
    let instance = instance();
    let disk = partitioned(&instance, "shared.img");
    let others: Vec<PathBuf> = (0..4).map(|n| plain(&instance, &format!("other-{n}.img"))).collect();
    for _ in 0..3 {
        let mut jobs: Vec<_> = (0..4)
            .map(|n| {
                let partition = if n % 2 == 0 { "1" } else { "2" };
                instance.wsl_tool(&["--mount", "-p", partition]).arg(&disk).spawn()
            })
            .collect();
        jobs.extend(others.iter().map(|other| instance.wsl_tool(&["--mount"]).arg(other).spawn()));
        jobs.push(instance.wsl_tool(&["--terminate", "d"]).spawn());
        jobs.push(instance.wsl_tool(&["-d", "d", "-e", "true"]).spawn());
        let codes: Vec<_> = jobs.into_iter().map(|job| job.finish().code()).collect();
        let done = codes[..8].iter().filter(|code| **code == Some(0)).count();
        assert_eq!(done, 6, "each partition and each disk once: {codes:?}");
        for name in ["d", "p"] {
            for partition in [1, 2] {
                assert!(seen(&instance, name, &name_of(&disk, Some(partition))).is_some(), "{name}");
            }
            for other in &others {
                let test = format!("test \"$(stat -c %u /mnt/wsl/{}/lost+found)\" = 0", name_of(other, None));
                instance.inside(name, &test).expect(0);
            }
        }
        let jobs: Vec<_> = others
            .iter()
            .map(|other| instance.wsl_tool(&["--unmount"]).arg(other).spawn())
            .chain([instance.wsl_tool(&["--unmount"]).arg(&disk).spawn()])
            .collect();
        for job in jobs {
            job.finish().expect(0);
        }
        assert_nothing_attached(&instance);
    }
}

fn killed() {
    let instance = instance();
    let disk = partitioned(&instance, "killed.img");
    let mut moments = random::Sequence::announced("killed while a disk is mounted");
    for round in 0..12 {
        instance.inside("d", "true").expect(0);
        let service = instance.service();
        let words: &[&str] = match round % 3 {
            0 => &["--mount", "-p", "1"],
            1 => &["--mount", "-p", "2"],
            _ => &["--unmount"],
        };
        let job = instance.wsl_tool(words).arg(&disk).spawn();
        // A moment somewhere in the work, which takes about as long.
        waiting::let_pass(std::time::Duration::from_millis(moments.below(60)));
        service.kill_and_wait();
        job.finish();
        // The next one takes over: what it says is attached is, and nothing else.
        instance.inside("p", "true").expect(0);
        let saved = record(&instance);
        assert!(!saved.to_string().contains("pending"), "{saved}");
        let disks = saved["disks"].as_array().cloned().unwrap_or_default();
        assert_eq!(kernel::loops_below(&folder(&instance)).len(), disks.len(), "{saved}");
        let mounts: Vec<Value> =
            disks.iter().flat_map(|disk| disk["mounts"].as_array().cloned().unwrap_or_default()).collect();
        for name in ["d", "p"] {
            for partition in [1, 2] {
                let mounted = mounts.iter().any(|mount| mount["partition"] == partition);
                let at = name_of(&disk, Some(partition));
                assert_eq!(seen(&instance, name, &at).is_some(), mounted, "{name}: {saved}");
                if mounted {
                    let owner = instance.inside(name, &format!("stat -c %u /mnt/wsl/{at}/lost+found")).ok();
                    assert_eq!(owner, "0", "{name}");
                }
            }
        }
    }
    instance.wsl(&["--unmount"]).expect(0);
    assert_nothing_attached(&instance);
}

fn damaged() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    instance.inside("d", "echo precious > /var/file; echo x > /var/victim").expect(0);
    let disk = instance.disk_of("d");
    let stop = || {
        instance.wsl(&["--terminate", "d"]).expect(0);
    };
    let debugfs = |requests: &str| {
        Tool::new("debugfs").args(["-w", "-f", "/dev/stdin"]).arg(&disk).input(requests).run().ok();
    };
    let quiet = |what: &str| {
        let said = instance.inside("d", "touch /var/probe && cat /var/file");
        assert_eq!((said.ok().as_str(), said.errors().as_str()), ("precious", ""), "{what}");
    };
    // The kernel has met an error, and nothing is wrong that can't be mended without asking.
    stop();
    debugfs("set_super_value state 2\nset_super_value free_blocks_count 1\n");
    let said = instance.inside("d", "touch /var/probe && cat /var/file");
    assert_eq!(said.ok(), "precious");
    assert!(said.errors().contains("had errors, which were repaired"), "{said}");
    stop();
    quiet("it is sound again");

    // An inode that no folder leads to: whether it may go is for people to say.
    stop();
    debugfs("unlink /var/victim\nset_super_value state 2\n");
    for _ in 0..2 {
        let said = instance.inside("d", "cat /var/file; touch /var/probe");
        assert!(said.text().contains("precious") && said.code() != Some(0), "{said}");
        let command = format!("`e2fsck -f {}`", disk.display());
        assert!(said.errors().contains("read-only") && said.errors().contains(&command), "{said}");
        stop();
    }
    let repaired = Tool::new("e2fsck").args(["-f", "-y"]).arg(&disk).run();
    assert_eq!(repaired.code(), Some(1), "{repaired}");
    quiet("after the command that was named");
    instance.inside("d", "cat /lost+found/*").expect(0).says("x");

    // The first inodes are gone, the root folder with them: nothing can be looked at.
    stop();
    let table = Tool::new("dumpe2fs").arg(&disk).run().ok();
    let first = table.lines().find_map(|line| line.trim().strip_prefix("Inode table at "));
    let first: u64 = first
        .and_then(|text| text.split(['-', ' ']).next()?.parse().ok())
        .unwrap_or_else(|| panic!("no inode table in {table}"));
    let file = File::options().write(true).open(&disk).expect("the disk");
    file.write_all_at(&[0xff; 4096], first * 4096).expect("room");
    drop(file);
    let said = instance.inside("d", "true");
    said.expect(255).says("WSL_E_DISK_CORRUPTED").says("e2fsck -f");
    assert_eq!(instance.state_of("d"), "Stopped");
}
