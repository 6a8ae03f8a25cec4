//! The storage of distributions: no room for it, a service that dies at work on it, disks that were made elsewhere.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::disk::FullDisk;
use sampan_e2e::held::Held;
use sampan_e2e::instance::Instance;
use sampan_e2e::processes::Process;
use sampan_e2e::random::Sequence;
use sampan_e2e::tools::{Job, Tool};
use sampan_e2e::{files, roots, traces, waiting};
use sampan_model::registry::Phase;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("storage::a_full_disk_ends_an_import_and_leaves_nothing", full_import),
        Case::new("storage::a_full_disk_leaves_a_distribution_as_and_where_it_is", full_change),
        Case::new("storage::a_killed_service_leaves_no_half_import", cut_off_import),
        Case::new("storage::a_killed_service_leaves_one_storage_of_a_move", cut_off_move),
        Case::new("storage::a_killed_service_leaves_no_half_removal", cut_off_removal),
        Case::new("storage::disks_are_moved_and_resized", moved_and_resized),
        Case::skippable("storage::i04_i07_i08_i13_disks_of_other_machines_come_and_go", other_disks),
        Case::new("storage::i19_i22_i23_disks_that_are_none", bad_disks),
        Case::new("storage::an_archive_may_come_through_a_pipe_that_stays_open", pipe),
    ]
}

/// How much [`large`] takes, in MiB.
const LARGE: u64 = 120;

/// A tarball of a distribution that takes a moment.
fn large(instance: &Instance) -> PathBuf {
    let tree = instance.scratch("large");
    Tool::new("tar").arg("-xf").arg(roots::small()).arg("-C").arg(&tree).run().ok();
    let mut sequence = Sequence::announced("content");
    for part in 0..LARGE {
        files::write(&tree.join(format!("part-{part}")), sequence.bytes(1 << 20));
    }
    roots::pack(&tree, &instance.scratch("tars").join("large.tar"))
}

fn import(instance: &Instance, name: &str, folder: &Path, tar: &Path, version: &str) -> Tool {
    instance.wsl_tool(&["--import", name]).arg(folder).arg(tar).args(["--version", version])
}

/// Requires that no distribution, no file of one and no disk is left.
#[track_caller]
fn assert_nothing(instance: &Instance, folder: &Path) {
    let registry = instance.registry();
    assert!(registry.distributions.is_empty(), "{registry:?}");
    assert!(!folder.exists(), "{:?}", files::names(folder));
    let loops = traces::loops(instance.identity());
    assert!(loops.is_empty(), "{loops:?}");
}

#[track_caller]
fn assert_works(instance: &Instance, name: &str) {
    let parts = instance.inside(name, "ls / | grep -c part-; cat /part-* | wc -c").ok();
    assert_eq!(parts, format!("{LARGE}\n{}", LARGE << 20));
    instance.wsl(&["--terminate", name]).expect(0);
}

fn full_import() {
    let instance = Instance::new();
    let tar = large(&instance);
    let disk = FullDisk::below(&instance, LARGE / 2);
    let folder = instance.identity().state_base().join("mine");
    for version in ["1", "2"] {
        let output = import(&instance, "large", &folder, &tar, version).run();
        output.expect(255).says("ERROR_DISK_FULL").says("free some space");
        assert_nothing(&instance, &folder);
    }
    disk.make_room();
    for version in ["1", "2"] {
        import(&instance, "large", &folder, &tar, version).run().expect(0);
        assert_works(&instance, "large");
        instance.wsl(&["--unregister", "large"]).expect(0);
        assert_nothing(&instance, &folder);
    }
    // And one whose own disk is too small for it.
    instance.wslconfig("[wsl2]\ndefaultVhdSize=64MB\n");
    let output = import(&instance, "large", &folder, &tar, "2").run();
    output.expect(255).says("ERROR_DISK_FULL").says("64 MiB");
    assert_nothing(&instance, &folder);
}

