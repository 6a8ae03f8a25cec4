//! A distribution that fails, hangs or is missing holds up nobody: neither the engine nor docker in another one.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use sampan_e2e::case::Case;
use sampan_e2e::instance::{Instance, recorded};
use sampan_e2e::processes::Process;
use sampan_e2e::tools::{Job, Tool};
use sampan_e2e::{roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_harm::a_shell_that_hangs_is_asked_nothing", shell),
        Case::new("integration_harm::an_init_that_hangs_holds_up_nobody", hanging_init),
        Case::new("integration_harm::a_disk_that_hangs_holds_up_nobody", hanging_disk),
        Case::new("integration_harm::a_disk_that_cannot_be_taken_off_holds_up_nobody", held_layer),
        Case::new("integration_harm::an_init_that_dies_is_started_again", dying_init),
        Case::new("integration_harm::an_init_that_dies_at_each_start_is_said", failing_init),
        Case::new("integration_harm::a_disk_that_is_gone_is_said", missing),
        Case::new("integration_harm::a_root_that_cannot_be_written_is_said", read_only),
    ]
}

/// An instance whose engine runs, and the distributions `good`, the default one, and `bad`, in both of which docker works.
fn instance() -> Instance {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    for name in ["good", "bad"] {
        instance.import(name, &roots::small(), 2);
        instance.sampan(&["integration", "enable", name]).expect(0);
    }
    instance
}

/// What `sampan integration ls` says of a distribution.
#[track_caller]
fn row(instance: &Instance, name: &str) -> String {
    let listing = instance.sampan(&["integration", "ls"]).ok();
    let row = listing.lines().find(|line| line.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name} in {listing}")).to_owned()
}

/// `sampan integration ls` has each of these words about `bad`, and nothing to say against `good`.
#[track_caller]
fn assert_said(instance: &Instance, words: &[&str]) {
    let said = row(instance, "bad");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    assert!(row(instance, "good").contains("ready"));
}

/// The engine can be restarted, and docker works in `good` before and after.
#[track_caller]
fn assert_unharmed(instance: &Instance) {
    docker_works(instance, "good");
    instance.sampan(&["restart"]).expect(0);
    docker_works(instance, "good");
}

#[track_caller]
fn docker_works(instance: &Instance, name: &str) {
    instance.wsl(&["-d", name, "-u", "root", "-e", "docker", "ps"]).expect(0).says("CONTAINER ID");
}

/// PID 1 of `bad`.
#[track_caller]
fn init(instance: &Instance) -> Process {
    let guid = instance.registry().find("bad").expect("it was imported").guid;
    recorded(&instance.place().distro_run(&guid).join("record.json"))
}

fn shell() {
    let instance = instance();
    let script = "printf '#!/bin/busybox sh\\necho hanging\\nwhile :; do sleep 1000; done\\n' > /bin/hangs && \
                  chmod 755 /bin/hangs && sed -i 's,:/bin/sh$,:/bin/hangs,' /etc/passwd && \
                  printf '[user]\\ndefault=ann\\n[boot]\\ncommand=/bin/hangs\\n' > /etc/wsl.conf && \
                  rm /bin/sh && ln -s hangs /bin/sh";
    instance.inside("bad", script).expect(0);
    instance.wsl(&["--terminate", "bad"]).expect(0);
    let shell = instance.wsl_tool(&["-d", "bad"]).input_open().spawn();
    shell.wait_for_text("hanging");
    docker_works(&instance, "bad");
    for word in ["repair", "disable", "enable"] {
        instance.sampan(&["integration", word, "bad"]).expect(0);
        docker_works(&instance, "good");
    }
    assert_unharmed(&instance);
    docker_works(&instance, "bad");
    assert_said(&instance, &["ready"]);
    assert!(!shell.has_ended(), "all of this was while it hung");
}

