//! An engine image that is none must not cost anybody the engine they have.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, images};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("bad_images::one_without_dockerd_is_refused_and_the_old_engine_stays", without_dockerd),
        Case::new("bad_images::one_whose_dockerd_fails_is_rolled_back", failing),
        Case::new("bad_images::a_file_that_is_no_tarball_is_refused_on_the_first_start", no_tarball),
        Case::new("bad_images::a_file_that_is_not_there_is_named", missing),
    ]
}

fn furnished() -> Instance {
    let instance = Instance::started();
    instance.need_busybox();
    instance.sampan(&["stop"]).ok();
    instance
}

#[track_caller]
fn assert_old_engine_runs(instance: &Instance) {
    instance.sampan(&["start"]).ok();
    instance.wait_until_running();
    assert!(!instance.engine_file(images::VARIANT_MARK).exists());
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "intact"]).ok(), "intact");
    assert_nothing_unknown(instance);
}

#[track_caller]
fn assert_nothing_unknown(instance: &Instance) {
    let registry = instance.registry();
    let known: Vec<String> = registry.known().iter().map(ToString::to_string).collect();
    for name in files::names(&instance.place().distros()) {
        assert!(known.contains(&name), "{name} belongs to nothing: {registry:?}");
    }
}

fn without_dockerd() {
    let instance = furnished();
    let before = instance.engine_guid();
    instance.start_with(&images::not_an_engine()).expect_failure().says("dockerd");
    assert_eq!(instance.engine_guid(), before);
    assert_old_engine_runs(&instance);
}

fn failing() {
    let instance = furnished();
    let output = instance.start_tool(&images::engine_broken()).args(["--timeout", "60"]).run();
    output.expect_failure().says("this dockerd is broken");
    assert_old_engine_runs(&instance);
}

fn no_tarball() {
    let instance = Instance::new();
    let file = instance.scratch("no-tarball").join("image.tar.zst");
    files::write(&file, vec![7; 100_000]);
    instance.start_with(&file).expect_failure().says(&file.display().to_string());
    let cut_off = instance.scratch("no-tarball").join("cut-off.tar.zst");
    let whole = files::read(&images::engine());
    files::write(&cut_off, &whole[..whole.len() / 2]);
    instance.start_with(&cut_off).expect_failure().says(&cut_off.display().to_string());
    instance.start().ok();
    assert_nothing_unknown(&instance);
}

fn missing() {
    let instance = Instance::new();
    instance.start_with("/no/such/image.tar".as_ref()).expect_failure().says("/no/such/image.tar");
}
