//! Operations that their user calls off, by Ctrl-C or by dying: they end, and nothing of them is left.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::disk::FullDisk;
use sampan_e2e::instance::Instance;
use sampan_e2e::random::Sequence;
use sampan_e2e::tools::{Job, Tool};
use sampan_e2e::web::{Answer, Web};
use sampan_e2e::{files, roots, traces, waiting};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("called_off::an_import_leaves_nothing", import),
        Case::new("called_off::an_import_of_a_silent_pipe_is_not_even_begun", silent),
        Case::new("called_off::an_export_into_a_pipe_that_nobody_reads_ends", export_to_pipe),
        Case::new("called_off::an_export_leaves_no_file", export_to_file),
        Case::new("called_off::a_download_leaves_nothing", download),
        Case::new("called_off::a_build_of_debian_ends_with_all_its_programs", build),
        Case::new("called_off::a_conversion_leaves_the_old_version", conversion),
        Case::new("called_off::a_move_leaves_it_where_it_is", relocation),
    ]
}

/// How an operation is called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Interrupt,
    Death,
}

const BOTH: [By; 2] = [By::Interrupt, By::Death];

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

/// An instance whose service runs.
fn served() -> Instance {
    let instance = Instance::new();
    instance.wsl(&["--set-default-version", "2"]).expect(0);
    instance
}

/// Has nothing run but the service.
fn restart(instance: &Instance) {
    instance.wsl(&["--shutdown"]).expect(0);
    instance.wsl(&["--set-default-version", "2"]).expect(0);
}

/// Calls `job` off. Whoever hears its end finds everything cleared up (`is_clear`).
#[track_caller]
fn call_off(job: Job, by: By, is_clear: impl Fn() -> bool) {
    assert!(!job.has_ended(), "it was faster than this test");
    if by == By::Interrupt {
        job.interrupt();
        job.finish().expect(130);
        assert!(is_clear(), "it ended before all was cleared up");
    } else {
        job.kill();
        waiting::until("the service clears up", is_clear);
    }
}

/// Whether there is nothing in the registry, no loop device, and none of the instance's processes but its service.
fn is_empty(instance: &Instance) -> bool {
    instance.registry().distributions.is_empty() && is_idle(instance)
}

/// Whether no tool works for the instance, and none of its disks is attached.
fn is_idle(instance: &Instance) -> bool {
    let service = instance.service();
    let others = traces::processes(instance.identity());
    traces::loops(instance.identity()).is_empty() && others.iter().all(|(process, _)| *process == service)
}

fn pipe(instance: &Instance) -> PathBuf {
    let pipe = instance.scratch("pipes").join("pipe");
    if !pipe.exists() {
        Tool::new("mkfifo").arg(&pipe).run().ok();
    }
    pipe
}

/// Whether the service has `path` open.
fn has_open(instance: &Instance, path: &Path) -> bool {
    let open = files::entries(Path::new(&format!("/proc/{}/fd", instance.service().pid)));
    open.iter().any(|fd| fs::read_link(fd).is_ok_and(|to| to == path))
}

/// What a file or folder takes, in bytes.
fn written(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    let below = if meta.is_dir() { files::entries(path) } else { Vec::new() };
    meta.blocks() * 512 + below.iter().map(|entry| written(entry)).sum::<u64>()
}

fn import() {
    let instance = served();
    let tar = files::read(&large(&instance));
    let (folder, pipe) = (instance.scratch("distributions").join("d"), pipe(&instance));
    for (version, part) in [("1", "rootfs/fs"), ("2", "ext4.img")] {
        for by in BOTH {
            let words = ["--import", "d", "--version", version];
            let job = instance.wsl_tool(&words[..2]).arg(&folder).arg(&pipe).args(&words[2..]).spawn();
            // The half of it, and then nothing more for as long as the pipe is open.
            let mut end = File::options().write(true).open(&pipe).expect("somebody reads");
            end.write_all(&tar[..tar.len() / 2]).expect("somebody reads");
            assert!(folder.join(part).exists());
            call_off(job, by, || is_empty(&instance) && !folder.exists());
            drop(end);
            instance.import("d", &roots::small(), 2);
            instance.inside("d", "echo OK").says("OK");
            instance.wsl(&["--unregister", "d"]).expect(0);
            restart(&instance);
        }
    }
}

fn silent() {
    let instance = served();
    let (folder, pipe) = (instance.scratch("distributions").join("d"), pipe(&instance));
    for by in BOTH {
        let job = instance.wsl_tool(&["--import", "d"]).arg(&folder).arg(&pipe).spawn();
        let end = File::options().write(true).open(&pipe).expect("somebody reads");
        waiting::until("the service reads", || has_open(&instance, &pipe));
        call_off(job, by, || !has_open(&instance, &pipe) && is_empty(&instance) && !folder.exists());
        drop(end);
    }
}

fn export_to_pipe() {
    let instance = served();
    let folder = instance.import("d", &large(&instance), 2);
    let pipe = pipe(&instance);
    for by in BOTH {
        // It is open, and nobody reads it.
        let end = File::options().read(true).write(true).open(&pipe).expect("it is there");
        let job = instance.wsl_tool(&["--export", "d"]).arg(&pipe).spawn();
        waiting::until("it is at work", || instance.state_of("d") == "Exporting");
        instance.inside("d", "true").expect(255).says("E_ILLEGAL_STATE_CHANGE");
        call_off(job, by, || instance.state_of("d") == "Stopped" && is_idle(&instance));
        assert_eq!(files::names(&folder), ["ext4.img"]);
        drop(end);
        instance.wsl(&["--export", "d", "-"]).expect(0);
    }
}

