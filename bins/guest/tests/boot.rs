//! `sampan-guest boot`: distributions of both versions, with and without a user namespace, seen from the host and from
//! inside. What root inside tries is in `boot/probe.rs`: this program is also the one that runs there.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "tests start programs and write plain files")]

#[path = "boot/integration.rs"]
mod integration;
#[path = "boot/machine.rs"]
mod machine;
#[path = "boot/probe.rs"]
mod probe;
#[path = "../../../crates/sys/tests/support/single.rs"]
#[expect(dead_code, reason = "some of it is for tests of system calls")]
mod single;
#[path = "server/world.rs"]
#[expect(dead_code, reason = "what a distribution is made of here comes from the boot")]
mod world;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, ExitCode};

use machine::{IDS, Machine, members, root_at, run, try_run};
use sampan_model::guest::{Answer, BootSpec, DistroRecord, SharedFolder};
use sampan_model::integration::{FoundPath, PathAnswer, PathPlace, PathQuestion};
use sampan_sys::mount::{self, MountEntry, MountFlags, mountinfo};
use sampan_sys::socket;
use world::PATIENCE;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, name, rest @ ..] = &arguments[..]
        && word == probe::WORD
    {
        return probe::run(name, rest);
    }
    single::run(&[
        ("a_folder_is_a_distribution", a_folder_is_a_distribution),
        ("a_folder_that_cannot_be_shared_is_a_warning", a_folder_that_cannot_be_shared_is_a_warning),
        ("an_image_is_a_distribution", an_image_is_a_distribution),
        ("a_layer_is_the_file_system_of_the_start", a_layer_is_the_file_system_of_the_start),
        ("one_copy_of_the_program_is_executed_by_all", one_copy_of_the_program_is_executed_by_all),
        ("root_inside_is_not_root_of_the_host", root_inside_is_not_root_of_the_host),
        ("what_distributions_need_works", what_distributions_need_works),
        ("without_a_user_namespace_devices_stay_closed", without_a_user_namespace_devices_stay_closed),
        ("without_a_unified_hierarchy_devices_stay_closed", without_a_unified_hierarchy_devices_stay_closed),
        ("a_private_network_is_its_own", a_private_network_is_its_own),
        ("people_are_the_same_in_the_host_s_folders", people_are_the_same_in_the_host_s_folders),
        ("the_shared_folder_is_one", the_shared_folder_is_one),
        ("paths_lead_to_the_same_files_outside", paths_lead_to_the_same_files_outside),
        (
            "folders_are_seen_and_nothing_in_them_changes",
            integration::folders_are_seen_and_nothing_in_them_changes,
        ),
        (
            "the_link_follows_the_switch_and_spares_what_is_foreign",
            integration::the_link_follows_the_switch_and_spares_what_is_foreign,
        ),
        ("without_its_folder_it_starts_all_the_same", integration::without_its_folder_it_starts_all_the_same),
        ("names_follow_wsl_conf", names_follow_wsl_conf),
        ("a_read_only_image_is_only_looked_at", a_read_only_image_is_only_looked_at),
        ("a_broken_wsl_conf_is_a_warning", a_broken_wsl_conf_is_a_warning),
        ("links_of_an_image_lead_nowhere", links_of_an_image_lead_nowhere),
        ("a_failed_start_leaves_nothing", a_failed_start_leaves_nothing),
    ])
}

/// The warnings of a start that succeeds.
fn started(machine: &Machine, spec: &BootSpec) -> Vec<String> {
    match machine.boot(spec) {
        Answer::Started { warnings, .. } => warnings,
        other => panic!("{other:?}: {}", fs::read_to_string(&spec.log).unwrap_or_default()),
    }
}

