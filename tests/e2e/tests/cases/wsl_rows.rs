//! Rows of the behaviour tables that no other topic has.

use std::fs;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, kernel, roots, shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("wsl_rows::i38_i40_the_default_user", default_user),
        Case::new("wsl_rows::i25_i29_e25_lost_and_taken_places", places),
        Case::new("wsl_rows::i37_a_distribution_being_exported_is_left_alone", locked),
        Case::new("wsl_rows::e34_q35_listing_and_a_missing_archive", listing),
        Case::new("wsl_rows::l20_host_folders_are_seen_unless_switched_off", host_folders),
        Case::new("wsl_rows::l13_l14_l16_cgroups_are_each_distribution_s_own", cgroups),
        Case::new("wsl_rows::l19_our_program_inside_is_read_only", program),
        Case::new("wsl_rows::l23_a_mount_that_asks_holds_no_start_up", asking_mount),
    ]
}

fn default_user() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let id = || instance.wsl(&["-d", "d", "--cd", "/", "-e", "id", "-u"]).ok();
    assert_eq!(id(), "0");
    instance.wsl(&["--manage", "d", "--set-default-user", "ann"]).expect(0);
    assert_eq!(id(), "1000", "I38");
    let unknown = instance.wsl(&["--manage", "d", "--set-default-user", "Nonexistent"]);
    unknown.expect(1);
    assert_eq!(unknown.text(), "", "I40: what is said is said by id");
    assert!(unknown.errors().contains("Nonexistent"), "I40: {unknown}");
    assert_eq!(id(), "1000", "I40");
    instance.wsl(&["--manage", "d", "--set-default-user", "root"]).expect(0);
    assert_eq!(id(), "0", "I38");
}

fn places() {
    let instance = Instance::new();
    let folder = instance.import("d", &roots::small(), 2);
    let other = instance.import("o", &roots::small(), 2);
    let taken = instance.wsl_tool(&["--manage", "d", "--move"]).arg(&other).run();
    taken.expect(255).says("The supplied install location is already in use.");
    taken.says("Wsl/Service/MoveDistro/ERROR_FILE_EXISTS");
    assert!(folder.join("ext4.img").exists() && other.join("ext4.img").exists(), "I29");
    let disk = folder.join("ext4.img");
    fs::rename(&disk, folder.join("aside")).expect("nothing has it");
    let lost = instance.wsl(&["-d", "d", "-e", "true"]);
    lost.expect(255).says("Failed to attach disk").says(&disk.display().to_string());
    lost.says("Wsl/Service/CreateInstance/MountDisk/HCS/ERROR_");
    files::write(&disk, vec![0; 1 << 20]);
    let broken = instance.wsl_tool(&["--export", "d"]).arg(instance.scratch("x").join("x.tar")).run();
    broken.expect(255).says("WSL_E_DISK_CORRUPTED");
    assert!(!instance.scratch("x").join("x.tar").exists(), "I25");
    fs::rename(folder.join("aside"), &disk).expect("nothing has it");
    assert_eq!(instance.inside("d", "echo back").ok(), "back", "E25");
}

/// Row I37.
fn locked() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    // Nobody reads what is exported: it stays under way.
    let line = "\"$0\" --export d - | sleep 1000";
    let wsl = instance.identity().root.join("bin/wsl");
    let job = instance.identity().tool(std::path::Path::new("sh")).args(["-c", line]).arg(wsl).spawn();
    waiting::until("the export is under way", || instance.state_of("d") == "Exporting");
    let target = instance.scratch("x").join("moved").display().to_string();
    for words in [
        &["--manage", "d", "--resize", "2GB"][..],
        &["--manage", "d", "--move", &target],
        &["--manage", "d", "--set-sparse", "false"],
        &["--set-version", "d", "1"],
        &["--unregister", "d"],
        &["-d", "d", "-e", "true"],
    ] {
        instance.wsl(words).expect(255).says("E_ILLEGAL_STATE_CHANGE");
    }
    assert!(!instance.wsl(&["-l"]).text().contains("d (Default)"), "hidden while it is exported");
    job.kill();
    waiting::until("the export has ended", || instance.state_of("d") == "Stopped");
    assert_eq!(instance.inside("d", "echo fine").ok(), "fine");
}

