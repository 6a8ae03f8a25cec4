//! State that can't be trusted is reported and left alone; nothing starts over it.

use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::Output;
use sampan_e2e::{files, images, random};
use sampan_model::distro::{DATA, ENGINE, Guid};
use sampan_model::document;
use sampan_model::registry::{Entry, Registry};
use sampan_model::settings::Settings;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("damage::a_damaged_registry_is_refused_and_left_as_it_is", damaged_registry),
        Case::new("damage::a_newer_registry_is_refused_and_left_as_it_is", newer_registry),
        Case::new("damage::damaged_settings_are_refused_and_left_as_they_are", damaged_settings),
        Case::new("damage::newer_settings_are_refused_and_left_as_they_are", newer_settings),
        Case::new("damage::a_wrong_setting_is_named", wrong_setting),
        Case::new("damage::storage_without_a_registry_is_not_overwritten", lost_registry),
        Case::new("damage::a_lost_data_disk_is_never_replaced_by_an_empty_one", lost_data),
        Case::new("damage::a_registry_damaged_while_all_runs_stops_nothing", damaged_while_running),
    ]
}

const STATE: i32 = 7;

fn registry() -> Registry {
    let entry = |byte: u8, name: &str| Entry::new(Guid::from_random([byte; 16]), name, 2);
    Registry { distributions: vec![entry(1, ENGINE), entry(2, DATA)], ..Registry::default() }
}

/// Requires that the answer names the file and a way out.
#[track_caller]
fn assert_helpful(output: &Output, file: &Path) {
    output.expect(STATE).says(&file.display().to_string());
    output.says_one_of(&[
        "reset",
        "estore",
        "ackup",
        "move ",
        "Move ",
        "delete",
        "Delete",
        "pgrade",
        "newer Sampan",
    ]);
}

/// Requires that no start gets past `content` in `file` and that every byte of it stays.
#[track_caller]
fn assert_refused(file: fn(&Instance) -> std::path::PathBuf, content: &[u8]) {
    let instance = Instance::new();
    let file = file(&instance);
    files::write(&file, content);
    for _ in 0..2 {
        let output = instance.start();
        assert_helpful(&output, &file);
        assert!(files::read(&file) == content, "{} was changed", file.display());
    }
    if file == instance.place().registry() {
        instance.sampan(&["status"]).expect(1).says("failed").says("registry.json");
        instance.wsl(&["--list"]).expect(255).says("Wsl/Service/E_UNEXPECTED");
    }
    assert!(files::names(&instance.place().distros()).is_empty(), "nothing was made beside it");
    assert!(instance.processes().iter().all(|process| process.name() != "dockerd"));
    // `stop`, and `reset` by someone who has read the message, still work: the instance's end proves it.
}

fn damaged_registry() {
    let whole = document::render(&registry());
    let mut twins = registry();
    twins.distributions[1].name = String::from("Docker-Desktop");
    let damaged: [&[u8]; 5] = [
        b"",
        &whole.as_bytes()[..whole.len() / 2],
        b"[]\n",
        b"\xff\xfe\x00garbage",
        &document::render(&twins).into_bytes(),
    ];
    for content in damaged {
        assert_refused(|instance| instance.place().registry(), content);
    }
}

fn newer_registry() {
    let newer = document::render(&registry()).replacen("\"schemaVersion\": 2", "\"schemaVersion\": 999", 1);
    assert!(newer.contains("999"));
    assert_refused(|instance| instance.place().registry(), newer.as_bytes());
}

fn damaged_settings() {
    let whole = document::render(&Settings::default());
    for content in [&whole.as_bytes()[..whole.len() - 4], b"", b"{\"schemaVersion\":1,\"diskSize\":1}"] {
        assert_refused(|instance| instance.place().settings(), content);
    }
}

fn newer_settings() {
    let newer =
        document::render(&Settings::default()).replacen("\"schemaVersion\": 1", "\"schemaVersion\": 2", 1);
    assert_refused(|instance| instance.place().settings(), newer.as_bytes());
}

fn wrong_setting() {
    let instance = Instance::new();
    let wrong = document::render(&Settings { disk_size_mib: 1, ..Settings::default() });
    files::write(&instance.place().settings(), &wrong);
    instance
        .start()
        .expect_failure()
        .says("diskSizeMib")
        .says(&instance.place().settings().display().to_string());
    assert_eq!(files::read(&instance.place().settings()), wrong.as_bytes());
}

fn lost_registry() {
    let instance = Instance::new();
    let disk = instance.disk(&Guid::from_random([3; 16]));
    let content = random::hex(5000);
    files::write(&disk, &content);
    let output = instance.start();
    assert_helpful(&output, &instance.place().registry());
    assert!(files::read(&disk) == content.as_bytes(), "the storage was touched");
    assert_eq!(files::names(&instance.place().distros()).len(), 1, "nothing was made beside it");
    assert!(!instance.place().registry().exists());
}

fn lost_data() {
    let instance = Instance::started();
    instance.need_busybox();
    instance.sampan(&["stop"]).ok();
    let disk = instance.disk(&instance.data_guid());
    let elsewhere = instance.scratch("lost").join("ext4.img");
    std::fs::rename(&disk, &elsewhere).expect("both are on one disk");
    let registry = files::read(&instance.place().registry());

    assert_helpful(&instance.sampan(&["start"]), &disk);
    assert_helpful(&instance.start_with(&images::engine()), &disk);
    assert!(!disk.exists(), "an empty disk was made in place of the lost one");
    assert!(files::read(&instance.place().registry()) == registry);

    std::fs::rename(&elsewhere, &disk).expect("both are on one disk");
    instance.sampan(&["start"]).ok();
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "found"]).ok(), "found");
}

fn damaged_while_running() {
    let instance = Instance::started();
    let id = instance.container(&[], "sleep 36000");
    let registry = files::read(&instance.place().registry());
    let service = instance.service();
    let half = &registry[..registry.len() / 2];
    files::write(&instance.place().registry(), half);
    service.kill_and_wait();
    assert_helpful(&instance.sampan(&["start"]), &instance.place().registry());
    assert!(files::read(&instance.place().registry()) == half);
    assert_eq!(instance.inspect(&id, "{{.State.Running}}"), "true", "what runs goes on");
    files::write(&instance.place().registry(), &registry);
    instance.sampan(&["start"]).ok();
    assert_eq!(instance.inspect(&id, "{{.State.Running}}"), "true");
}
