//! One disk in several distributions.

use sampan_e2e::case::Case;
use sampan_e2e::tools::Tool;
use sampan_e2e::{kernel, roots, waiting};

use super::{assert_nothing_attached, folder, instance, mount, plain, unmount};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("mounting::every_distribution_has_its_own_ids", ids),
        Case::new("mounting::a_disk_in_use_stays_and_its_user_is_named", in_use),
        Case::new("mounting::a_systemd_that_ends_takes_no_disk_from_others", systemd),
    ]
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
