//! `sampan-guest integrate`: what it writes into a real file system, and that all of it can be undone.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "tests start programs and write plain files")]

#[path = "integrate/disk.rs"]
mod disk;
#[path = "boot/machine.rs"]
#[expect(dead_code, reason = "most of it is for distributions that run")]
mod machine;
#[path = "integrate/obstacles.rs"]
mod obstacles;
#[path = "boot/probe.rs"]
#[expect(dead_code, reason = "it is for distributions that run")]
mod probe;
#[path = "../../../crates/sys/tests/support/single.rs"]
mod single;
#[path = "server/world.rs"]
#[expect(dead_code, reason = "most of it is for distributions that run")]
mod world;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};

use disk::{Disk, refused};
use sampan_model::guest::{Answer, Integration};
use sampan_sys::inotify::Watch;
use sampan_sys::mount;
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::{poll, process};

fn main() -> ExitCode {
    single::run(&[OWN, obstacles::TESTS].concat())
}

const OWN: &[single::Test] = &[
    ("what_is_written_is_undone_exactly", what_is_written_is_undone_exactly),
    ("a_stopped_distribution_is_the_same", a_stopped_distribution_is_the_same),
    ("what_others_changed_stays", what_others_changed_stays),
    ("killed_at_any_time_it_is_undone", killed_at_any_time_it_is_undone),
    ("an_undo_that_is_killed_is_finished", an_undo_that_is_killed_is_finished),
    ("links_lead_nowhere_else", links_lead_nowhere_else),
    ("what_is_no_file_is_not_edited", what_is_no_file_is_not_edited),
    ("a_foreign_docker_stays_the_only_one", a_foreign_docker_stays_the_only_one),
    ("a_read_only_root_is_left_as_it_is", a_read_only_root_is_left_as_it_is),
    ("a_full_disk_is_left_as_it_is", a_full_disk_is_left_as_it_is),
    ("one_that_has_nothing_gets_what_it_needs", one_that_has_nothing_gets_what_it_needs),
    ("a_group_that_is_there_gets_a_member", a_group_that_is_there_gets_a_member),
    ("a_newer_program_takes_the_place_of_ours", a_newer_program_takes_the_place_of_ours),
    ("without_a_sound_journal_nothing_is_touched", without_a_sound_journal_nothing_is_touched),
];

const SHIM: &str = "usr/bin/docker";
const BASH: &str = "usr/share/bash-completion/completions/docker";

fn written(gid: u32) -> Answer {
    Answer::Written { gid, foreign: Vec::new(), warnings: Vec::new() }
}

fn what_is_written_is_undone_exactly() {
    let disk = Disk::usual();
    let before = disk.listing();
    assert_eq!(disk.write(), written(998));
    assert_eq!(disk.text(SHIM), "the program");
    assert_eq!(fs::metadata(disk.path(SHIM)).expect("shim").permissions().mode() & 0o7777, 0o755);
    assert!(disk.text(BASH).starts_with("# "));
    assert!(disk.path("usr/share/zsh/vendor-completions/_docker").exists());
    assert!(!disk.path("usr/share/fish").exists(), "a shell that is not there");
    assert_eq!(disk.text("etc/group"), "root:x:0:\nann:x:1000:\nlast:x:999:ann\ndocker:x:998:ann\n");
    assert_eq!(disk.text("etc/gshadow"), "root:*::\nann:!::\ndocker:!::ann\n");
    // As it was, but for content and time.
    let kind = |text: &str| text.split(" root").next().map(str::to_owned);
    let after = disk.listing();
    for file in ["/etc/group", "/etc/gshadow"] {
        let file = Path::new(file);
        assert_eq!(kind(&after[file].0), kind(&before[file].0));
    }
    assert!(before[Path::new("/etc/group")].0.contains("3:4 user.note=kept"), "{before:?}");
    for (path, time) in after.iter().filter(|(path, _)| before.contains_key(*path)) {
        let edited = ["/etc/group", "/etc/gshadow"].iter().any(|edited| path == Path::new(edited));
        assert!(edited || time.1 == before[path].1, "{}", path.display());
    }
    let journal = fs::read_to_string(disk.journal()).expect("journal");
    assert_eq!(fs::metadata(disk.journal()).expect("journal").permissions().mode() & 0o777, 0o600);

    assert_eq!(disk.write(), written(998), "a second time");
    assert_eq!(disk.listing(), after);
    assert_eq!(fs::read_to_string(disk.journal()).expect("journal"), journal);

    disk.undo_all();
    assert_eq!(disk.listing(), before);
    disk.undo_all();
    assert_eq!(disk.listing(), before);
}

