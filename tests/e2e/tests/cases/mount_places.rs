//! Where disks are mounted in `/mnt/wsl`: root of one distribution cannot take them off the others.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{disk, files, roots};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("mounting::no_distribution_takes_a_disk_off_another", places)]
}

fn places() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    for name in ["d", "e"] {
        instance.import(name, &roots::small(), 2);
        instance.inside(name, "true").expect(0);
    }
    let folder = instance.identity().state_base().join("disks");
    files::make_folder(&folder);
    let image = disk::formatted(&folder.join("places.img"));
    instance.inside("d", "mkdir /mnt/wsl/disk /mnt/wsl/full /mnt/wsl/full/x /mnt/wsl/other").expect(0);
    let mount = |name: &str| instance.wsl_tool(&["--mount"]).arg(&image).args(["--name", name]).run();
    mount("disk").expect(0);
    instance.inside("d", "echo x > /mnt/wsl/disk/file").expect(0);
    let kept = |after: &str| {
        assert_eq!(instance.inside("e", "cat /mnt/wsl/disk/file").ok(), "x", "after {after}");
    };
    // In a view of its own there is no mount that would be in the way.
    let bare = "cd /mnt/wsl; umount disk; umount disk; grep -q ' /mnt/wsl/disk ' /proc/mounts && echo STILL";
    for attempt in [
        "rmdir disk",
        "mv disk gone",
        "mv -T other disk",
        "chown root disk; rmdir disk",
        "chmod 777 disk; chmod 1777 .; rmdir disk",
        "mkdir -p other; mount --bind . /tmp; rmdir /tmp/disk",
        "unshare -U -r -m sh -c 'rmdir disk'",
    ] {
        let said =
            instance.inside("d", &format!("unshare -m sh -c \"{bare}; {attempt} && echo OPEN; echo END\""));
        said.says("END");
        assert!(!said.text().contains("STILL") && !said.text().contains("OPEN"), "{attempt}: {said}");
        kept(attempt);
    }
    instance.wsl_tool(&["--unmount"]).arg(&image).run().expect(0);
    // What somebody left there is in the way only if there is something in it.
    mount("full").expect_failure().says("full");
    for name in ["d", "e"] {
        assert!(
            !instance.inside(name, "ls /mnt/wsl").ok().lines().any(|name| name == "disk"),
            "nothing is left in {name}"
        );
    }
    // What is no disk's place is theirs.
    instance.inside("d", "rmdir /mnt/wsl/full/x /mnt/wsl/full /mnt/wsl/other").expect(0);
}
