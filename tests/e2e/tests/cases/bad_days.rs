//! Bad days of disks: the host has no byte left, a disk nobody can repair, files that are no disks, places where nothing
//! can be put, and a service that dies at the wrong moment.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::disk::FullDisk;
use sampan_e2e::instance::Instance;
use sampan_e2e::processes::Process;
use sampan_e2e::tools::Tool;
use sampan_e2e::{disk, files, roots, traces, waiting};
use sampan_model::registry::Phase;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("disk_full::a_distribution_is_unregistered_without_a_byte_of_room", unregister),
        Case::new("disk_full::who_starts_a_distribution_is_warned_and_what_broke_is_repaired", full_host),
        Case::new("damage::a_repair_waits_for_room_on_the_host", repair_without_room),
        Case::new("damage::what_could_not_be_repaired_is_checked_once", given_up),
        Case::skippable("storage::files_that_are_no_disks_are_called_by_their_name", no_disks),
        Case::new("storage::what_could_never_start_is_not_imported", odd_folders),
        Case::new("storage::what_was_cut_off_is_not_listed", cut_off_is_not_listed),
        Case::new("storage::a_shrink_outlives_the_service_and_a_killed_one_is_repaired", cut_off_shrink),
        Case::new("storage::a_place_where_nothing_can_be_put_changes_nothing", bad_places),
    ]
}

/// Fills the disk of `folder` to its last byte; there is none for root either.
#[track_caller]
fn fill(folder: &Path) {
    for (name, piece) in [("filling", 1 << 20), ("filling-2", 4096), ("filling-3", 512)] {
        let path = folder.join(name);
        let mut file = File::options().create(true).append(true).open(path).expect("a name needs no room");
        let full = std::iter::repeat_with(|| file.write_all(&vec![1; piece])).find_map(Result::err);
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::StorageFull));
        let _ = file.sync_all();
    }
}

fn debugfs(image: &Path, requests: &str) {
    Tool::new("debugfs").args(["-w", "-f", "/dev/stdin"]).arg(image).input(requests).run().ok();
}