fn a_stopped_distribution_is_the_same() {
    let disk = Disk::usual();
    let before = disk.listing();
    disk.detach();
    assert_eq!(disk.write(), written(998));
    disk.attach();
    assert_eq!(disk.text(SHIM), "the program");
    disk.detach();
    disk.undo_all();
    disk.attach();
    assert_eq!(disk.listing(), before);
}

fn what_others_changed_stays() {
    let disk = Disk::usual();
    let before = disk.listing();
    assert_eq!(disk.write(), written(998));
    let group = disk.text("etc/group") + "more:x:5:\n";
    fs::write(disk.path("etc/group"), group).expect("write");
    fs::write(disk.path(BASH), "mine").expect("write");
    fs::write(disk.path("usr/bin/new"), "new").expect("write");
    let shadow = disk.text("etc/gshadow").replace("::ann\n", "::ann,bob\n");
    fs::write(disk.path("etc/gshadow"), &shadow).expect("write");
    assert_eq!(disk.write(), written(998), "nothing of that is brought back");
    let mut kept = match disk.undo() {
        Answer::Undone { kept } => kept,
        other => panic!("{other:?}"),
    };
    kept.sort();
    assert_eq!(kept, [PathBuf::from("/etc/gshadow"), Path::new("/").join(BASH)]);
    assert!(!disk.journal().exists());
    assert_eq!(disk.text("etc/group"), "root:x:0:\nann:x:1000:\nlast:x:999:ann\nmore:x:5:\n");
    assert_eq!(disk.text("etc/gshadow"), shadow);
    assert_eq!(disk.text(BASH), "mine");
    let mut after = disk.listing();
    let mut before = before;
    for path in ["/etc/group", "/etc/gshadow", &format!("/{BASH}"), "/usr/bin/new"] {
        before.remove(Path::new(path));
        after.remove(Path::new(path));
    }
    // Who made a file there has changed the time of its folder, and that stays.
    for listing in [&mut before, &mut after] {
        listing.get_mut(Path::new("/usr/bin")).expect("folder").1 = None;
    }
    assert_eq!(after, before);
}

/// Kills it when something has changed `count` times; whether it was still running.
fn kill_after(disk: &Disk, begin: impl FnOnce() -> Child, count: usize) -> bool {
    let folders = ["usr/bin", "usr/share/bash-completion/completions", "etc"].map(|folder| disk.path(folder));
    let state = disk.folder().join("state");
    fs::create_dir_all(&state).expect("folder");
    let watches: Vec<Watch> =
        folders.iter().chain([&state]).map(|folder| Watch::new(folder).expect("watch")).collect();
    let mut child = begin();
    let pidfd = process::pidfd_open(i32::try_from(child.id()).expect("a pid")).expect("pidfd");
    let mut seen = 0;
    while seen < count {
        let fds: Vec<_> = watches.iter().map(AsFd::as_fd).chain([pidfd.as_fd()]).collect();
        let ready = poll::wait_readable(&fds, Some(world::PATIENCE)).expect("wait");
        assert!(ready.contains(&true), "it hangs");
        if ready[watches.len()] {
            break;
        }
        for (watch, _) in watches.iter().zip(&ready).filter(|(_, ready)| **ready) {
            watch.wait(None).expect("changes");
            seen += 1;
        }
    }
    let _ = child.kill();
    !child.wait().expect("wait").success()
}