fn full_change() {
    let instance = Instance::new();
    let tar = large(&instance);
    let disk = FullDisk::below(&instance, LARGE + LARGE / 2);
    let small = instance.identity().state_base().join("small");
    let wide = instance.scratch("wide").join("d");
    let full = |words: &[&str]| {
        instance.wsl_tool(words).run().expect(255).says("ERROR_DISK_FULL");
        let registry = instance.registry();
        assert_eq!(registry.distributions[0].leftover, None, "{registry:?}");
        assert_works(&instance, "large");
    };
    for (version, other) in [("1", "2"), ("2", "1")] {
        import(&instance, "large", &small, &tar, version).run().expect(0);
        full(&["--set-version", "large", other]);
        assert_eq!(files::names(&small), [if version == "1" { "rootfs" } else { "ext4.img" }]);
        let target = instance.identity().state_base().join("export.tar");
        full(&["--export", "large", &target.display().to_string()]);
        assert!(!target.exists(), "half an archive is left");
        files::write(&target, "former\n");
        let append = format!("exec \"$@\" >> '{}'", target.display());
        let appended =
            instance.wsl_tool(&["--export", "large", "-"]).under(["sh", "-c", &append, "sh"]).run();
        appended.expect(255).says("ERROR_DISK_FULL");
        assert_eq!(files::read(&target), b"former\n", "what was there before");
        fs::remove_file(&target).expect("it was just made");
        // There is room elsewhere, and the way back is too narrow for two.
        let elsewhere = wide.display().to_string();
        instance.wsl(&["--manage", "large", "--move", &elsewhere]).expect(0);
        assert!(!small.exists());
        let ballast = instance.identity().state_base().join("more");
        Tool::new("fallocate").args(["-l", &format!("{LARGE}MiB")]).arg(&ballast).run().ok();
        full(&["--manage", "large", "--move", &small.display().to_string()]);
        assert!(!small.exists() && wide.exists());
        fs::remove_file(&ballast).expect("it was just made");
        instance.wsl(&["--unregister", "large"]).expect(0);
        assert_nothing(&instance, &wide);
    }
    disk.make_room();
}

/// Kills the service while it does `job`.
#[track_caller]
fn kill_during(instance: &Instance, job: Job) {
    Process::find(instance.service().pid).expect("it runs").kill_and_wait();
    // Whoever waits for a dead service is told.
    job.finish().expect_failure();
}

/// Starts the next service, with a command that has nothing to do with any distribution.
#[track_caller]
fn start_service(instance: &Instance) {
    instance.wsl(&["--set-default-version", "2"]).expect(0);
}

fn cut_off_import() {
    let instance = Instance::new();
    let tar = large(&instance);
    let folder = instance.scratch("distributions").join("new");
    let pipe = instance.scratch("pipes").join("pipe");
    Tool::new("mkfifo").arg(&pipe).run().ok();
    for version in ["1", "2"] {
        let part = if version == "1" { folder.join("rootfs") } else { folder.join("ext4.img") };
        // The archive's second half does not come.
        let (half, came) = mpsc::channel();
        let (done, wait) = mpsc::channel::<()>();
        let (end, bytes) = (pipe.clone(), files::read(&tar));
        let writer = thread::spawn(move || {
            let mut end = fs::File::options().write(true).open(end).expect("somebody reads");
            end.write_all(&bytes[..bytes.len() / 2]).expect("it is read");
            half.send(()).expect("somebody waits");
            let _ = wait.recv();
        });
        let from_pipe = format!("exec \"$0\" \"$@\" <'{}'", pipe.display());
        let job = import(&instance, "large", &folder, Path::new("-"), version);
        let job = job.under(["sh", "-c", &from_pipe]).spawn();
        came.recv().expect("it reads");
        assert!(part.exists());
        kill_during(&instance, job);
        drop(done);
        writer.join().expect("it only writes");
        assert_eq!(instance.registry().distributions[0].phase, Phase::Installing);
        start_service(&instance);
        assert_nothing(&instance, &folder);
        import(&instance, "large", &folder, &tar, version).run().expect(0);
        assert_works(&instance, "large");
        instance.wsl(&["--unregister", "large"]).expect(0);
    }
}

fn cut_off_move() {
    let instance = Instance::new();
    let tar = large(&instance);
    // Another file system, so that it is copied.
    let _disk = FullDisk::below(&instance, LARGE * 3);
    let (here, there) =
        (instance.scratch("distributions").join("d"), instance.identity().state_base().join("there"));
    for (version, part, read) in [("1", "rootfs", "rootfs/fs/part-7"), ("2", "ext4.img", "ext4.img")] {
        import(&instance, "large", &here, &tar, version).run().expect(0);
        let to = there.display().to_string();
        let held = Held::new(&here.join(read));
        let job = instance.wsl_tool(&["--manage", "large", "--move", &to]).spawn();
        held.wait_until_asked();
        assert!(there.join(part).exists(), "{:?}", files::names(&there));
        assert!(instance.registry().distributions[0].leftover.is_some());
        kill_during(&instance, job);
        drop(held);
        start_service(&instance);
        let entry = instance.registry().distributions[0].clone();
        assert_eq!((entry.base.as_deref(), entry.leftover), (Some(here.as_path()), None));
        assert!(!there.exists(), "{:?}", files::names(&there));
        assert_works(&instance, "large");
        instance.wsl(&["--manage", "large", "--move", &to]).expect(0);
        assert_works(&instance, "large");
        assert!(!here.exists());
        instance.wsl(&["--unregister", "large"]).expect(0);
        assert_nothing(&instance, &there);
    }
}