/// A folder for the front of PATH, in which `program` is the shell script `before`, and then the real one.
fn path_with(instance: &Instance, program: &str, before: &str) -> String {
    let real =
        Tool::new("sh").args(["-c", &format!("PATH=$PATH:/usr/sbin:/sbin command -v {program}")]).run().ok();
    let folder = instance.scratch("programs");
    let script = folder.join(program);
    files::write(&script, format!("#!/bin/sh\n{before}\nexec {real} \"$@\"\n"));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it was just made");
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

fn unregister() {
    let instance = Instance::new();
    let _disk = FullDisk::below(&instance, 60);
    let state = instance.identity().state_base();
    // One whose end makes no room where the registry is, and some whose end does.
    instance.import("elsewhere", &roots::small(), 2);
    let here = |name: &str, version: &str| {
        let import = instance.wsl_tool(&["--import", name]).arg(state.join(name)).arg(roots::small());
        import.args(["--version", version]).run().expect(0);
    };
    here("folder", "1");
    here("disk", "2");
    here("running", "2");
    instance.inside("running", "echo here").says("here");
    fill(&state);
    for name in ["elsewhere", "folder", "disk", "running"] {
        instance.wsl(&["--unregister", name]).expect(0);
        assert!(instance.registry().find(name).is_none(), "{:?}", instance.registry());
        assert!(!state.join(name).exists());
        // Somebody else takes what it made room for; and the next service finds the disk as full.
        fill(&state);
        instance.wsl(&["--shutdown"]).expect(0);
    }
    assert!(traces::loops(instance.identity()).is_empty());
    assert_eq!(instance.wsl(&["-l", "-q"]).text(), "");
}

fn full_host() {
    let instance = Instance::new();
    let room = FullDisk::below(&instance, 100);
    let state = instance.identity().state_base();
    instance.wsl_tool(&["--import", "d"]).arg(state.join("d")).arg(roots::small()).run().expect(0);
    let said = instance.inside("d", "echo precious > /file; sync; echo here");
    said.expect(0).says("here");
    let place = state.join("d").display().to_string();
    assert!(said.errors().contains(&format!("The host's disk with {place} has ")), "{said}");
    assert!(said.errors().contains("free some space"), "{said}");
    // All the same it is filled from inside.
    fill(&state);
    let said =
        instance.inside("d", "for i in $(seq 5000); do echo x > /file-$i && sync || exit 0; done; exit 1");
    said.expect(0).says("Read-only file system");
    instance.wsl(&["--terminate", "d"]).expect(0);
    let refused = instance.inside("d", "cat /file");
    refused.expect(255).says("ERROR_DISK_FULL").says("needs repair").says("free some space");
    room.make_room();
    let said = instance.inside("d", "cat /file; touch /new");
    said.expect(0).says("precious");
    assert!(said.errors().contains("which were repaired"), "{said}");
    assert!(!said.errors().contains("free some space"), "{said}");
}

fn repair_without_room() {
    let instance = Instance::new();
    instance.wslconfig("[wsl2]\ndefaultVhdSize=64MB\n");
    let room = FullDisk::below(&instance, 24);
    let state = instance.identity().state_base();
    instance.wsl_tool(&["--import", "d"]).arg(state.join("d")).arg(roots::small()).run().expect(0);
    let image = state.join("d/ext4.img");
    // e2fsck makes the missing folder anew, which takes room on the host.
    debugfs(&image, "rmdir lost+found\nset_super_value state 3\n");
    let before = files::read(&image);
    // A little is as bad as none: what is begun may end half way.
    for full in [false, true] {
        if full {
            fill(&state);
        }
        let refused = instance.inside("d", "true");
        refused
            .expect(255)
            .says("The disk of d needs repair, and the host's disk is full.")
            .says("ERROR_DISK_FULL");
        assert!(files::read(&image) == before, "a repair was begun without room for it");
        assert_eq!(instance.state_of("d"), "Stopped");
    }
    room.make_room();
    let said = instance.inside("d", "ls -d /lost+found");
    said.expect(0).says("/lost+found");
    assert!(said.errors().contains("which were repaired"), "{said}");
}

fn given_up() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    instance.inside("d", "echo precious > /var/file; echo x > /var/victim").expect(0);
    instance.wsl(&["--shutdown"]).expect(0);
    let image = instance.disk_of("d");
    let calls = instance.scratch("calls").join("e2fsck");
    let path = path_with(&instance, "e2fsck", &format!("echo called >> '{}'", calls.display()));
    let start = || {
        let look = ["-d", "d", "--cd", "/", "-e", "sh", "-c", "cat /var/file; touch /var/probe"];
        let said = instance.wsl_tool(&look).env("PATH", &path).run();
        // Not even the next service looks again.
        instance.wsl(&["--shutdown"]).expect(0);
        (said, fs::read_to_string(&calls).unwrap_or_default().lines().count())
    };
    // An inode that no folder leads to: whether it may go is for people to say.
    debugfs(&image, "unlink /var/victim\nset_super_value state 2\n");
    for _ in 0..3 {
        let (said, calls) = start();
        assert!(said.text().contains("precious") && said.code() != Some(0), "{said}");
        let command = format!("`e2fsck -f {}`", image.display());
        assert!(said.errors().contains("read-only") && said.errors().contains(&command), "{said}");
        assert_eq!(calls, 1);
    }
    assert_eq!(Tool::new("e2fsck").args(["-f", "-y"]).arg(&image).run().code(), Some(1));
    let (said, calls) = start();
    assert_eq!((said.ok().as_str(), calls), ("precious", 1));
    // What comes later is looked at anew.
    debugfs(&image, "set_super_value state 2\n");
    let (said, calls) = start();
    assert_eq!((said.ok().as_str(), calls), ("precious", 2));
}