fn killed_at_any_time_it_is_undone() {
    let disk = Disk::usual();
    let before = disk.listing();
    let mut killed = 0;
    for count in 0..40 {
        if kill_after(&disk, || disk.begin(&disk.writing()), count) {
            killed += 1;
        }
        if count % 2 == 1 {
            assert_eq!(disk.write(), written(998), "after {count} changes");
            assert_eq!(disk.text("etc/group").matches("docker").count(), 1);
        }
        disk.undo_all();
        assert_eq!(disk.listing(), before, "after {count} changes");
    }
    assert!(killed >= 10, "only {killed} were killed");
}

fn an_undo_that_is_killed_is_finished() {
    let disk = Disk::usual();
    let before = disk.listing();
    let mut killed = 0;
    for count in 0..30 {
        assert_eq!(disk.write(), written(998));
        if kill_after(&disk, || disk.begin(&disk.spec(Integration::Undo)), count) {
            killed += 1;
        }
        disk.undo_all();
        assert_eq!(disk.listing(), before, "after {count} changes");
    }
    assert!(killed >= 5, "only {killed} were killed");
}

fn links_lead_nowhere_else() {
    let victim = tempfile::tempdir().expect("folder");
    for folder in ["usr/bin", "etc"] {
        fs::create_dir_all(victim.path().join(folder)).expect("folder");
    }
    fs::write(victim.path().join("etc/group"), "root:x:0:\n").expect("write");
    let untouched = || {
        assert_eq!(fs::read_to_string(victim.path().join("etc/group")).expect("group"), "root:x:0:\n");
        assert_eq!(fs::read_dir(victim.path().join("usr/bin")).expect("folder").count(), 0);
        assert_eq!(fs::read_dir(victim.path().join("etc")).expect("folder").count(), 1);
    };
    let up = format!("../../../../../../../../..{}", victim.path().display());
    for target in [victim.path().display().to_string(), up, "/proc/1/root".to_owned(), "loop".to_owned()] {
        for name in ["usr", "etc"] {
            let disk = Disk::new(16 << 20, |tree| {
                fs::create_dir(tree.join("proc")).expect("folder");
                symlink(Path::new(&target).join(name), tree.join(name)).expect("link");
                symlink("loop", tree.join("loop")).expect("link");
            });
            let before = disk.listing();
            let told = refused(disk.write());
            assert!(told.contains(name), "{target} {name}: {told}");
            untouched();
            assert_eq!(disk.listing(), before, "{target} {name}: {told}");
            assert!(!disk.journal().exists());
        }
    }
    // Links that stay inside are followed.
    let disk = Disk::new(16 << 20, |tree| {
        disk::usual(tree);
        fs::rename(tree.join("usr"), tree.join("programs")).expect("rename");
        symlink("/../../programs", tree.join("usr")).expect("link");
    });
    let before = disk.listing();
    assert_eq!(disk.write(), written(998));
    assert_eq!(disk.text("programs/bin/docker"), "the program");
    disk.undo_all();
    assert_eq!(disk.listing(), before);
}

