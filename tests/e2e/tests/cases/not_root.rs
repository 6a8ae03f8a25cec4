//! Someone who may not is told what to type.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::{Output, Tool};
use sampan_e2e::{files, shared, workspace};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("not_root::every_command_says_what_to_type", running),
        Case::new("not_root::so_does_the_first_start", first_start),
        Case::new("not_root::help_is_for_everyone", help),
    ]
}

const DENIED: i32 = 4;

/// Runs `sampan` as nobody. The program is copied to where nobody can reach it.
fn as_nobody(instance: &Instance, args: &[&str]) -> Output {
    let identity = instance.identity();
    let folder = identity.run_base.join("bin");
    let program = folder.join("sampan");
    if !program.exists() {
        files::make_folder(&folder);
        // Not copied by ourselves: a child of another thread could hold it open for writing, and it is run next.
        Tool::new("cp").arg(workspace::program("sampan")).arg(&program).run().ok();
        files::set_mode(&folder, 0o755);
        files::set_mode(&program, 0o755);
    }
    Tool::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(args)
        .env("SAMPAN_STATE_DIR", identity.state_base())
        .env("SAMPAN_RUN_DIR", &identity.run_base)
        .env("SAMPAN_INSTANCE", identity.place.name())
        .env("HOME", "/nonexistent")
        .folder(&folder)
        .run()
}

#[track_caller]
fn assert_denied(output: &Output) {
    output.expect(DENIED).says_one_of(&["sudo", "group"]);
}

fn running() {
    let instance = shared::main();
    for args in [
        &["status"][..],
        &["start"],
        &["stop"],
        &["restart"],
        &["docker", "ps"],
        &["reset", "--all", "--yes"],
    ] {
        assert_denied(&as_nobody(instance, args));
    }
    assert!(instance.engine_runs());
}

fn first_start() {
    let instance = Instance::new();
    assert_denied(&as_nobody(&instance, &["start"]));
    assert!(!instance.place().state().exists());
}

fn help() {
    let instance = Instance::new();
    as_nobody(&instance, &["--help"]).expect(0).says("start").says("status");
    as_nobody(&instance, &["--version"]).expect(0);
}