fn cut_off_removal() {
    let instance = Instance::new();
    // Many files, so that it takes its time.
    let tree = instance.scratch("many");
    Tool::new("tar").arg("-xf").arg(roots::small()).arg("-C").arg(&tree).run().ok();
    for folder in 0..300 {
        for file in 0..100 {
            files::write(&tree.join(format!("many/{folder}/{file}")), "");
        }
    }
    let tar = roots::pack(&tree, &instance.scratch("tars").join("many.tar"));
    let folder = instance.import("many", &tar, 1);
    instance.import("other", &roots::small(), 1);
    let whole = files::names(&folder.join("rootfs/fs/many")).len();
    let job = instance.wsl_tool(&["--unregister", "many"]).spawn();
    waiting::until("it is at work", || {
        job.has_ended() || files::names(&folder.join("rootfs/fs/many")).len() < whole
    });
    if !job.has_ended() {
        Process::find(instance.service().pid).expect("it runs").kill_and_wait();
    }
    job.finish();
    start_service(&instance);
    let listing = instance.wsl(&["-l", "-v"]).ok();
    assert!(listing.contains("* other") && !listing.contains("many"), "{listing}");
    assert!(!folder.exists());
}

fn moved_and_resized() {
    let instance = Instance::new();
    let room = FullDisk::below(&instance, 200);
    instance.import("d", &roots::small(), 2);
    let owner = (12_345, 23_456);
    let disk = instance.disk_of("d");
    std::os::unix::fs::chown(&disk, Some(owner.0), Some(owner.1))
        .expect("tests of distributions run as root");
    for folder in [instance.scratch("one").join("new"), instance.identity().state_base().join("two")] {
        instance.wsl(&["--manage", "d", "--move", &folder.display().to_string()]).expect(0);
        let meta = fs::metadata(folder.join("ext4.img")).expect("it is there now");
        assert_eq!((meta.uid(), meta.gid()), owner, "the owner of the disk is kept (I31)");
        assert_eq!(instance.inside("d", "echo here").ok(), "here");
        let running = instance.wsl(&["--manage", "d", "--move", "/tmp/never-made"]);
        running.expect(255).says("Wsl/Service/MoveDistro/WSL_E_DISTRO_NOT_STOPPED");
        instance.wsl(&["--manage", "d", "--resize", "1500GB"]).expect(255).says("WSL_E_DISTRO_NOT_STOPPED");
        instance.wsl(&["--terminate", "d"]).expect(0);
    }
    room.make_room();
    for (size, kilobytes) in [("1500GB", 1_400_000_000_u64..1_600_000_000), ("20GB", 18_000_000..21_000_000)]
    {
        instance.wsl_tool(&["--manage", "d", "--resize", size]).deadline(waiting::LONG * 3).run().expect(0);
        let size = instance.inside("d", "df -k / | tail -n 1 | awk '{ print $2 }'").ok();
        assert!(kilobytes.contains(&size.parse().expect("df prints a number")), "{size}");
        instance.wsl(&["--terminate", "d"]).expect(0);
    }
    let small = instance.wsl(&["--manage", "d", "--resize", "1M"]);
    small.expect(255).says("Failed to resize disk.").says("give it at least");
    assert!(small.text().ends_with("Error code: Wsl/Service/E_FAIL\n"), "I34: {small}");
    assert_eq!(instance.inside("d", "echo still here").ok(), "still here");
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.wsl(&["--manage", "d", "--set-sparse", "false"]).expect(255).says("always sparse");
}