fn export_to_file() {
    let instance = served();
    instance.import("d", &large(&instance), 2);
    let folder = instance.scratch("exports");
    for by in BOTH {
        // Of what can't be made smaller it takes its time.
        let job =
            instance.wsl_tool(&["--export", "d", "--format", "tar.xz"]).arg(folder.join("d.tar.xz")).spawn();
        waiting::until("it is at work", || instance.state_of("d") == "Exporting");
        call_off(job, by, || instance.state_of("d") == "Stopped" && is_idle(&instance));
        assert_eq!(files::names(&folder), Vec::<String>::new());
    }
}

/// Has the instance take its list from here.
fn set_list(instance: &Instance, versions: &serde_json::Value) {
    let list = instance.scratch("lists").join("list.json");
    files::write(&list, json!({ "ModernDistributions": { "x": versions } }).to_string());
    let settings = json!({ "schemaVersion": 1, "distributionListUrl": format!("file://{}", list.display()) });
    files::write(&instance.place().settings(), settings.to_string());
}

fn has_no_download(instance: &Instance) -> bool {
    files::names(&instance.place().cache()).is_empty() && files::names(&instance.place().distros()).is_empty()
}

fn download() {
    let instance = served();
    let web = Web::new();
    let archive =
        json!({ "Url": web.put("/a.tar", Answer::Stuck(files::read(&roots::small()))), "Sha256": "00" });
    let version = json!({ "Name": "a", "FriendlyName": "F", "Default": true, "Amd64Url": archive, "Arm64Url": archive });
    set_list(&instance, &json!([version]));
    for (by, asked) in BOTH.into_iter().zip(1..) {
        let job = instance.wsl_tool(&["--install", "--no-launch", "a"]).spawn();
        waiting::until("the server is asked", || web.asked().len() == asked);
        call_off(job, by, || is_empty(&instance) && has_no_download(&instance));
    }
}

fn build() {
    let instance = Instance::new();
    let (programs, sign) = (instance.scratch("programs"), instance.scratch("signs").join("began"));
    // A builder that has begun something, runs another program, and does not come to its end.
    let script = format!(
        "#!/bin/sh\necho half > \"$TMPDIR/half\"\n(trap '' TERM; sleep 10000) &\n: > '{}'\nwait\n",
        sign.display()
    );
    files::write(&programs.join("mmdebstrap"), script);
    files::set_mode(&programs.join("mmdebstrap"), 0o755);
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    instance.wsl_tool(&["--set-default-version", "2"]).env("PATH", path).run().expect(0);
    set_list(&instance, &json!([]));
    for by in BOTH {
        let install = |name: &str| {
            let job = instance.wsl_tool(&["--install", "--no-launch", "debian", "--name", name]).spawn();
            job.wait_for_text("Building: Debian");
            job
        };
        let first = install("one");
        waiting::until("it builds", || sign.exists());
        // One more waits for its turn.
        let second = install("two");
        second.interrupt();
        second.finish().expect(130);
        assert!(!first.has_ended() && !has_no_download(&instance));
        if by == By::Interrupt {
            first.interrupt();
            first.finish().expect(130);
            assert!(has_no_download(&instance));
        } else {
            first.kill();
        }
        waiting::until("the service clears up", || is_empty(&instance) && has_no_download(&instance));
        fs::remove_file(&sign).expect("it was just there");
    }
}

fn conversion() {
    let instance = served();
    let tar = large(&instance);
    for (version, other) in [(1, "2"), (2, "1")] {
        let folder = instance.import("d", &tar, version);
        let (here, there) = if version == 1 { ("rootfs", "ext4.img") } else { ("ext4.img", "rootfs") };
        for by in BOTH {
            let job = instance.wsl_tool(&["--set-version", "d", other]).spawn();
            waiting::until("it is at work", || job.has_ended() || written(&folder.join(there)) > 20 << 20);
            call_off(job, by, || instance.state_of("d") == "Stopped" && is_idle(&instance));
            assert_eq!(files::names(&folder), [here]);
            let entry = instance.registry().distributions[0].clone();
            assert_eq!((entry.version, entry.leftover), (version, None));
        }
        instance.inside("d", "cat /part-* | wc -c").says(&(LARGE << 20).to_string());
        instance.wsl(&["--terminate", "d"]).expect(0);
        instance.wsl(&["--set-version", "d", other]).expect(0);
        instance.wsl(&["--unregister", "d"]).expect(0);
        restart(&instance);
    }
}

fn relocation() {
    let instance = Instance::new();
    let tar = large(&instance);
    // Another file system, so that it is copied.
    let _disk = FullDisk::below(&instance, LARGE * 3);
    let there = instance.identity().state_base().join("there");
    for (version, part) in [(1, "rootfs"), (2, "ext4.img")] {
        let here = instance.import("d", &tar, version);
        for by in BOTH {
            let job = instance.wsl_tool(&["--manage", "d", "--move"]).arg(&there).spawn();
            waiting::until("it is at work", || job.has_ended() || written(&there.join(part)) > 10 << 20);
            let is_stopped = || instance.state_of("d") == "Stopped";
            call_off(job, by, || is_stopped() && is_idle(&instance) && !there.exists());
            let entry = instance.registry().distributions[0].clone();
            assert_eq!((entry.base.as_deref(), entry.leftover), (Some(here.as_path()), None));
        }
        instance.inside("d", "cat /part-* | wc -c").says(&(LARGE << 20).to_string());
        instance.wsl(&["--terminate", "d"]).expect(0);
        instance.wsl(&["--unregister", "d"]).expect(0);
        restart(&instance);
    }
}