/// The sentence of a start that fails.
fn refused(machine: &Machine, spec: &BootSpec) -> String {
    match machine.boot(spec) {
        Answer::Failed { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

fn of_pid(machine: &Machine, spec: &BootSpec, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", machine.pid(spec))).expect(file)
}

fn mounts_inside(machine: &Machine, spec: &BootSpec) -> Vec<MountEntry> {
    mountinfo(Some(machine.pid(spec))).expect("mounts")
}

/// What must hold for every distribution.
fn assert_apart(machine: &Machine, spec: &BootSpec) {
    for kind in ["mnt", "pid", "uts", "ipc", "cgroup"] {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).expect("namespace");
        assert_ne!(of(&machine.pid(spec).to_string()), of("self"), "{kind}");
    }
    let folder = machine.folder().to_string_lossy().into_owned();
    let host = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!host.contains(&folder), "nothing is mounted in the host's namespace: {host}");
    let inside = mounts_inside(machine, spec);
    let at = |path: &str| {
        let found: Vec<&MountEntry> =
            inside.iter().filter(|mount| mount.mount_point == Path::new(path)).collect();
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        found[0]
    };
    for path in ["/proc/sys", "/sys", "/run/sampan/guest"] {
        assert!(at(path).options.split(',').any(|option| option == "ro"), "{path}: {:?}", at(path));
    }
    for (path, fstype) in [
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/run", "tmpfs"),
        ("/proc", "proc"),
    ] {
        assert_eq!(at(path).fstype, fstype, "{path}");
    }
    assert!(at("/").shared.is_some(), "{:?}", at("/"));
    let hangs_on = |mount: &MountEntry| inside.iter().any(|other| other.mount_id == mount.parent_id);
    let on_nothing: Vec<_> = inside.iter().filter(|mount| !hangs_on(mount)).collect();
    assert_eq!(on_nothing, [at("/")], "no trace of the host's tree");
    let status = of_pid(machine, spec, "status");
    assert!(status.contains("\nNoNewPrivs:\t0\n") && status.contains("\nSeccomp:\t2\n"), "{status}");
}

/// The bounding set of PID 1.
fn bounding_set(machine: &Machine, spec: &BootSpec) -> u64 {
    let status = of_pid(machine, spec, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("capabilities");
    u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
}

/// What systemd-nspawn leaves its containers, without and with a network of their own.
const NSPAWN: u64 = 0xfdec_afff;
const NSPAWN_NETWORK: u64 = 0xfdec_bfff;
/// `CAP_SYS_RESOURCE`, which a machine may lack.
const SYS_RESOURCE: u64 = 1 << 24;

fn a_folder_is_a_distribution() {
    let machine = Machine::new();
    let spec = machine.spec("one", machine.folder_root("one"));
    assert_eq!(started(&machine, &spec), [""; 0]);
    assert_apart(&machine, &spec);
    let text = fs::read_to_string(&spec.record).expect("record");
    let record: DistroRecord = serde_json::from_str(&text).expect("record");
    assert_eq!((record.name.as_str(), record.guid, record.ids), ("one", spec.guid, spec.ids));
    let map = of_pid(&machine, &spec, "uid_map");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "2000000", "65536"]);
    let net = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).expect("network");
    assert_eq!(net(&machine.pid(&spec).to_string()), net("self"), "version 1 has the host's network");
    assert_eq!(bounding_set(&machine, &spec), NSPAWN);
    // What its root makes is root's on the disk: the folder is good for any range of ids.
    run(&spec, "make", &["/made"]);
    let made = machine.tree("one").join("made").metadata().expect("made inside");
    assert_eq!((made.uid(), made.gid()), (0, 0));
    assert_eq!(spec.control.metadata().expect("socket").mode() & 0o777, 0o600);
}

fn a_folder_that_cannot_be_shared_is_a_warning() {
    let mut machine = Machine::new();
    let good = machine.tree("good");
    fs::create_dir(&good).expect("folder");
    fs::write(good.join("file"), "here").expect("file");
    let shared = |name: &str, from: &Path| SharedFolder { name: name.to_owned(), from: from.to_owned() };
    let folders = vec![shared("gone", Path::new("/no/such/folder")), shared("good", &good)];
    let warnings = machine.start_hub_with(folders);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("/no/such/folder"), "{warnings:?}");
    assert!(machine.hub_has("/views/host/good"));
    assert!(!machine.hub_has("/views/host/gone"));
}