fn hanging_init() {
    let instance = instance();
    instance.sampan(&["integration", "disable", "bad"]).expect(0);
    let init = init(&instance);
    let signal = |signal| {
        let pid = Pid::from_raw(init.pid).expect("a process has a number");
        kill_process(pid, signal).expect("it is ours");
    };
    signal(Signal::STOP);
    for _ in 0..2 {
        let enabled = instance.sampan(&["integration", "enable", "bad"]);
        enabled.expect_failure();
        enabled.says("it has its Docker socket after `wsl --terminate bad`").says("bad does not answer");
        assert_said(&instance, &["failed", "does not answer", "`wsl --terminate bad`"]);
        assert_unharmed(&instance);
        let disabled = instance.sampan(&["integration", "disable", "bad"]);
        disabled.expect(0).says("it is without the Docker socket after `wsl --terminate bad`");
    }
    assert!(init.is_alive(), "all of this was while it hung");
    instance.sampan(&["integration", "enable", "bad"]).expect_failure();
    signal(Signal::CONT);
    waiting::until("it answers again", || row(&instance, "bad").contains("ready"));
    docker_works(&instance, "bad");
}

/// The disk of `bad` as the hub has it, on which all that writes waits until this is dropped.
struct Frozen(PathBuf);

impl Frozen {
    #[track_caller]
    fn new(instance: &Instance) -> Self {
        let guid = instance.registry().find("bad").expect("it was imported").guid;
        let at = PathBuf::from(format!("/proc/{}/root/views/{guid}", instance.hub().pid));
        Tool::new("fsfreeze").arg("-f").arg(&at).run().expect(0);
        Self(at)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        Tool::new("fsfreeze").arg("-u").arg(&self.0).run();
    }
}

/// Begins to enable docker in `bad`, whose disk is frozen, and waits until it hangs.
#[track_caller]
fn begin_to_enable(instance: &Instance) -> Job {
    let enable = instance.tool(&["integration", "enable", "bad"]).spawn();
    let writes = |process: &Process| process.command_line().get(1).is_some_and(|verb| verb == "integrate");
    waiting::until("its files are being written", || instance.processes().iter().any(writes));
    enable
}

fn hanging_disk() {
    let instance = instance();
    instance.sampan(&["integration", "disable", "bad"]).expect(0);
    instance.import("third", &roots::small(), 2);
    let frozen = Frozen::new(&instance);
    let enable = begin_to_enable(&instance);
    assert_said(&instance, &["preparing"]);
    docker_works(&instance, "good");
    instance.sampan(&["integration", "enable", "third"]).expect(0);
    docker_works(&instance, "third");
    assert_unharmed(&instance);
    assert!(!enable.has_ended(), "all of this was while it hung");
    drop(frozen);
    enable.finish().expect(0).says("docker works in bad.");
    assert_said(&instance, &["ready"]);
}

fn held_layer() {
    let instance = instance();
    // On the engine's way down with all else, and with a distribution that goes on.
    for others in [&[][..], &["good"]] {
        for name in ["good", "bad"] {
            docker_works(&instance, name);
            if !others.contains(&name) {
                instance.wsl(&["--terminate", name]).expect(0);
            }
        }
        let guid = instance.registry().find("bad").expect("it was imported").guid;
        let view = format!("/proc/{}/root/views/{guid}/etc", instance.hub().pid);
        let held = fs::File::open(&view).expect("the engine has its disk");
        let restarted = instance.sampan(&["restart"]);
        restarted.expect(0).says("bad/ext4.img");
        docker_works(&instance, "good");
        assert_unharmed(&instance);
        drop(held);
        docker_works(&instance, "bad");
    }
}

fn dying_init() {
    let instance = instance();
    instance.sampan(&["integration", "disable", "bad"]).expect(0);
    let frozen = Frozen::new(&instance);
    let enable = begin_to_enable(&instance);
    init(&instance).kill();
    docker_works(&instance, "good");
    assert!(!enable.has_ended(), "it died while docker was put into it");
    drop(frozen);
    enable.finish().expect(0).says("docker works in bad.");
    assert_said(&instance, &["ready"]);

    init(&instance).kill_and_wait();
    waiting::until("its end is noticed", || instance.state_of("bad") == "Stopped");
    assert_said(&instance, &["distribution stopped"]);
    assert_unharmed(&instance);
    assert_said(&instance, &["distribution stopped"]);
    docker_works(&instance, "bad");
    assert_said(&instance, &["ready"]);
}