fn no_disks() -> Result<(), Skip> {
    if Tool::new("sh").args(["-c", "command -v qemu-img"]).run().code() != Some(0) {
        return Err(Skip("qemu-img is not installed".to_owned()));
    }
    let instance = Instance::new();
    instance.wslconfig("[wsl2]\ndefaultVhdSize=64MB\n");
    let folder = instance.scratch("files");
    let file = |name: &str| folder.join(name);
    for (name, content) in [("empty", &b""[..]), ("text", b"hello"), ("qcow2", b"QFI\xfb"), ("xfs", b"XFSB")]
    {
        files::write(&file(name), content);
    }
    for name in ["qcow2", "xfs"] {
        File::options().write(true).open(file(name)).and_then(|it| it.set_len(1 << 20)).expect("it is there");
    }
    fs::copy(roots::small(), file("tar")).expect("room");
    instance.import("d", &roots::small(), 2);
    for name in ["d.vhdx", "d.vhd"] {
        instance.wsl_tool(&["--export", "d"]).arg(file(name)).args(["--format", "vhd"]).run().expect(0);
        let length = fs::metadata(file(name)).expect("it was exported").len();
        let opened = File::options().write(true).open(file(name));
        opened.and_then(|it| it.set_len(length / 3)).expect("it is ours");
    }
    fs::copy(instance.disk_of("d"), file("cut")).expect("room");
    File::options().write(true).open(file("cut")).and_then(|it| it.set_len(20 << 20)).expect("it is ours");
    files::make_folder(&file("folder"));
    let (corrupted, import, argument) = ("WSL_E_DISK_CORRUPTED", "WSL_E_IMPORT_FAILED", "E_INVALIDARG");
    let rows = [
        ("empty", corrupted, "is empty.", "copy the file again"),
        ("text", corrupted, "has no file system that is known here.", "ext4 is needed"),
        ("qcow2", corrupted, "is a disk in the format qcow2.", "qemu-img convert"),
        ("xfs", corrupted, "has the file system XFS, not ext4.", "ext4 is needed"),
        ("tar", import, "is an archive (tar), not a disk.", "wsl --import NAME FOLDER"),
        ("cut", corrupted, "is cut off: 20 MiB of ", "copy the file again"),
        ("d.vhdx", import, "cannot be read as a disk in the format VHDX.", "copy the file again"),
        ("d.vhd", import, "cannot be read as a disk in the format VHD.", "copy the file again"),
        ("folder", argument, "is a folder, not the file of a disk.", "ext4.img"),
        ("none", "ERROR_FILE_NOT_FOUND", "The system cannot find the file specified.", "there is no file "),
    ];
    let place = instance.scratch("distributions").join("new");
    for (name, code, sentence, hint) in rows {
        let here = instance.wsl_tool(&["--import-in-place", "x"]).arg(file(name)).run();
        let mut tries = vec![here];
        if fs::metadata(file(name)).is_ok_and(|meta| meta.is_file()) {
            tries.push(instance.wsl_tool(&["--import", "x"]).arg(&place).arg(file(name)).arg("--vhd").run());
        }
        for said in tries {
            said.expect(255).says(&format!("Wsl/Service/RegisterDistro/{code}\n")).says(sentence).says(hint);
            said.says(&file(name).display().to_string());
            let words = said.all();
            assert!(!words.contains("os error") && !words.contains("/proc/self"), "{words}");
            assert!(!words.contains(&place.display().to_string()), "it leads to what is gone: {words}");
            assert!(!place.exists() && instance.registry().find("x").is_none());
        }
    }
    assert_eq!(files::names(&folder).len(), rows.len() - 1, "nothing was made or removed");
    // A disk that breaks only when it is mounted: the way out is the file that the user has.
    let broken = disk::formatted(&file("broken"));
    debugfs(&broken, "clri <2>\n");
    let said = instance.wsl_tool(&["--import", "x"]).arg(&place).arg(&broken).arg("--vhd").run();
    said.expect(255).says(corrupted).says(&format!("`e2fsck -f {}`", broken.display()));
    Ok(())
}