fn an_image_is_a_distribution() {
    let mut machine = Machine::new();
    machine.start_hub();
    let spec = machine.spec("two", machine.image_root("two", false));
    assert_eq!(started(&machine, &spec), [""; 0]);
    assert_apart(&machine, &spec);
    let net = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("network");
    assert_eq!(net(machine.pid(&spec)), net(machine.hub_pid()), "version 2 has the hub's network");
    let inside = mounts_inside(&machine, &spec);
    let root = inside.iter().find(|mount| mount.mount_point == Path::new("/")).expect("root");
    assert_eq!(root.fstype, "ext4");
    assert!(root.super_options.contains("discard"), "{}", root.super_options);
    assert_eq!(bounding_set(&machine, &spec), NSPAWN);
    run(&spec, "make", &["/made"]);
    machine.stop(&spec);
    // The layer in the hub stays, and the next start takes it.
    assert!(machine.hub_has("/views/two"));
    assert_eq!(started(&machine, &spec), [""; 0]);
    run(&spec, "is_there", &["/made"]);
}

fn a_layer_is_the_file_system_of_the_start() {
    let mut machine = Machine::new();
    machine.start_hub();
    let root = machine.image_root("two", false);
    machine.attach(&root);
    let layers = || {
        let mounts = mountinfo(Some(machine.hub_pid())).expect("mounts").into_iter();
        let layers = mounts.filter(|mount| mount.mount_point == Path::new("/views/two"));
        layers.map(|mount| (mount.minor, mount.super_options)).collect::<Vec<_>>()
    };
    let [(device, options)] = &layers()[..] else { panic!("{:?}", layers()) };
    assert!(options.contains("discard") && options.contains("errors=remount-ro"), "{options}");
    let spec = machine.spec("two", root.clone());
    assert_eq!(started(&machine, &spec), [""; 0]);
    run(&spec, "make", &["/made"]);
    let inside = mounts_inside(&machine, &spec);
    let at_root = inside.iter().find(|mount| mount.mount_point == Path::new("/")).expect("root");
    assert_eq!(at_root.minor, *device);
    machine.stop(&spec);
    assert_eq!(layers(), [(*device, options.clone())], "it is there as it was");
}

fn root_inside_is_not_root_of_the_host() {
    let mut machine = Machine::new();
    machine.start_hub();
    for (name, root) in [("one", machine.folder_root("one")), ("two", machine.image_root("two", false))] {
        let spec = machine.spec(name, root);
        started(&machine, &spec);
        let me = std::process::id().to_string();
        for (probe, _) in probe::REFUSED {
            run(&spec, probe, &[&me]);
        }
    }
}

fn one_copy_of_the_program_is_executed_by_all() {
    let machine = Machine::new();
    let specs = ["one", "two"].map(|name| machine.spec(name, machine.folder_root(name)));
    let programs = &specs[0].programs;
    fs::create_dir(programs).expect("folder");
    // Many machines have such a `/run`.
    mount::mount_fs("tmpfs", "tmpfs", programs, MountFlags::NOEXEC, "mode=0700").expect("tmpfs");
    for left in ["unfinished", "of-an-older-program"] {
        fs::write(programs.join(left), "#!/bin/sh").expect("write");
    }
    let answers = specs.each_ref().map(|spec| machine.boot(spec));
    let copies: Vec<_> = fs::read_dir(programs).expect("folder").flatten().collect();
    let copies: Vec<_> = copies.iter().map(|entry| entry.metadata().expect("copy")).collect();
    mount::unmount(programs, true).expect("unmount");
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Started { .. })), "{answers:?}");
    let copy = |meta: &fs::Metadata| (meta.dev(), meta.ino(), meta.mode() & 0o7777);
    let executed = specs.each_ref().map(|spec| {
        let program = fs::metadata(format!("/proc/{}/exe", machine.pid(spec))).expect("program");
        copy(&program)
    });
    assert_eq!(copies.iter().map(copy).collect::<Vec<_>>(), executed[..1]);
    assert_eq!(executed[0], executed[1]);
    assert_eq!(executed[0].2, 0o711);
}

