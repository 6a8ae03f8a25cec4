//! Taking instances away: by the product's own commands, and what these leave, by identity.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::instance::Identity;
use crate::processes::{self, Process};
use crate::tools::{Output, Tool};
use crate::{files, kernel, traces, waiting, workspace};

static LIVE: Mutex<Vec<Identity>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Notes an instance, so that an interrupted run can take it away, and a later run what a killed one left.
///
/// # Panics
/// When the run has been interrupted: nothing new begins then.
pub fn register(identity: &Identity) {
    assert!(!INTERRUPTED.load(Ordering::SeqCst), "the run was interrupted");
    own(&identity.root);
    LIVE.lock().unwrap_or_else(PoisonError::into_inner).push(identity.clone());
}

/// The file that names the run a folder belongs to.
const OWNER: &str = "owner";

/// Notes that `folder` belongs to this run.
///
/// # Panics
/// When it can't be written to.
pub fn own(folder: &Path) {
    let me = Process::find(processes::me()).expect("a running program is a process");
    files::write(&folder.join(OWNER), format!("{} {}", me.pid, me.start_time));
}

/// Takes away what runs left that were killed and could not do it themselves.
pub fn sweep() {
    for folder in files::entries(workspace::scratch()) {
        let owner = fs::read_to_string(folder.join(OWNER)).unwrap_or_default();
        let owner = owner.split_once(' ').and_then(|(pid, start_time)| {
            Some(Process { pid: pid.parse().ok()?, start_time: start_time.parse().ok()? })
        });
        if owner.is_none_or(|owner| owner.is_alive()) {
            continue;
        }
        eprintln!("taking away {}, which a killed run left", folder.display());
        if let Some(identity) = Identity::of_folder(&folder) {
            for problem in take_away(&identity) {
                eprintln!("{problem}");
            }
        } else {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// Forgets an instance.
pub fn unregister(identity: &Identity) {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other.root != identity.root);
}

/// Stops and resets the instance, then removes what is left, and returns everything that was not as it should be.
pub fn take_away(identity: &Identity) -> Vec<String> {
    let mut problems = Vec::new();
    for args in [&["wsl", "--shutdown"][..], &["stop"], &["reset", "--all", "--yes"]] {
        let output = command(identity, args, Duration::from_mins(5));
        if output.code() != Some(0) {
            problems.push(output.to_string());
        }
    }
    let mut left = Vec::new();
    waiting::holds_within(Duration::from_secs(20), || {
        left = traces::remains(identity);
        left.is_empty()
    });
    if !left.is_empty() {
        problems.extend(left.into_iter().map(|what| format!("left behind: {what}")));
        problems.extend(force(identity));
    }
    crate::disk::unmount(&identity.state_base());
    for folder in [&identity.root, &identity.run_base] {
        if let Err(error) = fs::remove_dir_all(folder) {
            problems.push(format!("cannot remove {}: {error}", folder.display()));
        }
    }
    problems
}

fn command(identity: &Identity, args: &[&str], deadline: Duration) -> Output {
    identity.tool(&workspace::program("sampan")).args(args).deadline(deadline).run()
}

/// Removes what the product left. Returns what could not be removed.
fn force(identity: &Identity) -> Vec<String> {
    // A killed process may have been about to start another one, so once is not enough.
    waiting::holds_within(Duration::from_secs(30), || {
        let found = traces::processes(identity);
        for (process, _) in &found {
            process.kill();
        }
        found.is_empty()
    });
    if traces::has_link(identity) {
        traces::in_its_network(identity, "ip", &["link", "delete", &identity.place.link()]);
    }
    if traces::has_table(identity) {
        traces::in_its_network(identity, "nft", &["delete", "table", "inet", &identity.place.nft_table()]);
    }
    for mount in kernel::mounts("self").iter().rev() {
        let ours = mount.at.starts_with(&identity.root) || mount.at.starts_with(&identity.run_base);
        if ours && mount.at != identity.state_base() {
            Tool::new("umount").arg("-l").arg(&mount.at).run();
        }
    }
    for (name, _) in traces::loops(identity) {
        Tool::new("losetup").args(["-d", &format!("/dev/{name}")]).run();
    }
    for folder in traces::cgroups(identity) {
        // Parents come before their children in the list; children go first.
        for inner in kernel::below(&folder, &|_| true).iter().rev() {
            waiting::holds_within(Duration::from_secs(5), || fs::remove_dir(inner).is_ok());
        }
    }
    for folder in [identity.place.state(), identity.place.run()] {
        let _ = fs::remove_dir_all(folder);
    }
    for name in files::entries(&identity.temporary()) {
        let _ = fs::remove_dir_all(&name).or_else(|_| fs::remove_file(&name));
    }
    traces::remains(identity).into_iter().map(|what| format!("cannot remove {what}")).collect()
}

/// Takes every live instance away when the run is interrupted, and ends it.
///
/// # Panics
/// When the system gives no thread.
pub fn on_interrupt() {
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime of one thread can always be made");
            runtime.block_on(interrupt());
            eprintln!("interrupted: taking all instances away");
            INTERRUPTED.store(true, Ordering::SeqCst);
            end_commands();
            let live = std::mem::take(&mut *LIVE.lock().unwrap_or_else(PoisonError::into_inner));
            for identity in &live {
                for problem in take_away(identity) {
                    eprintln!("{problem}");
                }
            }
            #[expect(
                clippy::disallowed_methods,
                clippy::exit,
                reason = "the tests still run in other threads; what they own has just been taken away"
            )]
            std::process::exit(130);
        })
        .expect("a thread can be made at the begin of the run");
}

/// Ends the commands that tests wait for. What holds a network namespace stays: the instance in it needs it to go.
fn end_commands() {
    let me = Process { pid: processes::me(), start_time: 0 };
    for process in me.descendants() {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains("SAMPAN_INSTANCE=") {
            process.kill();
        }
    }
}

async fn interrupt() {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| signal(kind).expect("signals can be watched");
    let (mut int, mut term) = (watch(SignalKind::interrupt()), watch(SignalKind::terminate()));
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
