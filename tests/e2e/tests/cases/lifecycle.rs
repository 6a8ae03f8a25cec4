//! Stop, start, restart, upgrade: what is precious stays.

use sampan_e2e::case::Case;
use sampan_e2e::instance::{FIRST_START, Instance};
use sampan_e2e::{files, images};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("lifecycle::images_containers_and_volumes_survive_stop_and_start", stop_start),
        Case::new("lifecycle::stop_says_so_when_nothing_runs", stop_twice),
        Case::new("lifecycle::status_of_a_stopped_instance_is_exit_code_3", stopped_status),
        Case::new("lifecycle::restart_gives_a_new_engine_and_keeps_everything", restart),
        Case::new("lifecycle::an_engine_upgrade_keeps_the_data", upgrade_while_stopped),
        Case::new("lifecycle::so_does_one_while_the_old_engine_runs", upgrade_while_running),
        Case::new("lifecycle::two_starts_at_once_both_succeed", two_starts),
        Case::new("lifecycle::the_timeline_tells_where_the_start_s_time_went", timeline),
        Case::new("lifecycle::stop_ends_containers_and_the_service", stop_ends_all),
    ]
}

fn furnish(instance: &Instance) {
    instance.need_busybox();
    let write = ["run", "--rm", "-v", "kept:/data", "e2e/busybox", "sh", "-c", "echo kept > /data/file"];
    instance.docker(&write).ok();
    instance.container(&["--name", "stays", "--restart", "always"], "echo up; sleep 3600");
}

#[track_caller]
fn assert_furnished(instance: &Instance) {
    let read = ["run", "--rm", "-v", "kept:/data", "e2e/busybox", "cat", "/data/file"];
    assert_eq!(instance.docker(&read).ok(), "kept", "the volume and the image");
    sampan_e2e::waiting::until("the container with a restart policy is up again", || {
        instance.inspect("stays", "{{.State.Running}}") == "true"
    });
}

fn stop_start() {
    let instance = Instance::started();
    furnish(&instance);
    for _ in 0..2 {
        instance.sampan(&["stop"]).ok();
        instance.sampan(&["start"]).ok();
        assert_furnished(&instance);
    }
}

fn stop_twice() {
    let instance = Instance::new();
    instance.sampan(&["stop"]).expect(0).says_one_of(&["not run", "nothing", "already", "stopped"]);
}

fn stopped_status() {
    let instance = Instance::started();
    instance.sampan(&["stop"]).ok();
    instance.sampan(&["status"]).expect(3).says("stopped").says("not running");
    let list = instance.wsl(&["-l", "-v"]);
    list.expect(0);
    for name in ["docker-desktop", "docker-desktop-data"] {
        let line = format!(" {name:<23}Stopped         2\n");
        assert!(list.text().contains(&line), "no line `{line}` in {list}");
    }
    let docker = instance.docker(&["ps"]);
    docker.expect_failure().says_one_of(&["sampan start", "Cannot connect to the Docker daemon"]);
}

fn restart() {
    let instance = Instance::started();
    furnish(&instance);
    let before = instance.part("dockerd").expect("dockerd runs");
    instance.sampan(&["restart"]).ok();
    assert_ne!(instance.part("dockerd"), Some(before), "the engine is a new one");
    assert!(!before.is_alive());
    assert_furnished(&instance);
}

fn upgrade_while_stopped() {
    let instance = Instance::started();
    furnish(&instance);
    instance.sampan(&["stop"]).ok();
    upgrade(&instance);
}

fn upgrade_while_running() {
    let instance = Instance::started();
    furnish(&instance);
    let before = instance.init();
    upgrade(&instance);
    assert_ne!(instance.init(), before);
    let engines = instance.processes().iter().filter(|process| process.name() == "dockerd").count();
    assert_eq!(engines, 1, "two daemons must never share one disk");
}

#[track_caller]
fn upgrade(instance: &Instance) {
    let (engine, data) = (instance.engine_guid(), instance.data_guid());
    instance.start_with(&images::engine_variant()).ok();
    assert!(instance.engine_file(images::VARIANT_MARK).exists(), "the new root file system runs");
    assert_ne!(instance.engine_guid(), engine, "it was imported beside the old one");
    assert_eq!(instance.data_guid(), data);
    assert_furnished(instance);

    // The new engine has answered, so the old one may go; what is there is accounted for.
    instance.sampan(&["stop"]).ok();
    instance.sampan(&["start"]).ok();
    assert!(instance.engine_file(images::VARIANT_MARK).exists(), "and stays the one that runs");
    let known: Vec<String> = instance.registry().known().iter().map(ToString::to_string).collect();
    for name in files::names(&instance.place().distros()) {
        assert!(known.contains(&name), "{name} belongs to nothing: {known:?}");
    }
    assert_furnished(instance);
}

fn two_starts() {
    let instance = Instance::new();
    let image = images::engine();
    let (one, two) = (instance.start_tool(&image).spawn(), instance.start_tool(&image).spawn());
    one.finish_within(FIRST_START).ok();
    two.finish_within(FIRST_START).ok();
    instance.wait_until_running();
    let names = |comm: &str| instance.processes().iter().filter(|process| process.name() == comm).count();
    assert_eq!((names("sampand"), names("dockerd"), names("containerd")), (1, 1, 1));
}

fn timeline() {
    let instance = Instance::new();
    let image = images::engine();
    let output = instance.start_tool(&image).arg("--timeline").run();
    output.expect(0);
    // The words of `Stage::message` are for progress; a time line names each stage, however it words it.
    for word in ["containerd", "dockerd", "network", "ms"] {
        output.says(word);
    }
}

fn stop_ends_all() {
    let instance = Instance::started();
    let id = instance.container(&[], "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    let processes = instance.processes();
    assert!(processes.len() > 5, "{processes:?}");
    instance.sampan(&["stop"]).ok();
    for process in processes {
        assert!(!process.is_alive(), "{} {:?} still runs", process.pid, process.command_line());
    }
    instance.sampan(&["start"]).ok();
    assert_eq!(instance.inspect(&id, "{{.State.ExitCode}}"), "0", "it was asked to end, not killed");
}