fn what_distributions_need_works() {
    let mut machine = Machine::new();
    machine.start_hub();
    for (name, root) in [("one", machine.folder_root("one")), ("two", machine.image_root("two", false))] {
        let spec = machine.spec(name, root);
        started(&machine, &spec);
        for (probe, _) in probe::NEEDED {
            run(&spec, probe, &[]);
        }
    }
}

fn without_a_user_namespace_devices_stay_closed() {
    let mut machine = Machine::new();
    machine.start_hub();
    for (name, root, capabilities) in [
        ("one", machine.folder_root("one"), NSPAWN),
        ("two", machine.image_root("two", false), NSPAWN_NETWORK),
    ] {
        let spec = BootSpec { ids: None, ..machine.spec(name, root) };
        assert_eq!(started(&machine, &spec), [""; 0]);
        assert_apart(&machine, &spec);
        assert_eq!(bounding_set(&machine, &spec) | SYS_RESOURCE, capabilities, "{name}");
        for probe in ["foreign_devices", "clock", "write_this_program", "signal_outside"] {
            run(&spec, probe, &[&std::process::id().to_string()]);
        }
        // Root of the host, as the user was told. It also shows that the probe would notice.
        try_run(&spec, "core_pattern_of_a_fresh_proc", &[]).expect_err("a setting of the host");
    }
}

fn without_a_unified_hierarchy_devices_stay_closed() {
    let machine = Machine::new();
    let mut spec = BootSpec { ids: None, ..machine.spec("one", machine.folder_root("one")) };
    spec.cgroup.unified = None;
    let warnings = started(&machine, &spec);
    if spec.cgroup.others.iter().any(|inner| inner.join("devices.list").exists()) {
        assert_eq!(warnings, ["this machine has no unified cgroup hierarchy: there are no cgroups inside"]);
        run(&spec, "foreign_devices", &[]);
    } else {
        assert!(warnings[0].starts_with("access to devices cannot be limited: "), "{warnings:?}");
    }
}

fn a_private_network_is_its_own() {
    let mut machine = Machine::new();
    machine.start_hub();
    for (name, root) in [("one", machine.folder_root("one")), ("two", machine.image_root("two", false))] {
        machine.write_inside(&root, "etc/wsl.conf", "[sampan]\nprivateNetwork = true\n");
        let spec = machine.spec(name, root);
        assert_eq!(started(&machine, &spec), [""; 0]);
        let net = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).expect("network");
        let own = net(machine.pid(&spec));
        assert!(own != net(machine.hub_pid()) && own != net(std::process::id().cast_signed()), "{name}");
        assert_eq!(bounding_set(&machine, &spec), NSPAWN_NETWORK);
        run(&spec, "own_network", &[]);
    }
}

fn people_are_the_same_in_the_host_s_folders() {
    let machine = Machine::new();
    let shared = machine.folder().join("shared");
    fs::create_dir(&shared).expect("folder");
    for (name, uid, gid, mode) in [
        ("root", 0, 0, 0o644),
        ("open", 0, 0, 0o666),
        ("ann", 1000, 1000, 0o600),
        ("users", 1000, 100, 0o664),
    ] {
        let path = shared.join(name);
        fs::write(&path, "").expect("file");
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).expect("chown");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("mode");
    }
    let mut spec = machine.spec("one", machine.folder_root("one"));
    let folder = |name: &str, from: &Path| SharedFolder { name: name.to_owned(), from: from.to_owned() };
    spec.folders = vec![folder("srv/it", &shared), folder("gone", Path::new("/no/such/folder"))];
    let warnings = started(&machine, &spec);
    assert_eq!(warnings, ["/no/such/folder is shared with distributions, but is no folder of this machine"]);
    let at = "/mnt/host/srv/it";
    for (name, uid, gid) in
        [("root", 65534, 65534), ("open", 65534, 65534), ("ann", 1000, 1000), ("users", 1000, 65534)]
    {
        let path = format!("{at}/{name}");
        run(&spec, "owner_is", &[&path, &uid.to_string(), &gid.to_string()]);
    }
    let write = |uid: &str, name: &str| try_run(&spec, "write_as", &[uid, &format!("{at}/{name}")]);
    for name in ["open", "ann", "users"] {
        write("1000", name).expect("writable for its owner");
    }
    write("1001", "ann").expect_err("of somebody else");
    write("0", "root").expect_err("root inside is not root of the host");
    try_run(&spec, "take", &[&format!("{at}/root")]).expect_err("owned by the host's root");
    let inside = mounts_inside(&machine, &spec);
    let mount = inside.iter().find(|mount| mount.mount_point == Path::new(at)).expect("mounted");
    assert!(mount.options.contains("nosuid") && mount.options.contains("nodev"), "{}", mount.options);
    assert!(
        mount.shared.is_some() || mount.master.is_none(),
        "a slave of the host's, never a peer: {mount:?}"
    );
}

