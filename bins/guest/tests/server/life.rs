//! The start and the end of a distribution.

use std::time::Duration;

use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::session::End;
use sampan_model::wsl::service::Reply;
use sampan_sys::process::Signal;

use crate::single::Test;
use crate::world::{Distro, PATIENCE, Plan, hear, reply, send, sh, until};

pub(crate) const TESTS: &[Test] = &[
    ("the_engine_s_init_has_sessions_too", the_engine_s_init_has_sessions_too),
    ("a_shutdown_ends_everything", a_shutdown_ends_everything),
    ("a_shutdown_is_a_hang_up_then_a_kill", a_shutdown_is_a_hang_up_then_a_kill),
    ("a_signal_from_outside_is_a_shutdown", a_signal_from_outside_is_a_shutdown),
    ("it_ends_when_nothing_happens", it_ends_when_nothing_happens),
    ("a_daemon_keeps_it_alive", a_daemon_keeps_it_alive),
    ("without_a_limit_it_stays", without_a_limit_it_stays),
    ("fstab_is_mounted", fstab_is_mounted),
    ("a_bad_fstab_is_a_warning", a_bad_fstab_is_a_warning),
    ("the_boot_command_runs_beside", the_boot_command_runs_beside),
    ("the_tools_know_the_distribution", the_tools_know_the_distribution),
];

fn shutdown(distro: &Distro, limit: Duration) {
    let deadline_ms = u64::try_from(limit.as_millis()).expect("short");
    assert_eq!(distro.ask(&ControlRequest::Shutdown { deadline_ms }), ControlReply::ShuttingDown);
}

fn the_engine_s_init_has_sessions_too() {
    let distro = Distro::of(&Plan { engine: true, ..Plan::default() });
    assert!(matches!(distro.ask(&ControlRequest::Hello), ControlReply::Hello { name, .. } if name == "Deb"));
    let mut session =
        distro.open(&sh("trap '' HUP TERM; echo $WSL_DISTRO_NAME; while :; do sleep 0.1; done"));
    session.read_until("Deb\n");
    assert_eq!(distro.sh("exit 3").code(), Some(3));
    shutdown(&distro, PATIENCE);
    assert!(distro.ends());
}

fn a_shutdown_ends_everything() {
    let distro = Distro::start();
    distro.text("setsid sleep 1000 > /dev/null 2>&1 < /dev/null &");
    let mut session = distro.open(&sh("trap 'echo hung up; exit 5' HUP; echo ready; sleep 1000 & wait"));
    session.read_until("ready\n");
    shutdown(&distro, PATIENCE);
    // The session hears of it, and so does its client.
    session.read_until("hung up\n");
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Exited { code: 5 } });
    assert!(distro.ends());
}

fn a_shutdown_is_a_hang_up_then_a_kill() {
    let distro = Distro::start();
    let mut session = distro.open(&sh("trap '' HUP TERM INT; echo ready; while :; do sleep 0.1; done"));
    session.read_until("ready\n");
    distro.text(
        "setsid sh -c \"trap '' HUP TERM INT; while :; do sleep 0.1; done\" > /dev/null 2>&1 < /dev/null &",
    );
    shutdown(&distro, PATIENCE);
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Killed { signal: 9 } });
    assert!(distro.ends());
    // Without time there is no waiting.
    let distro = Distro::start();
    distro.text("setsid sh -c \"trap '' TERM; sleep 1000\" > /dev/null 2>&1 < /dev/null &");
    shutdown(&distro, Duration::ZERO);
    assert!(distro.ends());
}

fn a_signal_from_outside_is_a_shutdown() {
    let distro = Distro::start();
    let mut session = distro.open(&sh("trap 'exit 6' HUP; echo ready; sleep 1000 & wait"));
    session.read_until("ready\n");
    distro.signal(Signal::TERM);
    assert_eq!(hear(&session.connection).0, Reply::Ended { end: End::Exited { code: 6 } });
    assert!(distro.ends());
    // From inside PID 1 takes signals as well, but no KILL.
    let distro = Distro::start();
    distro.text("kill -9 1");
    assert_eq!(distro.text("echo alive"), "alive\n");
}

