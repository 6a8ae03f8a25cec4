//! The disks of distributions that docker works in: where the engine sees them, for as long as it runs.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::instance::{Instance, recorded};
use sampan_e2e::processes::Process;
use sampan_e2e::tools::{Output, Tool};
use sampan_e2e::{disk, files, kernel, roots, waiting};
use sampan_model::views;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_layers::containers_find_their_files_by_themselves", durable),
        Case::new("integration_layers::a_disk_that_containers_use_is_not_taken_from_them", held),
        Case::new("integration_layers::a_damaged_disk_keeps_no_engine_from_starting", damaged),
        Case::new("integration_layers::a_disk_that_hangs_keeps_no_engine_from_starting", hanging),
        Case::new("integration_layers::a_new_hub_takes_over_what_the_engine_sees", dead_hub),
        Case::new("integration_layers::they_follow_the_default_distribution_and_the_engine", follow),
        Case::new("integration_layers::an_export_lets_containers_go_on", export),
    ]
}

/// An instance whose engine runs, and whose default distribution is `d`.
fn instance() -> Instance {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    instance.start().ok();
    instance.need_busybox();
    instance
}

/// Where the engine sees `path` of the distribution `name`.
fn seen(instance: &Instance, name: &str, path: &str) -> String {
    let guid = instance.registry().find(name).expect("it was imported").guid;
    views::seen(&guid.to_string(), path)
}

fn is_seen(instance: &Instance, name: &str) -> bool {
    instance.engine_file(&seen(instance, name, "/etc/os-release")).exists()
}

/// `docker` at dockerd's own socket, where paths are those of the engine.
fn bare(instance: &Instance, args: &[&str]) -> Output {
    let socket = format!("unix://{}", instance.engine_file("/run/docker.sock").display());
    instance.docker_tool(&["-H", &socket]).args(args).run()
}

/// A container that comes back by itself and writes its host name and a new line into `/srv/said` of `d` at each start.
fn writer(instance: &Instance, name: &str) {
    let bind = format!("{}:/x", seen(instance, "d", "/srv"));
    let script = "echo started >> /x/said; exec sleep 36000";
    bare(
        instance,
        &["run", "-d", "--name", name, "--restart", "always", "-v", &bind, "e2e/busybox", "sh", "-c", script],
    )
    .expect(0);
}

/// How often the container has said so in `d`, by what is read in the distribution itself.
fn said(instance: &Instance) -> usize {
    instance.inside("d", "cat /srv/said").text().lines().filter(|line| *line == "started").count()
}

#[track_caller]
fn wait_for(instance: &Instance, times: usize) {
    waiting::until("the container has written into the distribution again", || said(instance) == times);
}

/// One loop device for each disk, whatever happens.
#[track_caller]
fn assert_attached_once(instance: &Instance) {
    let disk = instance.disk_of("d");
    let loops = kernel::loops_below(disk.parent().expect("a folder"));
    assert_eq!(loops.len(), 1, "{loops:?}");
}

fn durable() {
    let instance = instance();
    instance.inside("d", "mkdir -p /srv").expect(0);
    instance.wsl(&["--terminate", "d"]).expect(0);
    assert!(is_seen(&instance, "d"), "it does not run, and the engine sees its disk");
    writer(&instance, "box");
    wait_for(&instance, 1);

    instance.part("dockerd").expect("it runs").kill_and_wait();
    instance.wait_until_running();
    wait_for_container(&instance, "box");
    instance.wsl(&["--terminate", "d"]).expect(0);
    bare(&instance, &["restart", "-t", "0", "box"]).expect(0);
    let times = said(&instance);
    assert!(times >= 2, "the distribution that was started again sees what the container writes: {times}");
    assert_attached_once(&instance);

    // While it does not run, through a whole restart of the engine and of everything.
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.sampan(&["restart"]).ok();
    wait_for_container(&instance, "box");
    wait_for(&instance, times + 1);
    instance.wsl(&["--shutdown"]).expect(0);
    assert_eq!(kernel::loops_below(&instance.identity().root), [], "nothing is attached any more");
    instance.sampan(&["start"]).ok();
    wait_for_container(&instance, "box");
    wait_for(&instance, times + 2);

    // The engine ends while the distribution goes on.
    instance.sampan(&["stop"]).expect(0);
    instance.inside("d", "echo started >> /srv/said").expect(0);
    instance.sampan(&["start"]).ok();
    wait_for(&instance, times + 4);
    // Its init dies.
    let guid = instance.registry().find("d").expect("it is there").guid;
    recorded(&instance.place().distro_run(&guid).join("record.json")).kill_and_wait();
    waiting::until("its end is noticed", || instance.state_of("d") == "Stopped");
    assert!(is_seen(&instance, "d"));
    assert_attached_once(&instance);
    bare(&instance, &["exec", "box", "sh", "-c", "echo started >> /x/said"]).expect(0);
    wait_for(&instance, times + 5);
}