fn the_shared_folder_is_one() {
    let mut machine = Machine::new();
    machine.start_hub();
    let mut first = machine.spec("first", machine.image_root("first", false));
    let mut second = machine.spec("second", machine.image_root("second", false));
    second.ids = Some(sampan_model::guest::IdRange { base: IDS.base + IDS.count, count: IDS.count });
    let privileged = BootSpec { ids: None, ..machine.spec("third", machine.image_root("third", false)) };
    first.idle_timeout_ms = None;
    for spec in [&first, &second, &privileged] {
        assert_eq!(started(&machine, spec), [""; 0]);
    }
    run(&first, "make", &["/mnt/wsl/note"]);
    run(&second, "owner_is", &["/mnt/wsl/note", "0", "0"]);
    run(&privileged, "is_there", &["/mnt/wsl/note"]);
    // What root of the host mounts there is for all; what root of a distribution mounts is its own.
    run(&privileged, "mount_tmpfs", &["/mnt/wsl/for-all"]);
    run(&first, "mount_tmpfs", &["/mnt/wsl/for-me"]);
    let sees = |spec: &BootSpec, path: &str| {
        mounts_inside(&machine, spec).iter().any(|mount| mount.mount_point == Path::new(path))
    };
    assert!(sees(&first, "/mnt/wsl/for-all") && sees(&second, "/mnt/wsl/for-all"));
    assert!(sees(&first, "/mnt/wsl/for-me") && !sees(&second, "/mnt/wsl/for-me"));
    assert!(machine.hub_has("/wsl/for-all") && !machine.hub_has("/wsl/for-me"));
}

/// Where the distribution says that a path of its own leads.
fn place(spec: &BootSpec, path: &str) -> PathPlace {
    let question = PathQuestion { path: path.into() };
    let connection = socket::connect_seqpacket(&spec.paths).expect("connect");
    let question = serde_json::to_vec(&question).expect("plain data");
    socket::send_message(&connection, &question, &[]).expect("question");
    let message = socket::recv_message_within(&connection, PATIENCE).expect("in time").expect("an answer");
    serde_json::from_slice::<PathAnswer>(&message.bytes).expect("an answer").place
}