fn listing() {
    let instance = Instance::new();
    instance.import("test_distro", &roots::small(), 2);
    let listed = instance.wsl(&["--list"]);
    assert!(listed.text().lines().any(|line| line == "test_distro (Default)"), "E34: {listed}");
    assert_eq!(listed.errors(), "", "E34");
    let folder = instance.scratch("x").join("new");
    let missing = instance.wsl_tool(&["--import", "D"]).arg(&folder).arg("missing.tar").run();
    missing.expect(255).says("ERROR_FILE_NOT_FOUND");
    assert!(!folder.exists(), "Q35");
}

/// Row L20.
fn host_folders() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let count = || instance.inside("d", "grep -c ' /mnt/host/' /proc/self/mountinfo; true").ok();
    // Those below them are mounts of the host's own.
    let seen = || instance.inside("d", "grep -oE ' /mnt/host/(home|tmp) ' /proc/self/mountinfo | sort").ok();
    assert_eq!(seen(), "/mnt/host/home \n /mnt/host/tmp");
    instance.inside("d", "printf '[automount]\\nenabled=false\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    assert_eq!(count(), "0");
}

/// Rows L13, L14 and L16.
fn cgroups() {
    let instance = Instance::new();
    instance.import("a", &roots::small(), 2);
    instance.import("b", &roots::small(), 2);
    for name in ["a", "b"] {
        let said = instance.inside(name, "cat /proc/self/cgroup; grep ' /sys/fs/cgroup ' /proc/mounts").ok();
        assert!(said.contains("0::/"), "L13: {said}");
        let mount = said.lines().last().unwrap_or_default().to_owned();
        assert!(mount.contains(" cgroup2 rw,nosuid,nodev,noexec"), "L16: {said}");
        // Its own tree: what it makes there the other one does not see.
        instance
            .inside(name, &format!("mkdir /sys/fs/cgroup/of-{name} && ls /sys/fs/cgroup | grep -c '^of-'"))
            .says("1");
    }
    for name in ["a", "b"] {
        instance.wsl(&["--terminate", name]).expect(0);
    }
    instance.inside("a", "ls /sys/fs/cgroup | grep -c '^of-'; true").says("0");
    // On the host too the one that was ended has nothing.
    let guid = |name: &str| instance.registry().find(name).expect("it was imported").guid;
    let cgroups = |name: &str| kernel::cgroups(&format!("u-{}", guid(name)));
    assert!(!cgroups("a").is_empty(), "L14");
    waiting::until("L14: only the cgroup of the one that runs is there", || cgroups("b").is_empty());
}

/// Row L19.
fn program() {
    for name in ["two", "one"] {
        let instance = shared::distributions();
        let mount = instance.inside(name, "grep ' /run/sampan/guest ' /proc/mounts").ok();
        let options = mount.split(' ').nth(3).unwrap_or_default();
        assert!(options.split(',').any(|option| option == "ro"), "L19: {mount}");
        instance.inside(name, ": >> /run/sampan/guest").expect_failure();
    }
}

/// Row L23.
fn asking_mount() {
    let instance = Instance::new();
    instance.import("deb", &roots::debian(), 2);
    let helper = "#!/bin/sh\necho asked >> /helper; read answer < /dev/tty; exit 1\n";
    let table = "none /mnt asks defaults 0 0\n";
    let script = format!(
        "printf '{helper}' > /sbin/mount.asks && chmod 755 /sbin/mount.asks && printf '{table}' > /etc/fstab"
    );
    instance.inside("deb", &script).expect(0);
    instance.wsl(&["--terminate", "deb"]).expect(0);
    let said = instance.inside("deb", "echo booted; cat /helper");
    assert_eq!(said.ok(), "booted\nasked", "L23");
    assert!(said.errors().contains("Processing /etc/fstab with mount -a failed."), "L23: {said}");
}