#[track_caller]
fn wait_for_container(instance: &Instance, name: &str) {
    waiting::until("the container is up", || {
        let look = instance.docker(&["inspect", "--format", "{{.State.Running}}", name]);
        look.code() == Some(0) && look.text().trim() == "true"
    });
}

fn held() {
    let instance = instance();
    instance.inside("d", "mkdir -p /srv").expect(0);
    writer(&instance, "box");
    wait_for(&instance, 1);
    let id = instance.inspect("box", "{{.Id}}")[..12].to_owned();
    let disk = instance.disk_of("d");
    let (elsewhere, vhd) = (instance.scratch("elsewhere"), instance.scratch("vhd").join("d.vhdx"));
    let refused = |args: &[&str]| {
        let output = instance.wsl(args);
        output
            .expect(255)
            .says("Containers use files of d")
            .says(&id)
            .says("sampan docker stop")
            .says("ERROR_BUSY");
    };
    let running = instance.state_of("d");
    assert_eq!(running, "Running");
    refused(&["--unregister", "d"]);
    refused(&["--set-version", "d", "1"]);
    refused(&["--export", "d", path(&vhd), "--format", "vhd"]);
    assert_eq!(instance.state_of("d"), "Running", "nothing was ended for what is refused");
    instance.wsl(&["--terminate", "d"]).expect(0);
    for _ in 0..2 {
        refused(&["--unregister", "d"]);
        refused(&["--manage", "d", "--move", path(&elsewhere)]);
        refused(&["--manage", "d", "--resize", "2TB"]);
    }
    assert_attached_once(&instance);
    assert_eq!(bare(&instance, &["exec", "box", "cat", "/x/said"]).ok(), "started", "nothing was taken away");
    wait_for(&instance, 1);

    // Not even the user's own word that it is to be off takes it away while it is used; a start finds the same.
    let off = r#"{"schemaVersion":1,"enableIntegrationWithDefaultWslDistro":false}"#;
    files::write(&instance.place().settings(), off);
    instance.wsl(&["--terminate", "d"]).expect(0);
    assert!(is_seen(&instance, "d"), "a container names it");
    assert_attached_once(&instance);
    bare(&instance, &["exec", "box", "sh", "-c", "echo started >> /x/said"]).expect(0);
    assert_eq!(said(&instance), 2, "it is the same file system");
    assert_attached_once(&instance);
    instance.wsl(&["--terminate", "d"]).expect(0);
    refused(&["--unregister", "d"]);
    fs::remove_file(instance.place().settings()).expect("it was written");
    instance.wsl(&["--set-default", "d"]).expect(0);
    assert!(is_seen(&instance, "d"), "the switch is on again");

    instance.docker(&["rm", "-f", "box"]).ok();
    instance.wsl(&["--manage", "d", "--resize", "2TB"]).expect(0);
    assert!(is_seen(&instance, "d"), "it is back");
    instance.wsl(&["--manage", "d", "--move", path(&elsewhere)]).expect(0);
    assert!(is_seen(&instance, "d"), "from its new place");
    assert!(!disk.exists() && said(&instance) == 2);
    instance.wsl(&["--export", "d", path(&vhd), "--format", "vhd"]).expect(0);
    assert!(is_seen(&instance, "d"), "it is back");
    instance.wsl(&["--set-version", "d", "1"]).expect(0);
    assert!(!is_seen(&instance, "d"), "of version 1 there is no disk");
    instance.wsl(&["--set-version", "d", "2"]).expect(0);
    assert!(is_seen(&instance, "d"), "it is back");
    assert_eq!(said(&instance), 2);
    instance.wsl(&["--unregister", "d"]).expect(0);
    assert!(!elsewhere.join("ext4.img").exists());
}