fn what_is_no_file_is_not_edited() {
    let disk = Disk::usual();
    let group = disk.path("etc/group");
    fs::remove_file(&group).expect("remove");
    let kinds: [(&str, &dyn Fn()); 4] = [
        ("a link", &|| symlink("passwd", &group).expect("link")),
        ("a folder", &|| fs::create_dir(&group).expect("folder")),
        ("no plain file", &|| {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &group, kind, 0o600.into(), 0).expect("pipe");
        }),
        ("no plain file", &|| {
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, &group, kind, 0o600.into(), rustix::fs::makedev(1, 5))
                .expect("device");
        }),
    ];
    for (kind, make) in kinds {
        make();
        let told = refused(disk.write());
        assert_eq!(told, format!("/etc/group of the distribution is {kind}: it is not edited"));
        assert!(!disk.path(SHIM).exists() && !disk.path(BASH).exists() && !disk.journal().exists());
        assert!(fs::remove_file(&group).or_else(|_| fs::remove_dir(&group)).is_ok());
    }
    // Late: all else was written already.
    fs::write(&group, "root:x:0:\n").expect("group");
    let immutable = |flag| {
        let set = Command::new("chattr").arg(flag).arg(&group).status();
        assert!(set.expect("chattr").success());
    };
    immutable("+i");
    let before = disk.listing();
    let told = refused(disk.write());
    assert!(told.starts_with("cannot write /etc/group of the distribution: "), "{told}");
    assert_eq!(disk.listing(), before);
    immutable("-i");
    assert!(!disk.journal().exists());
}

fn a_foreign_docker_stays_the_only_one() {
    for place in ["usr/bin", "usr/local/bin", "snap/bin"] {
        let disk = Disk::new(16 << 20, |tree| {
            disk::usual(tree);
            fs::create_dir_all(tree.join(place)).expect("folder");
            let program = tree.join("opt/its-docker");
            fs::create_dir_all(tree.join("opt")).expect("folder");
            fs::write(&program, "its docker").expect("program");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
            symlink("/opt/its-docker", tree.join(place).join("docker")).expect("link");
        });
        let before = disk.listing();
        let foreign = vec![Path::new("/").join(place).join("docker")];
        assert_eq!(disk.write(), Answer::Written { gid: 998, foreign, warnings: Vec::new() });
        let after = disk.listing();
        let new: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
        assert!(new.is_empty(), "{new:?}");
        assert!(disk.text("etc/group").contains("docker:x:998:ann"));
        disk.undo_all();
        assert_eq!(disk.listing(), before);
    }
}

/// Makes the mount of the distribution in the hub writable or not.
fn set_writable(disk: &Disk, writable: bool) {
    let hub = process::pidfd_open(disk.hub_pid()).expect("hub");
    single::in_child(Namespaces::MOUNT, || {
        namespace::enter(&hub, Namespaces::MOUNT).expect("enter");
        let view = Path::new("/views/it");
        let done = if writable { mount::remount_bind_rw(view) } else { mount::remount_bind_ro(view) };
        done.expect("remount");
    });
}

fn a_read_only_root_is_left_as_it_is() {
    let disk = Disk::usual();
    let before = disk.listing();
    set_writable(&disk, false);
    let told = refused(disk.write());
    assert!(told.contains("/usr/bin/docker") && told.contains("Read-only file system"), "{told}");
    assert_eq!(disk.listing(), before);
    set_writable(&disk, true);
    assert_eq!(disk.write(), written(998));
    let after = disk.listing();
    set_writable(&disk, false);
    let told = refused(disk.undo());
    assert!(told.contains("/etc/group") && told.contains("/usr/bin/docker"), "{told}");
    assert_eq!(disk.listing(), after);
    set_writable(&disk, true);
    disk.undo_all();
    assert_eq!(disk.listing(), before);
}

fn a_full_disk_is_left_as_it_is() {
    let disk = Disk::new(8 << 20, disk::usual);
    let before = disk.listing();
    fs::write(&disk.shim, vec![7; 16 << 20]).expect("a program larger than the disk");
    let told = refused(disk.write());
    assert!(told.contains("/usr/bin/docker") && told.contains("No space left on device"), "{told}");
    assert_eq!(disk.listing(), before);
    assert!(!disk.journal().exists());
}