fn it_ends_when_nothing_happens() {
    let distro = Distro::of(&Plan { idle_timeout_ms: Some(0), ..Plan::default() });
    // It gave the first session time to come.
    let mut session = distro.open(&sh("echo ready; read x"));
    session.read_until("ready\n");
    assert!(matches!(distro.ask(&ControlRequest::Hello), ControlReply::Hello { .. }));
    assert_eq!(session.finish().code(), Some(1));
    assert!(distro.ends());
    // A request that comes too late is never swallowed: there is no answer, and the client may start it
    // again.
    let distro = Distro::of(&Plan { idle_timeout_ms: Some(0), ..Plan::default() });
    let late = distro.connect();
    assert_eq!(distro.sh("exit 0").code(), Some(0));
    assert!(distro.ends());
    let request = ControlRequest::Session { spec: Box::new(sh("exit 0")) };
    let sent =
        sampan_sys::socket::send_message(&late, &serde_json::to_vec(&request).expect("plain data"), &[]);
    assert!(sent.is_err());
    assert_eq!(reply(&late), None);
}

fn a_daemon_keeps_it_alive() {
    let distro = Distro::of(&Plan { idle_timeout_ms: Some(0), ..Plan::default() });
    distro.text("setsid sh -c 'until test -e /tmp/stop; do sleep 0.05; done' > /dev/null 2>&1 < /dev/null &");
    for _ in 0..10 {
        assert_eq!(distro.text("echo alive"), "alive\n");
    }
    distro.text("touch /tmp/stop");
    assert!(distro.ends());
}

fn without_a_limit_it_stays() {
    let distro = Distro::start();
    distro.text("true");
    let control = distro.connect();
    send(&control, &ControlRequest::Hello, &[]);
    assert!(matches!(reply(&control), Some(ControlReply::Hello { .. })));
    // The same connection asks again.
    send(&control, &ControlRequest::Hello, &[]);
    assert!(matches!(reply(&control), Some(ControlReply::Hello { .. })));
}

fn fstab_is_mounted() {
    let fstab = "# none\n\n  # of these\nsomething /mnt/data tmpfs mode=0751 0 0\n".to_owned();
    let files = vec![("/etc/fstab", fstab), ("/mnt/data/hidden", String::new())];
    let distro = Distro::of(&Plan { files, ..Plan::default() });
    assert_eq!(distro.text("stat -c %a /mnt/data; ls /mnt/data; stat -f -c %T /mnt/data"), "751\ntmpfs\n");
    drop(distro);
    let files =
        vec![("/etc/fstab", "x /mnt/data tmpfs mode=0751 0 0\n".to_owned()), ("/mnt/data/x", String::new())];
    let mut plan = Plan { files, ..Plan::default() };
    plan.conf.automount.mount_fs_tab = false;
    assert_eq!(Distro::of(&plan).text("ls /mnt/data"), "x\n");
}

fn a_bad_fstab_is_a_warning() {
    let fstab = "nothing /no/such/folder ext4 defaults 0 0\n".to_owned();
    let distro = Distro::of(&Plan { files: vec![("/etc/fstab", fstab)], ..Plan::default() });
    let warnings = distro.ready["warnings"].to_string();
    assert!(warnings.contains("Processing /etc/fstab with mount -a failed."), "{warnings}");
    assert_eq!(distro.text("echo booted"), "booted\n");
    assert!(distro.log().contains("mount"), "{}", distro.log());
}

fn the_boot_command_runs_beside() {
    let mut plan = Plan::default();
    plan.conf.boot.command = Some("id -u > /tmp/boot; env >> /tmp/boot; sleep 1000; exit 1".to_owned());
    let distro = Distro::of(&plan);
    until("it ran", || distro.text("cat /tmp/boot 2>/dev/null || true").contains("WSL_DISTRO_NAME=Deb"));
    let text = distro.text("cat /tmp/boot");
    assert!(text.starts_with("0\n") && !text.contains("SAMPAN_SERVER"), "{text}");
    until("it sleeps, and is woken", || distro.sh("pkill sleep").code() == Some(0));
    until("its failure is in the log", || distro.log().contains("boot.command failed"));
}

fn the_tools_know_the_distribution() {
    let distro = Distro::of(&Plan { version: 1, ..Plan::default() });
    // The host's programs are read-only here.
    assert!(distro.ready["warnings"].to_string().contains("Cannot install /usr/bin/wslpath"));
    drop(distro);
    let distro = Distro::start();
    distro.text("cp /proc/1/exe /tmp/wslpath; ln -s wslpath /tmp/wslinfo");
    assert_eq!(distro.text("/tmp/wslpath -w /etc"), "\\\\wsl.localhost\\Deb\\etc\n");
    assert_eq!(distro.text("/tmp/wslpath '\\\\wsl$\\Deb\\etc'"), "/etc\n");
    assert_eq!(distro.text("cd /tmp; ./wslinfo --version -n"), env!("CARGO_PKG_VERSION"));
    assert_eq!(distro.text("/tmp/wslinfo --vm-id").trim().len(), 36);
    assert_eq!(distro.sh("/tmp/wslpath 'Z:\\x'").code(), Some(1));
}