fn failing_init() {
    let instance = instance();
    let script = "mkdir -p /sbin && printf '#!/bin/sh\\nexit 1\\n' > /sbin/init && chmod 755 /sbin/init && \
                  printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf";
    instance.inside("bad", script).expect(0);
    instance.wsl(&["--terminate", "bad"]).expect(0);
    assert_said(&instance, &["distribution stopped"]);
    instance.inside("bad", "true").expect_failure();
    assert_said(&instance, &["failed", "its first process died"]);
    assert_unharmed(&instance);
    for word in ["disable", "enable"] {
        instance.sampan(&["integration", word, "bad"]);
        assert_unharmed(&instance);
    }
    assert_said(&instance, &["failed", "its first process died"]);

    // Whatever mends it: the next start that is one is believed.
    instance.wslconfig("[wsl2]\nsafeMode=true\n[general]\ninstanceIdleTimeout=-1\n");
    instance.inside("bad", "rm /etc/wsl.conf").expect(0);
    assert_said(&instance, &["ready"]);
}

fn missing() {
    let instance = instance();
    let kept = instance.scratch("kept").join("ext4.img");
    instance.wsl(&["--shutdown"]).expect(0);
    fs::rename(instance.disk_of("bad"), &kept).expect("it is not in use");
    let why = ["failed", "ext4.img", "`wsl --unregister bad`"];
    let started = instance.sampan(&["start"]);
    started.expect(0).says("containers do not see the files of bad").says("ext4.img");
    docker_works(&instance, "good");
    assert_said(&instance, &why);
    assert_unharmed(&instance);
    instance.sampan(&["integration", "repair", "bad"]).expect_failure();
    assert_said(&instance, &why);
    instance.sampan(&["integration", "enable", "bad"]).expect_failure();
    assert_said(&instance, &why);
    // Its switch is off from then on, and what it has is still there.
    instance.sampan(&["integration", "disable", "bad"]).expect_failure();
    assert_said(&instance, &["off", "`sampan integration disable bad`"]);
    assert_unharmed(&instance);

    fs::rename(&kept, instance.disk_of("bad")).expect("its place is free");
    instance.inside("bad", "test ! -e /usr/bin/docker && ! grep docker /etc/group").expect(0);
    assert!(!row(&instance, "bad").contains("disable"), "nothing is left of it");
    instance.sampan(&["integration", "enable", "bad"]).expect(0);
    assert_said(&instance, &["ready"]);
}

fn read_only() {
    // A root that the kernel mounts for reading only, and one in which nobody may change a folder
    // (`EXT4_FEATURE_RO_COMPAT_READONLY`; `EXT4_IMMUTABLE_FL` beside `EXT4_EXTENTS_FL`: Linux, `fs/ext4/ext4.h`).
    let ways = [
        ("feature read-only", "Read-only file system"),
        ("set_inode_field /etc flags 0x80010", "Operation not permitted"),
    ];
    for (way, why) in ways {
        let instance = instance();
        instance.sampan(&["integration", "disable", "bad"]).expect(0);
        instance.wsl(&["--shutdown"]).expect(0);
        Tool::new("debugfs").args(["-w", "-R", way]).arg(instance.disk_of("bad")).run().expect(0);
        instance.sampan(&["start"]).expect(0);
        let enabled = instance.sampan(&["integration", "enable", "bad"]);
        enabled.expect_failure();
        enabled.says("`docker` cannot be put into bad").says(why);
        docker_works(&instance, "good");
        assert_said(&instance, &["failed", "`docker` cannot be put into bad", why]);
        assert_unharmed(&instance);
        instance.inside("bad", "touch /etc/new").expect_failure();
        assert_said(&instance, &["failed", why]);
        instance.inside("bad", "test -e /usr/bin/docker").expect_failure();
        // What does not need its disk is there all the same.
        docker_works(&instance, "bad");
    }
}