fn one_that_has_nothing_gets_what_it_needs() {
    let disk = Disk::new(16 << 20, |_| ());
    let before = disk.listing();
    assert_eq!(disk.write(), written(999));
    assert_eq!(disk.text(SHIM), "the program");
    assert_eq!(disk.text("etc/group"), "docker:x:999:\n");
    assert!(!disk.path("etc/gshadow").exists());
    disk.undo_all();
    assert_eq!(disk.listing(), before);
    // What the user has put there since keeps the folder.
    assert_eq!(disk.write(), written(999));
    fs::write(disk.path("etc/hosts"), "mine").expect("write");
    disk.undo_all();
    assert_eq!(disk.text("etc/hosts"), "mine");
    assert!(!disk.path("usr").exists() && !disk.path("etc/group").exists());
}

fn a_group_that_is_there_gets_a_member() {
    let disk = Disk::new(16 << 20, |tree| {
        disk::usual(tree);
        fs::write(tree.join("etc/group"), "docker:x:50:bob\n+:::\n").expect("group");
        fs::write(tree.join("etc/wsl.conf"), "[user]\ndefault = cid\n").expect("wsl.conf");
        let users = "ann:x:1000:1000::/:/bin/sh\ncid:x:1001:1001::/:/bin/sh\n";
        fs::write(tree.join("etc/passwd"), users).expect("passwd");
    });
    let before = disk.listing();
    assert_eq!(disk.write(), written(50));
    assert_eq!(disk.text("etc/group"), "docker:x:50:cid,bob\n+:::\n");
    // The default user is another one now.
    fs::remove_file(disk.path("etc/wsl.conf")).expect("remove");
    assert_eq!(disk.write(), written(50));
    assert_eq!(disk.text("etc/group"), "docker:x:50:ann,cid,bob\n+:::\n");
    disk.undo_all();
    let mut before = before;
    before.remove(Path::new("/etc/wsl.conf"));
    let mut after = disk.listing();
    for listing in [&mut before, &mut after] {
        listing.get_mut(Path::new("/etc")).expect("folder").1 = None;
    }
    assert_eq!(after, before);
}

fn a_newer_program_takes_the_place_of_ours() {
    let disk = Disk::usual();
    let before = disk.listing();
    assert_eq!(disk.write(), written(998));
    fs::write(&disk.shim, "a newer program").expect("shim");
    assert_eq!(disk.write(), written(998));
    assert_eq!(disk.text(SHIM), "a newer program");
    disk.undo_all();
    assert_eq!(disk.listing(), before);
    // Not that of somebody else who has put his own there.
    let mine = Path::new("/").join(SHIM);
    for repaired in [false, true] {
        assert_eq!(disk.write(), written(998));
        fs::write(disk.path(SHIM), "mine").expect("write");
        let answer = if repaired { disk.repair() } else { disk.write() };
        assert_eq!(answer, Answer::Written { gid: 998, foreign: vec![mine.clone()], warnings: Vec::new() });
        // What is repaired is known to be another's from then on.
        let kept = if repaired { Vec::new() } else { vec![mine.clone()] };
        assert_eq!(disk.undo(), Answer::Undone { kept });
        assert_eq!(disk.text(SHIM), "mine");
        fs::remove_file(disk.path(SHIM)).expect("remove");
    }
}

fn without_a_sound_journal_nothing_is_touched() {
    let disk = Disk::usual();
    assert_eq!(disk.write(), written(998));
    let after = disk.listing();
    let whole = fs::read_to_string(disk.journal()).expect("journal");
    for damaged in
        ["", &whole[..whole.len() / 2], &whole.replace("\"schemaVersion\": 1", "\"schemaVersion\": 2")]
    {
        fs::write(disk.journal(), damaged).expect("write");
        for answer in [disk.write(), disk.undo()] {
            let told = refused(answer);
            assert!(told.starts_with("nothing was changed: "), "{told}");
            assert!(told.contains("state/journal.json"), "{told}");
        }
        assert_eq!(fs::read_to_string(disk.journal()).expect("journal"), damaged);
        assert_eq!(disk.listing(), after);
    }
}