fn odd_folders() {
    let instance = Instance::new();
    for (path, target) in [("proc", Some("tmp")), ("sys", Some("/nowhere")), ("dev", None), ("run", None)] {
        let tree = instance.scratch(path);
        Tool::new("tar").arg("-xf").arg(roots::small()).arg("-C").arg(&tree).run().ok();
        let odd = tree.join(path);
        if odd.exists() {
            fs::remove_dir_all(&odd).expect("it is ours");
        }
        match target {
            Some(target) => symlink(target, &odd).expect("its place is free"),
            None => files::write(&odd, "a file"),
        }
        let tar = roots::pack(&tree, &instance.scratch("tars").join(format!("{path}.tar")));
        for version in ["1", "2"] {
            let place = instance.scratch("distributions").join("odd");
            let import = instance.wsl_tool(&["--import", "odd"]).arg(&place).arg(&tar);
            let said = import.args(["--version", version]).run();
            said.expect(255).says("The imported file is not a valid Linux distribution.\n");
            said.says(&format!(
                "/{path} in it is {}.",
                if target.is_some() { "a link" } else { "no folder" }
            ));
            said.says("Wsl/Service/RegisterDistro/WSL_E_NOT_A_LINUX_DISTRO");
            assert!(!place.exists());
        }
    }
    assert!(instance.registry().distributions.is_empty());
}

/// The service and all that it started, ended at once while it imports from a pipe that gives no more.
fn cut_off_is_not_listed() {
    let instance = Instance::new();
    instance.import("whole", &roots::small(), 1);
    let place = instance.scratch("distributions").join("half");
    let pipe = instance.scratch("pipes").join("pipe");
    Tool::new("mkfifo").arg(&pipe).run().ok();
    // Both ends, so that to open it waits for nobody; and no more than a pipe takes at once.
    let mut writer = File::options().read(true).write(true).open(&pipe).expect("it is ours");
    writer.write_all(&files::read(&roots::small())[..60_000]).expect("somebody may read it");
    let from_pipe = format!("exec \"$0\" \"$@\" <'{}'", pipe.display());
    let import = instance.wsl_tool(&["--import", "half"]).arg(&place).arg("-");
    let import = import.under(["sh", "-c", &from_pipe]).spawn();
    waiting::until("it is being imported", || {
        assert!(!import.has_ended(), "it was to wait for its archive");
        instance.registry().find("half").is_some_and(|entry| entry.phase == Phase::Installing)
    });
    assert!(instance.wsl(&["-l", "-v"]).ok().contains("Installing"));
    let service = instance.service();
    let all: Vec<Process> = service.descendants();
    service.kill_and_wait();
    all.iter().for_each(Process::kill);
    import.kill();
    import.finish();
    // Nobody installs it any more, and no service runs that could remove it.
    let listing = instance.wsl(&["-l", "-v"]).ok();
    assert!(listing.contains("* whole") && !listing.contains("half"), "{listing}");
    assert!(instance.registry().find("half").is_some(), "to look is to change nothing");
    // Its name is free as soon as somebody wants it.
    instance.import("half", &roots::small(), 1);
    assert_eq!(instance.inside("half", "echo whole").ok(), "whole");
    assert!(instance.registry().distributions.iter().all(|entry| entry.phase == Phase::Installed));
}

/// Whether resize2fs has begun to change the file system: it says that there are errors until it is done.
fn is_being_resized(image: &Path) -> bool {
    let mut state = [0; 1];
    File::open(image).and_then(|file| file.read_exact_at(&mut state, 1024 + 0x3a)).is_ok()
        && state[0] & 2 != 0
}

