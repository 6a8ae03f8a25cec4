use std::fs;
use std::path::Path;

use sampan_model::guest::{DistroRecord, ProcessId};
use sampan_model::registry::Registry;
use sampan_sys::process::ProcessRecord;

use super::*;

fn guid(byte: u8) -> Guid {
    Guid::from_random([byte; 16])
}

/// An instance with the engine, three distributions of the user, and nothing that runs.
fn native(base: &Path) -> Native {
    let instance = Instance::new("t", &base.join("s"), &base.join("r")).unwrap();
    let native = Native::unprepared(instance, PathBuf::from("/no/such/guest"));
    native.make_folders().unwrap();
    let entry = |byte, name, version| Entry::new(guid(byte), name, version);
    let distributions = vec![
        entry(1, ENGINE, 2),
        entry(2, DATA, 2),
        entry(3, "two", 2),
        entry(4, "one", 1),
        Entry { phase: Phase::Installing, ..entry(5, "half", 2) },
    ];
    let registry = Registry { distributions, default: Some(guid(3)), ..Registry::default() };
    native.store.update(|stored| *stored = registry).unwrap();
    native
}

/// Lets this process pass for the PID 1 of a distribution.
fn pretend_to_run(native: &Native, byte: u8, name: &str) {
    let own = ProcessRecord::of(i32::try_from(std::process::id()).unwrap()).unwrap();
    let process = ProcessId { pid: own.pid, start_time: own.start_time, boot_id: own.boot_id };
    let record = DistroRecord { name: name.to_owned(), guid: guid(byte), process, ids: None };
    fs::create_dir_all(native.instance.distro_run(&guid(byte))).unwrap();
    process::write_record(&crate::distro::record(&native.instance, &guid(byte)), &record).unwrap();
}

fn states(native: &Native) -> Vec<DistroState> {
    native.distributions().unwrap().iter().map(|one| one.state).collect()
}

#[test]
fn a_listing_says_what_runs_and_what_is_done() {
    use DistroState::{Exporting, Installing, Running, Stopped};
    let base = tempfile::tempdir().unwrap();
    let native = native(base.path());
    assert_eq!(states(&native), [Stopped, Stopped, Stopped, Stopped, Installing]);
    pretend_to_run(&native, 4, "one");
    assert_eq!(states(&native), [Stopped, Stopped, Stopped, Running, Installing]);
    let briefly = native.turns.take(guid(4), Doing::Briefly).unwrap();
    let export = native.turns.take(guid(2), Doing::Exporting).unwrap();
    assert_eq!(states(&native), [Stopped, Exporting, Stopped, Running, Installing]);
    drop((briefly, export));
    pretend_to_run(&native, 1, ENGINE);
    assert_eq!(states(&native), [Running, Running, Stopped, Running, Installing]);
    let default: Vec<bool> = native.distributions().unwrap().iter().map(|one| one.default).collect();
    assert_eq!(default, [false, false, true, false, false]);
}

#[test]
fn what_is_used_or_worked_on_keeps_the_ground() {
    let base = tempfile::tempdir().unwrap();
    let native = native(base.path());
    assert!(native.in_use(&native.worked_on()).is_empty());
    // The engine alone keeps nothing, and a start under way is waited for in another way.
    pretend_to_run(&native, 1, ENGINE);
    let _start = native.turns.take(guid(3), Doing::Briefly).unwrap();
    assert!(native.in_use(&native.worked_on()).is_empty());
    pretend_to_run(&native, 4, "one");
    let _conversion = native.turns.take(guid(5), Doing::Installing).unwrap();
    assert_eq!(native.worked_on(), [(guid(5), "half".to_owned())]);
    assert_eq!(native.in_use(&native.worked_on()), ["half", "one"]);
}

#[test]
fn the_engine_does_not_start_on_a_disk_that_is_worked_on() {
    let base = tempfile::tempdir().unwrap();
    let native = native(base.path());
    let disks = [(DATA, "/var/lib/docker")];
    let boot = Boot {
        name: ENGINE,
        disks: &disks,
        subnet: None,
        logs: "/l",
        sockets: Vec::new(),
        services: Vec::new(),
    };
    let entry = native.known(ENGINE).unwrap();
    assert_eq!(native.turns_for(&entry, &boot).unwrap().len(), 2);
    let _export = native.turns.take(guid(2), Doing::Exporting).unwrap();
    let refused = native.turns_for(&entry, &boot).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Busy);
    assert!(refused.to_string().contains(DATA), "{refused}");
    assert_eq!(native.turns.doing(&guid(1)), None, "the other turn was given back");
}

#[test]
fn nobody_in_the_host_s_network_hands_that_on_to_a_new_hub() {
    let base = tempfile::tempdir().unwrap();
    let native = native(base.path());
    // This process is in the network of the service: itself.
    pretend_to_run(&native, 4, "one");
    pretend_to_run(&native, 1, ENGINE);
    assert_eq!(native.survivor(), None);
}

#[test]
fn version_1_has_no_disk() {
    let base = tempfile::tempdir().unwrap();
    let native = native(base.path());
    let named = Platform::disks(&native).unwrap().into_iter().map(|disk| disk.distribution);
    assert_eq!(named.collect::<Vec<_>>(), [ENGINE, DATA, "two", "half"]);
}

#[test]
fn a_layer_stays_with_the_switch_and_the_engine_and_not_when_its_disk_needs_repair() {
    let base = tempfile::tempdir().unwrap();
    let native = native(base.path());
    let image = disk::image(&native.instance, &guid(3));
    fs::create_dir_all(image.parent().unwrap()).unwrap();
    let disk = fs::File::create(&image).unwrap();
    disk.set_len(8 << 20).unwrap();
    let stays = || [3, 4, 5].map(|byte| native.layers.stays(&guid(byte)));
    assert_eq!(stays(), [false; 3], "there is no engine");
    let coming = native.layers.expect_engine();
    assert_eq!(stays(), [true, false, false], "the default one, and nothing of version 1 or half made");
    drop(coming);
    assert_eq!(stays(), [false; 3]);
    pretend_to_run(&native, 1, ENGINE);
    assert_eq!(stays(), [true, false, false]);

    let settings = native.instance.settings();
    let off = br#"{"schemaVersion":1,"enableIntegrationWithDefaultWslDistro":false}"#;
    sampan_sys::fs::write_atomic(&settings, off, 0o600).unwrap();
    assert_eq!(stays(), [false; 3], "the switch is off");
    sampan_sys::fs::write_atomic(&settings, b"{", 0o600).unwrap();
    assert_eq!(stays(), [true; 3], "what cannot be read takes nothing off");
    fs::remove_file(&settings).unwrap();

    // `s_magic` and `s_state` of ext4, with the flag for errors.
    std::os::unix::fs::FileExt::write_all_at(&disk, &[0x53, 0xef, 2, 0], 1024 + 0x38).unwrap();
    assert_eq!(stays(), [false; 3], "a start repairs it");
    let native = Native::unprepared(native.instance.clone(), PathBuf::from("/no/such/guest"));
    assert!(native.layers.align().is_empty(), "without a hub there is nothing to attach");
}
