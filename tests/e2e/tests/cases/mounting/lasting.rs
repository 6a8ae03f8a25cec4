//! What comes back after a restart, and what holds when many ask at once or the service is killed.

use std::path::PathBuf;

use sampan_e2e::case::Case;
use sampan_e2e::{files, kernel, random, waiting};
use serde_json::Value;

use super::{assert_nothing_attached, folder, instance, mount, name_of, partitioned, plain, record, seen};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("mounting::m13_m22_m23_what_comes_back", restored),
        Case::new("mounting::many_at_once", at_once),
        Case::new("mounting::a_service_that_is_killed_leaves_nothing_half_done", killed),
    ]
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