fn paths_lead_to_the_same_files_outside() {
    let mut machine = Machine::new();
    let work = machine.folder().join("work");
    fs::create_dir_all(work.join("over")).expect("folder");
    let name = work.to_str().expect("UTF-8").trim_start_matches('/').to_owned();
    let shared = SharedFolder { name: name.clone(), from: work.clone() };
    assert_eq!(machine.start_hub_with(vec![shared.clone()]), [""; 0]);
    for ids in [Some(IDS), None] {
        let image = if ids.is_some() { "own-users" } else { "privileged" };
        let root = machine.image_root(image, false);
        let spec = BootSpec { ids, folders: vec![shared.clone()], ..machine.spec(image, root) };
        started(&machine, &spec);
        assert_eq!(spec.paths.metadata().expect("socket").mode() & 0o777, 0o600);
        let (in_work, on_wsl) = (format!("/mnt/host/{name}/{image}"), format!("/mnt/wsl/{image}"));
        run(&spec, "make", &["/made"]);
        run(&spec, "make", &[&on_wsl]);
        fs::write(work.join(image), "").expect("file");
        let outside = |path: String| {
            let found = fs::metadata(format!("/proc/{}/root{path}", machine.hub_pid())).expect("in the hub");
            (found.dev(), found.ino())
        };
        let is = |found: FoundPath, path: &str| {
            assert_eq!((found.path.as_path(), found.missing.as_path()), (Path::new(path), Path::new("")));
            (found.device, found.inode)
        };
        let PathPlace::Root(found) = place(&spec, "/made") else { panic!("on the disk") };
        assert_eq!(is(found, "/made"), outside(format!("/views/{image}/made")));
        let PathPlace::Host(found) = place(&spec, &in_work) else { panic!("of the host") };
        let own = work.join(image);
        let own = own.to_str().expect("UTF-8");
        assert_eq!(is(found, own), outside(format!("/views/host{own}")));
        let PathPlace::Shared(found) = place(&spec, &on_wsl) else { panic!("shared") };
        assert_eq!(is(found, &format!("/{image}")), outside(format!("/wsl/{image}")));
        // What it mounts itself has the name of something outside, and is another file.
        run(&spec, "mount_tmpfs", &[&format!("/mnt/host/{name}/over")]);
        let PathPlace::Host(found) = place(&spec, &format!("/mnt/host/{name}/over")) else {
            panic!("of the host")
        };
        let own = format!("{}/over", work.display());
        assert_ne!(is(found, &own), outside(format!("/views/host{own}")));
        assert!(matches!(place(&spec, "/run/x"), PathPlace::Foreign { kind, .. } if kind == "tmpfs"));
        machine.stop(&spec);
        assert!(socket::connect_seqpacket(&spec.paths).is_err(), "nobody answers");
    }
}

fn names_follow_wsl_conf() {
    let machine = Machine::new();
    let root = machine.folder_root("one");
    let tree = machine.tree("one");
    let spec = machine.spec("one", root.clone());
    started(&machine, &spec);
    let file = |name: &str| fs::read_to_string(tree.join("etc").join(name)).unwrap_or_default();
    assert_eq!(file("hostname"), "box\n");
    assert!(file("hosts").contains("127.0.1.1\tbox.example\tbox\n"), "{}", file("hosts"));
    assert!(file("hosts").contains("10.1.2.3\tdb\n"), "{}", file("hosts"));
    let link = Path::new("/run/sampan/resolv.conf");
    assert_eq!(fs::read_link(tree.join("etc/resolv.conf")).expect("link"), link);
    run(&spec, "content_is", &["/etc/resolv.conf", "nameserver 10.0.0.1\n"]);
    run(&spec, "host_name_is", &["box"]);
    machine.stop(&spec);

    let conf = "[network]\nhostname = My_Own\ngenerateHosts = false\ngenerateResolvConf = false\n\
                [automount]\nroot = /win\n[sampan]\nprivileged = true\n";
    machine.write_inside(&root, "etc/wsl.conf", conf);
    machine.write_inside(&root, "etc/hosts", "mine");
    let mut spec = machine.spec("one", root);
    spec.folders = vec![SharedFolder { name: "t".to_owned(), from: machine.folder().to_owned() }];
    let warnings = started(&machine, &spec);
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("sampan distro set one --privileged"), "{warning}");
    assert_eq!((file("hostname").as_str(), file("hosts").as_str()), ("MyOwn\n", "mine"));
    assert!(tree.join("etc/resolv.conf").symlink_metadata().is_err(), "the link was ours");
    run(&spec, "is_there", &["/win/host/t/one"]);
}

fn a_read_only_image_is_only_looked_at() {
    let mut machine = Machine::new();
    machine.start_hub();
    let spec = machine.spec("two", machine.image_root("two", true));
    let warnings = started(&machine, &spec).join("\n");
    assert!(warnings.contains("/etc/hostname"), "{warnings}");
    let inside = mounts_inside(&machine, &spec);
    let root = inside.iter().find(|mount| mount.mount_point == Path::new("/")).expect("root");
    assert!(root.super_options.split(',').any(|option| option == "ro"), "{root:?}");
    run(&spec, "host_name_is", &["box"]);
}

