//! What a crash left in the run folder is taken over or removed by identity, never by number or name.

use std::os::unix::net::UnixListener;

use sampan_e2e::case::Case;
use sampan_e2e::files;
use sampan_e2e::instance::Instance;
use sampan_e2e::processes::{self, Process};
use sampan_e2e::tools::Tool;
use sampan_e2e::waiting;
use serde_json::Value;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("stale::records_that_name_a_reused_number_harm_nobody", reused),
        Case::new("stale::sockets_without_a_listener_are_replaced", sockets),
        Case::new("stale::an_unreadable_record_does_not_stop_the_start", unreadable),
        Case::new("stale::an_engine_without_a_record_ends_before_another_begins", lost_engine),
        Case::new("stale::what_has_no_record_at_all_is_stopped_all_the_same", lost_records),
        Case::new("stale::a_lost_link_to_the_docker_cli_is_made_again", lost_cli),
    ]
}

fn kill_all(instance: &Instance) {
    waiting::until("all is dead", || {
        let processes = instance.processes();
        processes.iter().for_each(Process::kill);
        processes.is_empty()
    });
}

/// Every record of a process below the run folder.
fn records(instance: &Instance) -> Vec<std::path::PathBuf> {
    let folders = files::entries(&instance.place().run().join("distros"));
    let mut records: Vec<_> = folders.into_iter().map(|folder| folder.join("record.json")).collect();
    records.push(instance.place().hub_record());
    records.retain(|path| path.is_file());
    records
}

fn reused() {
    let instance = Instance::started();
    instance.need_busybox();
    let stranger = Tool::new("sleep").arg("infinity").spawn();
    let identity = Process::find(stranger.pid()).expect("it was just started");
    kill_all(&instance);
    let records = records(&instance);
    assert!(records.len() >= 2, "the hub and docker-desktop have records: {records:?}");
    for path in &records {
        let mut value: Value = serde_json::from_slice(&files::read(path)).expect("records are JSON");
        let old = processes::described_in(&value).expect("a record describes a process");
        replace_number(&mut value, old.pid, identity.pid);
        files::write(path, value.to_string());
    }
    instance.sampan(&["start"]).ok();
    assert!(identity.is_alive(), "a stranger with a reused number was killed by the start");
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");

    // The same again with a stop in place of the start.
    kill_all(&instance);
    for path in &records {
        if path.is_file() {
            let mut value: Value = serde_json::from_slice(&files::read(path)).expect("records are JSON");
            let old = processes::described_in(&value).expect("a record describes a process");
            replace_number(&mut value, old.pid, identity.pid);
            files::write(path, value.to_string());
        }
    }
    instance.sampan(&["stop"]).ok();
    assert!(identity.is_alive(), "a stranger with a reused number was killed by the stop");
}

/// Changes every `pid` that is `old`; the start time stays that of the dead one.
fn replace_number(value: &mut Value, old: i32, new: i32) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                if key == "pid" && inner.as_i64() == Some(old.into()) {
                    *inner = new.into();
                } else {
                    replace_number(inner, old, new);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| replace_number(inner, old, new)),
        _ => {}
    }
}

fn sockets() {
    let instance = Instance::new();
    files::make_folder(instance.place().run());
    for socket in [instance.place().api_socket(), instance.place().docker_socket()] {
        drop(UnixListener::bind(&socket).expect("the folder is fresh"));
        assert!(socket.exists(), "a socket file stays when its listener goes");
    }
    instance.sampan(&["status"]).expect(3);
    instance.start().ok();
    instance.docker(&["version"]).ok();
}

fn unreadable() {
    let instance = Instance::started();
    instance.need_busybox();
    kill_all(&instance);
    for path in records(&instance) {
        files::write(&path, "{\"pid\": 1");
    }
    files::write(&instance.place().network_record(), "");
    instance.sampan(&["start"]).ok();
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
}

fn dockerds(instance: &Instance) -> usize {
    instance.processes().iter().filter(|process| process.name() == "dockerd").count()
}

fn lost_engine() {
    let instance = Instance::started();
    instance.need_busybox();
    let before = instance.init();
    let record = instance.place().distro_run(&instance.engine_guid()).join("record.json");
    std::fs::remove_file(&record).expect("it was recorded");
    instance.sampan(&["start"]).ok();
    assert!(!before.is_alive(), "two daemons must never share one disk");
    assert_eq!(dockerds(&instance), 1);
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
}

/// The clean-up of the instance asserts that nothing is left.
fn lost_records() {
    let instance = Instance::started();
    instance.service().kill_and_wait();
    for record in records(&instance) {
        std::fs::remove_file(&record).expect("it was recorded");
    }
    instance.sampan(&["stop"]).ok();
    assert_eq!(instance.processes(), []);
}

fn lost_cli() {
    let instance = Instance::started();
    std::fs::remove_file(instance.place().cli()).expect("it is a link");
    instance.sampan(&["docker", "version"]).expect(3);
    instance.sampan(&["start"]).ok();
    instance.sampan(&["docker", "version"]).ok();
}