/// Sets the flag of a file system that has errors; whoever starts it repairs it.
fn flag_errors(disk: &Path) {
    // `s_state` of ext4 (Linux, `Documentation/filesystems/ext4/super.rst`).
    Tool::new("debugfs").args(["-w", "-R", "ssv state 2"]).arg(disk).run().expect(0);
}

fn damaged() {
    let instance = instance();
    instance.import("e", &roots::small(), 2);
    instance.import("gone", &roots::small(), 2);
    let both = r#"{"schemaVersion":1,"integratedWslDistros":["e","gone","never"]}"#;
    files::write(&instance.place().settings(), both);
    let restarted = instance.sampan(&["restart"]);
    restarted.expect(0).says("settings.json names never, and no distribution is called that");
    assert!(!restarted.all().contains("names gone"), "{restarted}");
    assert!(["d", "e", "gone"].iter().all(|name| is_seen(&instance, name)));
    instance.wsl(&["--shutdown"]).expect(0);

    flag_errors(&instance.disk_of("d"));
    fs::remove_file(instance.disk_of("gone")).expect("it is there");
    let started = instance.sampan(&["start"]);
    started.expect(0).says("containers do not see the files of d: its file system is damaged");
    started.says("`wsl -d d` repairs it").says("containers do not see the files of gone");
    assert!(!started.all().contains("files of e"), "{started}");
    assert!(!is_seen(&instance, "d") && is_seen(&instance, "e"));
    assert_eq!(
        kernel::loops_below(instance.disk_of("d").parent().expect("a folder")),
        [],
        "it is left alone"
    );

    instance.inside("d", "echo whole").expect(0).says("had errors, which were repaired");
    assert!(is_seen(&instance, "d"));
    instance.wsl(&["--terminate", "d"]).expect(0);
    assert!(is_seen(&instance, "d"), "from then on it is as all others");

    // A disk that is no file system at all.
    instance.sampan(&["stop"]).expect(0);
    let file = fs::File::options().write(true).open(instance.disk_of("e")).expect("it is there");
    file.write_all_at(&[0; 4096], 0).expect("it can be written");
    instance.sampan(&["start"]).expect(0).says("containers do not see the files of e");
    assert!(is_seen(&instance, "d"));
}

/// A file system on which all that writes waits, until this is dropped.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    #[track_caller]
    fn new(at: &'a Path) -> Self {
        Tool::new("fsfreeze").arg("-f").arg(at).run().expect(0);
        Self(at)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        Tool::new("fsfreeze").arg("-u").arg(self.0).run();
    }
}

/// A file system of its own, until this is dropped.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        Tool::new("umount").arg(self.0).run();
    }
}

fn hanging() {
    let instance = instance();
    instance.sampan(&["stop"]).expect(0);
    let at = instance.scratch("distributions").join("slow");
    files::make_folder(&at);
    let image = disk::formatted(&instance.scratch("disks").join("slow.img"));
    Tool::new("mount").args(["-o", "loop"]).arg(&image).arg(&at).run().expect(0);
    let mounted = Mounted(&at);
    instance.import("slow", &roots::small(), 2);
    let both = r#"{"schemaVersion":1,"integratedWslDistros":["slow"]}"#;
    files::write(&instance.place().settings(), both);
    let frozen = Frozen::new(&at);
    let started = instance.sampan(&["start"]);
    drop(frozen);
    started.expect(0).says("containers do not see the files of slow: its disk could not be mounted within");
    assert!(is_seen(&instance, "d"), "it held up nobody");
    instance.inside("slow", "echo awake").expect(0).says("awake");
    assert!(is_seen(&instance, "slow"));
    instance.wsl(&["--unregister", "slow"]).expect(0);
    drop(mounted);
}

