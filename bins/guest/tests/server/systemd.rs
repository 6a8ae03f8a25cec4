//! The server beside systemd. The variable `SAMPAN_TEST_DEBIAN` names a tarball of a root file system that has systemd and
//! D-Bus; `cargo xtask test` builds one. Without it these tests are skipped.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::session::{End, SessionSpec};
use sampan_model::wsl::service::Reply;
use tempfile::TempDir;

use crate::single::{Test, skip};
use crate::world::{Distro, PATIENCE, Plan, hear, sh};

pub(crate) const TESTS: &[Test] = &[
    ("systemd_runs_beside_the_server", systemd_runs_beside_the_server),
    ("systemd_has_a_session_for_the_user", systemd_has_a_session_for_the_user),
    ("a_user_session_that_fails_is_a_warning", a_user_session_that_fails_is_a_warning),
    ("systemd_powers_off_on_a_shutdown", systemd_powers_off_on_a_shutdown),
    ("a_power_off_from_inside_is_the_end", a_power_off_from_inside_is_the_end),
    ("without_its_server_a_distribution_powers_off", without_its_server_a_distribution_powers_off),
    (
        "services_keep_it_alive_and_infrastructure_does_not",
        services_keep_it_alive_and_infrastructure_does_not,
    ),
    ("version_1_has_no_systemd", version_1_has_no_systemd),
];

/// The unpacked root file system, which all tests share: what they write goes elsewhere.
static ROOT: Mutex<Option<TempDir>> = Mutex::new(None);

#[expect(clippy::disallowed_methods, reason = "tests start tar")]
fn root() -> PathBuf {
    let Some(tar) = std::env::var_os("SAMPAN_TEST_DEBIAN") else {
        skip(
            "needs SAMPAN_TEST_DEBIAN, a Debian root file system with systemd; scripts/debian-root makes one",
        );
    };
    let mut root = ROOT.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = root.get_or_insert_with(|| {
        // On a disk, and where a killed run leaves it to `make clean`.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("folder");
        let unpacked = Command::new("tar").arg("-xpf").arg(&tar).arg("-C").arg(folder.path()).status();
        assert!(unpacked.expect("tar").success(), "{} can be unpacked", tar.display());
        folder
    });
    folder.path().to_owned()
}

