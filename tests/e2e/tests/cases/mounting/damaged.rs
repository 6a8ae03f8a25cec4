//! Disks of distributions that are damaged.

use std::fs::File;
use std::os::unix::fs::FileExt;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::roots;
use sampan_e2e::tools::Tool;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("mounting::a_damaged_disk_is_repaired_or_can_be_looked_at", damaged)]
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