fn dead_hub() {
    let instance = instance();
    instance.inside("d", "mkdir -p /srv").expect(0);
    writer(&instance, "box");
    wait_for(&instance, 1);
    instance.import("e", &roots::small(), 2);
    let hub = instance.hub();
    hub.kill_and_wait();
    instance.sampan(&["start"]).ok();
    assert_ne!(instance.hub(), hub);
    // The one that the engine saw, and one that is started in the new hub.
    for name in ["d", "e"] {
        instance.inside(name, "echo here > /etc/mark").expect(0);
        assert!(is_seen(&instance, name), "{name}");
        assert_eq!(files::read(&instance.engine_file(&seen(&instance, name, "/etc/mark"))), b"here\n");
    }
    assert!(instance.engine_file("/views/host").is_dir());
    assert_attached_once(&instance);
    bare(&instance, &["restart", "-t", "0", "box"]).expect(0);
    wait_for(&instance, 2);
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.docker(&["rm", "-f", "box"]).ok();
    // Nothing of the dead one holds it.
    instance.wsl(&["--unregister", "d"]).expect(0);
    instance.wsl(&["--terminate", "e"]).expect(0);
    let engine: Process = instance.init();
    instance.sampan(&["restart"]).expect(0);
    assert_ne!(instance.init(), engine);
    assert!(instance.engine_file("/views/host").is_dir());
}

fn follow() {
    let instance = instance();
    instance.import("e", &roots::small(), 2);
    assert!(is_seen(&instance, "d") && !is_seen(&instance, "e"));
    instance.wsl(&["--set-default", "e"]).expect(0);
    assert!(!is_seen(&instance, "d") && is_seen(&instance, "e"));
    assert_eq!(kernel::loops_below(instance.disk_of("d").parent().expect("a folder")), []);

    // While it runs each is seen; what it keeps afterwards is another matter.
    instance.inside("d", "true").expect(0);
    assert!(is_seen(&instance, "d"));
    instance.wsl(&["--terminate", "d"]).expect(0);
    assert!(!is_seen(&instance, "d") && is_seen(&instance, "e"));

    // A service that was killed knows no less.
    instance.inside("e", "true").expect(0);
    instance.service().kill_and_wait();
    let guid = instance.registry().find("e").expect("it is there").guid;
    recorded(&instance.place().distro_run(&guid).join("record.json")).kill_and_wait();
    assert_eq!(instance.state_of("e"), "Stopped");
    assert!(is_seen(&instance, "e"));

    // Of what is written nothing is left to a later moment.
    instance.inside("e", "echo kept > /etc/file").expect(0);
    instance.wsl(&["--terminate", "e"]).expect(0);
    let look = Tool::new("debugfs").args(["-R", "cat /etc/file"]).arg(instance.disk_of("e")).run();
    look.expect(0).says("kept");

    // With the engine go the layers of those that do not run, and no others.
    instance.inside("d", "true").expect(0);
    instance.sampan(&["stop"]).expect(0);
    assert_eq!(kernel::loops_below(instance.disk_of("e").parent().expect("a folder")), []);
    instance.inside("d", "echo still here").says("still here");
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.inside("e", "true").expect(0);
    instance.wsl(&["--terminate", "e"]).expect(0);
    assert_eq!(
        kernel::loops_below(&instance.scratch("distributions")),
        [],
        "without an engine nothing stays"
    );
}

fn export() {
    let instance = instance();
    instance.inside("d", "mkdir -p /srv; echo content > /srv/file").expect(0);
    writer(&instance, "box");
    wait_for(&instance, 1);
    let tar = instance.scratch("export").join("d.tar");
    instance.wsl(&["--export", "d", path(&tar)]).expect(0).says("Containers use files of d");
    assert_eq!(instance.state_of("d"), "Stopped", "it ends for it, as ever");
    let read = |name: &str| Tool::new("tar").arg("-xOf").arg(&tar).arg(name).run().ok();
    assert_eq!((read("./srv/file").as_str(), read("./srv/said").as_str()), ("content", "started"));
    bare(&instance, &["exec", "box", "sh", "-c", "echo started >> /x/said"]).expect(0);
    wait_for(&instance, 2);
    assert_attached_once(&instance);

    // Without containers there is nothing to be told, and the engine sees it all the time.
    instance.docker(&["rm", "-f", "box"]).ok();
    let quiet = instance.wsl(&["--export", "d", path(&tar)]);
    assert!(!quiet.expect(0).all().contains("Containers"), "{quiet}");
    assert!(is_seen(&instance, "d"));
    assert_eq!(read("./srv/said"), "started\nstarted");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