/// Removes what the tests shared.
pub(crate) fn close() {
    ROOT.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// A distribution with systemd and the user ann.
fn with_systemd(change: impl FnOnce(&mut Plan)) -> Distro {
    let mut plan = Plan {
        systemd: Some(root()),
        files: vec![
            ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/:/bin/bash\n".to_owned()),
            ("/etc/shadow", "root:*:20000::::::\nann:*:20000::::::\n".to_owned()),
            ("/etc/machine-id", String::new()),
        ],
        ..Plan::default()
    };
    plan.conf.boot.systemd = true;
    change(&mut plan);
    Distro::of(&plan)
}

fn as_ann(line: &str) -> SessionSpec {
    SessionSpec { user: Some("ann".to_owned()), ..sh(line) }
}

fn shutdown(distro: &Distro) {
    let deadline_ms = u64::try_from(PATIENCE.as_millis()).expect("short");
    assert_eq!(distro.ask(&ControlRequest::Shutdown { deadline_ms }), ControlReply::ShuttingDown);
}

fn systemd_runs_beside_the_server() {
    let distro = with_systemd(|_| {});
    assert_eq!(distro.ready["warnings"].as_array().map(Vec::len), Some(1), "{}", distro.ready);
    let state = distro.sh("systemctl is-system-running").stdout_text();
    assert!(["running\n", "degraded\n"].contains(&state.as_str()), "{state}");
    assert_eq!(distro.text("cat /proc/1/comm; grep ^0:: /proc/self/cgroup"), "systemd\n0::/sampan\n");
    assert_eq!(
        distro.text("systemctl is-active -q systemd-logind && ls /proc/1/fd | wc -l > /dev/null && echo yes"),
        "yes\n"
    );
    assert_eq!(distro.text("cat /etc/machine-id"), "0123456789ab4def8123456789abcdef\n");
    // A file system that the distribution has mounted on /tmp would hide what is there.
    assert_eq!(
        distro.sh("systemctl is-enabled tmp.mount console-getty.service").stdout_text(),
        "masked-runtime\nmasked-runtime\n"
    );
    assert_eq!(distro.text("systemctl daemon-reexec; echo still here"), "still here\n");
    assert_eq!(distro.text("systemd-run -q --wait --pipe echo a service"), "a service\n");
    // Nothing of the server's is open in systemd, and sessions are not systemd's.
    assert_eq!(distro.sh("ls -l /proc/1/fd | grep -c log").stdout_text(), "0\n");
}

fn systemd_has_a_session_for_the_user() {
    let distro = with_systemd(|_| {});
    let line = "systemctl is-active user@1000; echo $XDG_RUNTIME_DIR; stat -f -c %T $XDG_RUNTIME_DIR; \
                touch $XDG_RUNTIME_DIR/x && systemctl --user is-active basic.target";
    for _ in 0..2 {
        let output = distro.run(&as_ann(line), b"");
        assert_eq!(output.stdout_text(), "active\n/run/user/1000\ntmpfs\nactive\n", "{output:?}");
        assert!(output.warnings.is_empty(), "{output:?}");
    }
}

fn a_user_session_that_fails_is_a_warning() {
    let distro = with_systemd(|_| {});
    distro.text("chmod 000 /run/user");
    let output = distro.run(&as_ann("echo here; echo ${XDG_RUNTIME_DIR-none}"), b"");
    assert_eq!(output.stdout_text(), "here\nnone\n");
    let warning = "Failed to start the systemd user session for 'ann'. See journalctl for more details.";
    assert_eq!(output.warnings, [warning]);
}

fn systemd_powers_off_on_a_shutdown() {
    let distro = with_systemd(|_| {});
    let mut session = distro.open(&sh("trap '' HUP TERM INT; echo ready; while :; do sleep 0.1; done"));
    session.read_until("ready\n");
    distro.text(
        "setsid sh -c \"trap '' HUP TERM INT; while :; do sleep 0.1; done\" > /dev/null 2>&1 < /dev/null &",
    );
    shutdown(&distro);
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Killed { signal: 9 } });
    // systemd itself would wait 90 s for what it does not know.
    assert!(distro.ends());
}

fn a_power_off_from_inside_is_the_end() {
    let distro = with_systemd(|_| {});
    let mut session = distro.open(&sh("trap '' HUP TERM INT; echo ready; while :; do sleep 0.1; done"));
    session.read_until("ready\n");
    distro.sh("systemctl poweroff");
    assert!(distro.ends());
}

fn without_its_server_a_distribution_powers_off() {
    let distro = with_systemd(|_| {});
    let session = distro.open(&sh("kill -9 $(ps -o ppid= -p $PPID)"));
    assert!(distro.ends());
    drop(session);
}

fn services_keep_it_alive_and_infrastructure_does_not() {
    let distro = with_systemd(|plan| plan.idle_timeout_ms = Some(0));
    distro.text("systemd-run -q --unit=mine sleep 1000");
    for _ in 0..10 {
        assert_eq!(distro.text("systemctl is-active mine"), "active\n");
    }
    distro.text("systemctl stop mine");
    assert!(distro.ends());
}

fn version_1_has_no_systemd() {
    let mut plan = Plan { version: 1, ..Plan::default() };
    plan.conf.boot.systemd = true;
    let distro = Distro::of(&plan);
    let warnings = distro.ready["warnings"].to_string();
    assert!(warnings.contains("systemd needs version 2"), "{warnings}");
    assert_ne!(distro.text("cat /proc/1/comm"), "systemd\n");
}