fn cut_off_shrink() {
    let instance = Instance::new();
    instance.wslconfig("[wsl2]\ndefaultVhdSize=3GB\n");
    instance.import("d", &roots::small(), 2);
    // At the end of the disk, so that it has to move.
    let fill = "dd if=/dev/zero bs=1M count=1500 of=/first; dd if=/dev/urandom bs=1M count=150 of=/content; \
                rm /first; sync; sha256sum /content";
    let sum = instance
        .wsl_tool(&["-d", "d", "--cd", "/", "-e", "sh", "-c", fill])
        .deadline(waiting::LONG * 2)
        .run()
        .ok();
    let image = instance.disk_of("d");
    let check = |what: &str| {
        let said = instance.inside("d", "sha256sum /content; touch /new");
        assert_eq!(said.ok(), sum, "{what}");
        instance.wsl(&["--shutdown"]).expect(0);
    };
    instance.wsl(&["--shutdown"]).expect(0);

    let calls = instance.scratch("calls");
    let (begun, go) = (calls.join("begun"), calls.join("go"));
    let before = format!(
        "test \"$1\" = -P || {{ echo $$ > '{0}.new'; mv '{0}.new' '{0}'; while ! test -e '{1}'; do sleep 0.1; done; }}",
        begun.display(),
        go.display()
    );
    let path = path_with(&instance, "resize2fs", &before);
    let shrink = |size: &str| {
        let _ = (fs::remove_file(&begun), fs::remove_file(&go));
        let job = instance.wsl_tool(&["--manage", "d", "--resize", size]).env("PATH", &path).spawn();
        let tool = waiting::until_some("it is resized", || {
            assert!(!job.has_ended(), "it has ended");
            Process::find(fs::read_to_string(&begun).ok()?.trim().parse().ok()?)
        });
        (job, tool)
    };
    // The service dies, and what it began goes on. Nobody uses the disk meanwhile.
    let (job, tool) = shrink("1000MB");
    instance.service().kill_and_wait();
    job.finish().expect_failure();
    let said = instance.inside("d", "true");
    said.expect(255).says("ERROR_SHARING_VIOLATION").says("being used by another process").says("resize2fs");
    assert!(!said.all().contains("os error"), "{said}");
    files::write(&go, "");
    waiting::until("resize2fs has ended", || !tool.is_alive());
    check("after the service died");

    // resize2fs dies too, in the middle.
    let (job, tool) = shrink("800MB");
    instance.service().kill_and_wait();
    files::write(&go, "");
    waiting::until("it changes the file system", || !tool.is_alive() || is_being_resized(&image));
    tool.kill();
    job.finish().expect_failure();
    waiting::until("resize2fs has ended", || !tool.is_alive());
    check("after resize2fs died");
    // And once more to its end, with the room given back.
    let (job, _) = shrink("700MB");
    files::write(&go, "");
    job.finish().expect(0);
    assert_eq!(fs::metadata(&image).expect("its disk").len(), 700 << 20);
    check("at the end");
}

fn bad_places() {
    let instance = Instance::new();
    let _disk = FullDisk::below(&instance, 10);
    instance.import("d", &roots::small(), 2);
    instance.import("other", &roots::small(), 1);
    let state = instance.identity().state_base();
    let place = |name: &str| instance.scratch("distributions").join(name).display().to_string();
    let file = instance.scratch("files").join("file");
    files::write(&file, "precious");
    let before = instance.registry();
    let file = file.display().to_string();
    let full = state.join("new").display().to_string();
    fill(&state);
    for (to, code, words) in [
        (file.clone(), "ERROR_FILE_EXISTS", "is no folder"),
        (format!("{file}/below"), "ERROR_PATH_NOT_FOUND", "Not a directory"),
        (place("none/deep"), "ERROR_PATH_NOT_FOUND", "make the folder"),
        ("/sys/new".to_owned(), "E_ACCESSDENIED", "Cannot make /sys/new: "),
        (full, "ERROR_DISK_FULL", "free some space"),
        (place("d"), "ERROR_FILE_EXISTS", "already in use"),
        (place("other"), "ERROR_FILE_EXISTS", "already in use"),
        (place("other/rootfs/fs/home"), "ERROR_FILE_EXISTS", "already in use"),
    ] {
        let said = instance.wsl(&["--manage", "d", "--move", &to]);
        said.expect(255).says(&format!("Wsl/Service/MoveDistro/{code}\n")).says(words);
        assert!(!said.all().contains("os error"), "{said}");
        assert_eq!(instance.registry(), before);
        assert_eq!(instance.inside("d", "echo here").ok(), "here");
        instance.wsl(&["--terminate", "d"]).expect(0);
    }
    assert_eq!(files::read(Path::new(&file)), b"precious");
    assert!(!state.join("new").exists());
    // A folder in its own is as good as any.
    instance.wsl(&["--manage", "d", "--move", &place("d/deeper")]).expect(0);
    assert_eq!(instance.inside("d", "echo here").ok(), "here");
    assert!(fs::metadata(place("d/deeper/ext4.img")).is_ok());
}
