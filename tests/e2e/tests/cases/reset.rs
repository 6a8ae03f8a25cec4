//! `sampan reset`, and that nothing stays behind.

use sampan_e2e::case::Case;
use sampan_e2e::files;
use sampan_e2e::host::Host;
use sampan_e2e::images;
use sampan_e2e::instance::{FIRST_START, Instance};
use sampan_e2e::netns::Wan;
use sampan_e2e::traces::{self, Traces};
use sampan_model::api::ResetPlan;
use sampan_model::document;
use sampan_model::settings::Settings;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("reset::another_state_folder_in_the_same_run_folder_is_refused", another_state),
        Case::new("reset::a_start_at_the_same_time_leaves_no_second_service", beside_a_start),
        Case::new("reset::lists_what_dies_with_sizes_and_asks_first", asks),
        Case::new("reset::keeps_the_settings", keeps_settings),
        Case::new("reset::stop_and_reset_all_leave_nothing_of_an_instance", leaves_nothing),
        Case::new("reset::all_of_a_running_instance_leaves_nothing_either", while_running),
        Case::new("reset::stop_alone_leaves_only_the_state", stop_alone),
    ]
}

fn asks() {
    let instance = Instance::started();
    let output = instance.sampan(&["reset"]);
    output.expect(2).says("docker-desktop-data").says("--yes").says_one_of(&[" KiB", " MiB", " GiB"]);
    assert!(instance.engine_runs(), "nothing was done without a yes");
    instance.sampan(&["reset", "--all"]).expect(2);
    assert!(instance.place().registry().exists());
}

fn keeps_settings() {
    let instance = Instance::new();
    let settings = document::render(&Settings { lifecycle_timeout_seconds: 601, ..Settings::default() });
    files::write(&instance.place().settings(), &settings);
    instance.start().ok();
    instance.need_busybox();
    instance.sampan(&["stop"]).ok();
    instance.sampan(&["reset", "--yes"]).ok();
    assert_eq!(files::read(&instance.place().settings()), settings.as_bytes());
    assert!(files::names(&instance.place().distros()).is_empty(), "all storage is gone");

    instance.start().ok();
    assert_eq!(instance.docker(&["images", "-q"]).ok(), "", "the engine begins anew");
}

fn populate(instance: &Instance) {
    instance.need_busybox();
    instance.docker(&["network", "create", "net"]).ok();
    instance.docker(&["volume", "create", "vol"]).ok();
    instance.container(
        &["--network", "net", "-v", "vol:/v", "-p", "127.0.0.1::80", "--restart", "always"],
        "sleep 36000",
    );
    instance.container(&["-m", "64m"], "sleep 36000");
}

fn leaves_nothing() {
    let wan = Wan::new();
    let before = Host::look(&wan);
    let instance = Instance::started_on(&wan.host);
    populate(&instance);
    let traces = Traces::of(&instance);
    assert!(traces.namespace_count() > 4, "the traces of a running instance are seen: {traces:?}");
    assert!(traces::remains(instance.identity()).len() > 5);

    instance.sampan(&["stop"]).ok();
    instance.sampan(&["reset", "--all", "--yes"]).ok();
    traces.assert_gone();
    before.assert_same(&Host::look(&wan));
    assert_eq!(instance.sampan(&["status"]).code(), Some(3), "and a look at it makes nothing");
    traces.assert_gone();
}

fn while_running() {
    let wan = Wan::new();
    let before = Host::look(&wan);
    let instance = Instance::started_on(&wan.host);
    populate(&instance);
    let traces = Traces::of(&instance);
    let output = instance.sampan(&["reset", "--all", "--yes", "--format", "json"]);
    output.expect(0);
    let plan: ResetPlan = serde_json::from_value(output.json()["plan"].clone())
        .unwrap_or_else(|error| panic!("no plan ({error}): {output}"));
    assert!(plan.all && plan.items.iter().any(|item| item.bytes > 0), "{plan:?}");
    traces.assert_gone();
    before.assert_same(&Host::look(&wan));
}

fn stop_alone() {
    let wan = Wan::new();
    let before = Host::look(&wan);
    let instance = Instance::started_on(&wan.host);
    populate(&instance);
    let processes = instance.processes();
    instance.sampan(&["stop"]).ok();
    assert!(processes.iter().all(|process| !process.is_alive()));
    let state = format!("folder {}", instance.place().state().display());
    let run = format!("folder {}", instance.place().run().display());
    let left = traces::remains(instance.identity());
    let unexpected: Vec<_> =
        left.iter().filter(|what| !what.starts_with(&state) && !what.starts_with(&run)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    before.assert_same(&Host::look(&wan));
}

fn another_state() {
    let instance = Instance::started();
    let other = instance.scratch("another-state");
    for command in [&["reset", "--all", "--yes"][..], &["stop"], &["start"]] {
        let output = instance.tool(command).env("SAMPAN_STATE_DIR", &other).run();
        output.expect(7).says("SAMPAN_RUN_DIR");
    }
    assert!(instance.engine_runs(), "it was none of theirs");
}

fn beside_a_start() {
    let image = images::engine();
    for round in 0..3 {
        let instance = Instance::started();
        let reset = instance.tool(&["reset", "--all", "--yes"]).spawn();
        // Whichever comes first, the other one works or says that it has to wait.
        let started = instance.start_tool(&image).run();
        let reset = reset.finish_within(FIRST_START);
        assert!(matches!(reset.code(), Some(0 | 1 | 5)), "round {round}: {reset}");
        instance.start_with(&image).ok();
        let services = instance.processes().iter().filter(|process| process.name() == "sampand").count();
        assert_eq!(services, 1, "round {round}: {started}");
    }
}
