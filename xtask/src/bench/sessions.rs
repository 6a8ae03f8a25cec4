//! `true` in a distribution, running and stopped, against other ways to run a command in the same root file system; and
//! import and export against plain tar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ours::OurInstance;
use super::samples::Samples;
use super::scratch::Scratch;
use crate::tools;

const NAME: &str = "bench";
const CONTAINER: &str = "bench";

/// How often what takes milliseconds is done.
const MANY: usize = 50;

/// Measures everything. `root` is a folder with the same files as the archive `image`.
pub(super) fn run(
    ours: &OurInstance<'_>,
    image: &Path,
    root: &Path,
    scratch: &Scratch,
    runs: usize,
) -> Result<()> {
    let folder = scratch.folder().join("sessions");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let archive = plain(image, &folder)?;
    import_and_export(ours, &archive, &folder, runs.min(5))?;

    println!("bench: `true` in a distribution, {MANY} runs each (stopped: {runs}), alternating");
    println!(
        "  running: `wsl -d NAME -e true`, `docker exec`, chroot; stopped: the same `wsl` after `wsl --terminate`, which is \
         not counted, against `systemd-nspawn -D` of a folder with the same files; the service runs, files were read before"
    );
    ours.sampan(&["start"])?;
    let archive = archive.display().to_string();
    ours.wsl(&["--import", NAME, &folder.join("d").display().to_string(), &archive])?;
    ours.sampan(&["docker", "import", &archive, "bench"])?;
    ours.sampan(&["docker", "run", "-d", "--init", "--name", CONTAINER, "bench", "sleep", "infinity"])?;
    let result = compare(ours, root, runs);
    ours.sampan(&["docker", "rm", "-f", CONTAINER])?;
    ours.wsl(&["--unregister", NAME])?;
    ours.sampan(&["stop"])?;
    result
}

fn compare(ours: &OurInstance<'_>, root: &Path, runs: usize) -> Result<()> {
    let docker = ours.docker_words()?;
    let in_distribution = || ours.environment(with(ours.wsl_program(), &["-d", NAME, "-e", "true"]));
    let in_container = || {
        let mut command = with(&docker[0], &[]);
        command.args(&docker[1..]).args(["-H", &ours.docker_host(), "exec", CONTAINER, "true"]);
        ours.environment(command)
    };
    let in_chroot = || {
        let mut command = with(Path::new("chroot"), &[]);
        command.arg(root).arg("true");
        command
    };
    let in_nspawn = || {
        let mut command = with(Path::new("systemd-nspawn"), &["-q", "--register=no", "--keep-unit", "-D"]);
        command.arg(root).arg("true");
        command
    };
    let (mut running, mut exec, mut chroot, mut nspawn, mut stopped) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default(), Samples::default());
    // Not counted: the first of each loads programs from the disk.
    for mut command in [in_distribution(), in_container(), in_chroot(), in_nspawn()] {
        succeed(&mut command)?;
    }
    for _ in 0..MANY {
        running.add(time(in_distribution())?);
        exec.add(time(in_container())?);
        chroot.add(time(in_chroot())?);
    }
    for _ in 0..runs {
        ours.wsl(&["--terminate", NAME])?;
        stopped.add(time(in_distribution())?);
        nspawn.add(time(in_nspawn())?);
    }
    println!("  ours, running:  {running}");
    println!("  docker exec:    {exec}");
    println!("  chroot:         {chroot}");
    println!("  ours, stopped:  {stopped}");
    println!("  systemd-nspawn: {nspawn}");
    println!("  ratio of medians, running to docker exec: {:.3}x", running.ratio(&exec));
    println!("  ratio of medians, running to chroot: {:.2}x", running.ratio(&chroot));
    println!("  ratio of medians, stopped to systemd-nspawn: {:.2}x", stopped.ratio(&nspawn));
    Ok(())
}

/// Both sides end when everything is on the disk.
fn import_and_export(ours: &OurInstance<'_>, archive: &Path, folder: &Path, runs: usize) -> Result<()> {
    println!("bench: import and export of {} against tar, {runs} runs each, alternating", size(archive));
    println!(
        "  both read from memory, write new files to the same disk until they are on it, and keep the same attributes"
    );
    let (mut import, mut export, mut unpack, mut pack) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    let (place, tree, file) = (folder.join("imported"), folder.join("tree"), folder.join("out.tar"));
    let tar_options = "--numeric-owner --xattrs --xattrs-include='*' --acls";
    for _ in 0..runs {
        let script = format!(
            "'{}' --import {NAME} '{}' '{}'",
            ours.wsl_program().display(),
            place.display(),
            archive.display()
        );
        import.add(time(ours.environment(with(Path::new("sh"), &["-c", &script])))?);
        let script = format!(
            "mkdir -p '{0}' && tar -x -p {tar_options} -f '{1}' -C '{0}' && sync -f '{0}'",
            tree.display(),
            archive.display()
        );
        unpack.add(time(with(Path::new("sh"), &["-c", &script]))?);
        let script =
            format!("'{}' --export {NAME} '{1}' && sync '{1}'", ours.wsl_program().display(), file.display());
        let exporting = || ours.environment(with(Path::new("sh"), &["-c", &script]));
        // Once before it counts, so that its files are in memory. To take an old file away is no part of either.
        succeed(&mut exporting())?;
        let _ = fs::remove_file(&file);
        export.add(time(exporting())?);
        let _ = fs::remove_file(&file);
        let script = format!(
            "tar -c {tar_options} --sparse --format=posix -f '{1}' -C '{0}' . && sync '{1}'",
            tree.display(),
            file.display()
        );
        let packing = || with(Path::new("sh"), &["-c", &script]);
        succeed(&mut packing())?;
        let _ = fs::remove_file(&file);
        pack.add(time(packing())?);
        ours.wsl(&["--unregister", NAME])?;
        for left in [&tree, &place] {
            let _ = fs::remove_dir_all(left);
        }
        let _ = fs::remove_file(&file);
    }
    println!("  import: {import}");
    println!("  tar -x: {unpack}");
    println!("  export: {export}");
    println!("  tar -c: {pack}");
    // As speeds: more is faster.
    println!(
        "  speed to that of tar: import {:.2}x, export {:.2}x",
        unpack.ratio(&import),
        pack.ratio(&export)
    );
    Ok(())
}

/// The archive without its compression: what is measured is files, not zstd.
fn plain(image: &Path, folder: &Path) -> Result<PathBuf> {
    let tar = folder.join("root.tar");
    let script = "zstd -q -d -f \"$0\" -o \"$1\" 2>/dev/null || cp \"$0\" \"$1\"";
    let mut command = with(Path::new("sh"), &["-c", script]);
    succeed(command.arg(image).arg(&tar))?;
    Ok(tar)
}

fn size(archive: &Path) -> String {
    format!("{} MB", fs::metadata(archive).map_or(0, |meta| meta.len() / 1_000_000))
}

fn with(program: &Path, arguments: &[&str]) -> Command {
    let mut command = tools::command(program, Path::new("/"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", tools::name(command)))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn time(mut command: Command) -> Result<Duration> {
    let since = Instant::now();
    succeed(&mut command)?;
    Ok(since.elapsed())
}