fn a_broken_wsl_conf_is_a_warning() {
    let machine = Machine::new();
    let root = machine.folder_root("one");
    let conf = machine.tree("one").join("etc/wsl.conf");
    let warns = || {
        let spec = machine.spec("one", root.clone());
        let warnings = started(&machine, &spec);
        machine.stop(&spec);
        assert!(warnings.iter().any(|warning| warning.contains("/etc/wsl.conf")), "{warnings:?}");
        fs::remove_file(&conf).expect("remove");
    };
    fs::write(&conf, "[network\n").expect("write");
    warns();
    fs::write(&conf, vec![b'#'; 65 << 10]).expect("write");
    warns();
    symlink("/etc", &conf).expect("link");
    warns();
    // Opening it would never end.
    rustix::fs::mknodat(rustix::fs::CWD, &conf, rustix::fs::FileType::Fifo, 0o644.into(), 0).expect("pipe");
    warns();
}

fn links_of_an_image_lead_nowhere() {
    let machine = Machine::new();
    let victim = machine.folder().join("victim");
    fs::write(&victim, "untouched").expect("file");
    let folder = machine.folder().join("folder");
    fs::create_dir(&folder).expect("folder");
    let root = machine.folder_root("one");
    let tree = machine.tree("one");
    for (link, target) in [("etc/hostname", &victim), ("etc/hosts", &victim), ("etc/wsl.conf", &victim)] {
        symlink(target, tree.join(link)).expect("link");
    }
    for name in ["tmp", "mnt"] {
        fs::remove_dir(tree.join(name)).and_then(|()| symlink(&folder, tree.join(name))).expect("link");
    }
    let spec = machine.spec("one", root);
    let said = format!("{:?}", machine.boot(&spec));
    assert_eq!(fs::read_to_string(&victim).expect("file"), "untouched", "{said}");
    assert_eq!(fs::read_dir(&folder).expect("folder").count(), 0, "{said}");
    assert!(!said.contains("untouched"), "{said}");
}

fn a_failed_start_leaves_nothing() {
    let mut machine = Machine::new();
    machine.start_hub();
    let nothing = |spec: &BootSpec| {
        for path in [&spec.control, &spec.record] {
            assert!(!path.exists(), "{} is left", path.display());
        }
        assert_eq!(members(spec), [""; 0], "a process is left");
    };
    let spec = machine.spec("none", root_at(Path::new("/no/such/folder")));
    let said = refused(&machine, &spec);
    assert!(said.starts_with("cannot start none: ") && said.contains("/no/such/folder"), "{said}");
    nothing(&spec);

    // Late: after the process was made.
    let root = machine.image_root("two", false);
    let mut spec = machine.spec("two", root.clone());
    spec.cgroup.others.push("/no/such/cgroup".into());
    assert!(refused(&machine, &spec).contains("/no/such/cgroup"));
    nothing(&spec);
    let mut spec = machine.spec("two", root.clone());
    spec.record = "/no/such/folder/record.json".into();
    assert!(refused(&machine, &spec).contains("/no/such/folder"));
    nothing(&spec);
    // In the new root itself.
    let broken = machine.folder_root("broken");
    let proc = machine.tree("broken").join("proc");
    fs::remove_dir(&proc).and_then(|()| symlink("nowhere", &proc)).expect("link");
    let spec = machine.spec("broken", broken);
    assert!(refused(&machine, &spec).contains("/proc"));
    nothing(&spec);
    // Without a word about its disk.
    let spec = machine.spec("two", root.clone());
    assert!(machine.boot_without_disk(&spec).contains("its disk was not attached"));
    nothing(&spec);
    // And then it starts.
    let spec = machine.spec("two", root);
    started(&machine, &spec);

    // A file system that cannot shift ids: how to go on is said.
    let told = Command::new("unshare")
        .args(["-m", "--propagation", "slave", "sh", "-ec", "mount -t ramfs r \"$1\"; exec \"$0\" boot"])
        .arg(env!("CARGO_BIN_EXE_sampan-guest"))
        .arg(machine.tree("broken"))
        .stdin(machine.as_input(&machine.spec("broken", root_at(&machine.tree("broken"))), ""))
        .output()
        .expect("unshare");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("failed") && told.contains("sampan distro set broken --privileged"), "{told}");
}