/// Rows I04, I07, I08, I13.
fn other_disks() -> Result<(), Skip> {
    if Tool::new("sh").args(["-c", "command -v qemu-img"]).run().code() != Some(0) {
        return Err(Skip("qemu-img is not installed".to_owned()));
    }
    let instance = Instance::new();
    // Small, because a disk in the format of Hyper-V is read to its end, hole or not.
    instance.wslconfig("[wsl2]\ndefaultVhdSize=2GB\n");
    instance.import("d", &roots::small(), 2);
    instance.inside("d", "echo marked > /mark").ok();
    let folder = instance.scratch("disks");
    for (ending, format) in [("vhdx", "vhdx"), ("vhd", "vpc"), ("img", "raw")] {
        let file = folder.join(format!("d.{ending}"));
        instance.wsl_tool(&["--export", "d"]).arg(&file).args(["--format", "vhd"]).run().expect(0);
        let info = Tool::new("qemu-img").args(["info", "--output=json"]).arg(&file).run().ok();
        assert!(info.contains(&format!("\"format\": \"{format}\"")), "{info}");
        assert!(info.contains("\"virtual-size\": 2147483648"), "{info}");

        let place = instance.scratch("distributions").join(ending);
        instance.wsl_tool(&["--import", ending]).arg(&place).arg(&file).arg("--vhd").run().expect(0);
        assert_eq!(instance.inside(ending, "cat /mark").ok(), "marked");
        let refused = instance.wsl_tool(&["--import", "x"]).arg(place.join("x")).arg(&file);
        let refused = refused.args(["--vhd", "--version", "1"]).run();
        refused.expect(255).says("Wsl/Service/RegisterDistro/WSL_E_WSL2_NEEDED");
        instance.wsl(&["--unregister", ending]).expect(0);
        assert!(!place.exists());

        let name = format!("in-place-{ending}");
        let place = instance.scratch(&name);
        let disk = place.join(format!("mine.{ending}"));
        Tool::new("cp").arg("--sparse=always").args([&file, &disk]).run().ok();
        instance.wsl_tool(&["--import-in-place", &name]).arg(&disk).run().expect(0);
        assert_eq!(instance.inside(&name, "cat /mark").ok(), "marked");
        instance.wsl(&["--unregister", &name]).expect(0);
        assert_eq!(disk.exists(), format != "raw", "only what is its disk goes with it");
    }
    let wrong =
        instance.wsl_tool(&["--export", "d"]).arg(folder.join("d.zip")).args(["--format", "vhd"]).run();
    wrong.expect(255).says("file extension").says("Wsl/Service/WSL_E_EXPORT_FAILED");
    assert!(!folder.join("d.zip").exists());
    Ok(())
}

/// Rows I19, I22, I23.
fn bad_disks() {
    let instance = Instance::new();
    let folder = instance.scratch("disks");
    let make = |name: &str| {
        let disk = folder.join(name);
        let made = fs::File::create(&disk).and_then(|file| file.set_len(200 << 20));
        assert!(made.is_ok(), "{made:?}");
        disk
    };
    let refused = |disk: &Path, code: &str| {
        let output = instance.wsl_tool(&["--import-in-place", "broken"]).arg(disk).run();
        output.expect(255).says(&format!("Error code: Wsl/Service/RegisterDistro/{code}\n"));
        assert!(disk.exists());
        assert_eq!(instance.wsl(&["-l", "-q"]).text(), "");
        assert!(traces::loops(instance.identity()).is_empty(), "it is detached afterwards");
    };
    refused(&make("no-file-system.img"), "WSL_E_DISK_CORRUPTED");
    let empty = make("no-files.img");
    Tool::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&empty).run().ok();
    refused(&empty, "WSL_E_NOT_A_LINUX_DISTRO");
    let held = fs::File::open(&empty).expect("it was just made");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).expect("nobody else has it");
    refused(&empty, "MountDisk/HCS/ERROR_SHARING_VIOLATION");
}

fn pipe() {
    let instance = Instance::new();
    let folder = instance.scratch("distributions").join("piped");
    let pipe = instance.scratch("pipes").join("pipe");
    Tool::new("mkfifo").arg(&pipe).run().ok();
    let from_pipe = format!("exec \"$0\" \"$@\" <'{}'", pipe.display());
    for tar in [files::read(&roots::small()), files::read(&large(&instance))] {
        // Whoever writes it may stay for other reasons: the archive has an end of its own.
        let (done, wait) = mpsc::channel::<()>();
        let end = pipe.clone();
        let writer = thread::spawn(move || {
            let mut end = fs::File::options().write(true).open(end).expect("somebody reads");
            // What comes after the archive's end may be left unread.
            let _ = end.write_all(&tar);
            let _ = wait.recv();
        });
        let import = instance.wsl_tool(&["--import", "piped"]).arg(&folder).arg("-");
        import.under(["sh", "-c", &from_pipe]).run().expect(0);
        drop(done);
        writer.join().expect("it only writes");
        assert_eq!(instance.inside("piped", "echo here").ok(), "here");
        instance.wsl(&["--unregister", "piped"]).expect(0);
    }
}
