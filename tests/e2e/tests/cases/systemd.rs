//! Distributions whose PID 1 is systemd.

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::instance::Instance;
use sampan_e2e::{roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("systemd::it_boots_serves_and_ends", boots),
        Case::new("systemd::l04_without_its_server_it_ends_and_comes_back", server_dies),
        Case::new("systemd::l05_without_the_key_there_is_none", without),
        Case::new("systemd::l07_a_user_has_a_user_session", user_session),
        Case::new("systemd::l08_without_a_user_session_a_command_runs_all_the_same", no_user_session),
        Case::skippable("systemd::l10_binfmt_misc_is_emptied_only_where_it_may_be", binfmt),
        Case::new("systemd::a_shutdown_of_one_takes_nothing_from_another", neighbours),
        Case::new("systemd::a_service_is_activity_and_a_bare_system_is_not", idle),
        Case::new("systemd::version_1_says_why_not", version_1),
    ]
}

/// An instance with a Debian distribution `deb` that has `boot.systemd`.
fn instance(version: u8) -> Instance {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("deb", &roots::debian(), version);
    instance.inside("deb", "printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "deb"]).expect(0);
    instance
}

fn state(instance: &Instance) -> String {
    instance.inside("deb", "systemctl is-system-running --wait").text().trim().to_owned()
}

fn boots() {
    let instance = instance(2);
    let first = state(&instance);
    let failed = instance.inside("deb", "systemctl --failed --no-legend").text();
    assert!(["running", "degraded"].contains(&first.as_str()), "{first}: {failed}");
    assert_eq!(
        instance.inside("deb", "cat /proc/1/comm; systemd-detect-virt -c").text(),
        "systemd\ncontainer-other\n"
    );
    instance.inside("deb", "systemd-run --wait --pipe echo from-a-unit").says("from-a-unit");
    instance.inside("deb", "systemctl daemon-reexec && systemctl is-active systemd-journald").says("active");
    instance.inside("deb", "journalctl -b -n 5 --no-pager").expect(0);
    // It goes in order: a service that is asked to stop can still write.
    let stop = "/bin/sh -c 'echo in order > /var/stopped'";
    let service = format!("systemd-run -q -p RemainAfterExit=yes -p \"ExecStop={stop}\" true");
    instance.inside("deb", &format!("echo kept > /var/kept; {service}")).expect(0);
    instance.wsl(&["--terminate", "deb"]).expect(0);
    assert_eq!(instance.state_of("deb"), "Stopped");
    assert_eq!(instance.inside("deb", "cat /var/kept /var/stopped").ok(), "kept\nin order");
    instance.inside("deb", "systemctl poweroff").expect(0);
    waiting::until("it is off", || instance.state_of("deb") == "Stopped");
    instance.inside("deb", "echo on again").says("on again");
    instance.inside("deb", "(sleep 1; systemctl reboot) & echo going").says("going");
    waiting::until("a reboot ends it", || instance.state_of("deb") == "Stopped");
}

/// Row L04.
fn server_dies() {
    let instance = instance(2);
    state(&instance);
    // Of what is in this cgroup the server came first.
    instance.inside("deb", "kill -9 $(sort -n /sys/fs/cgroup/sampan/cgroup.procs | head -n 1)");
    waiting::until("the distribution has ended", || instance.state_of("deb") == "Stopped");
    instance.inside("deb", "echo back").says("back");
}

/// Row L05.
fn without() {
    let instance = Instance::new();
    instance.import("deb", &roots::debian(), 2);
    let said = instance.inside("deb", "systemctl --system is-system-running; cat /proc/1/comm");
    assert!(said.text().starts_with("offline\n") && !said.text().contains("systemd"), "{said}");
}

/// Row L07.
fn user_session() {
    let instance = instance(2);
    let script = "echo $XDG_RUNTIME_DIR; systemctl is-active user@$(id -u); test -w /run/user/1000 && stat -f -c %T /run/user/1000";
    let said = instance.wsl(&["-d", "deb", "-u", "ann", "-e", "sh", "-c", script]);
    assert_eq!(said.ok(), "/run/user/1000\nactive\ntmpfs", "{said}");
    let user =
        instance.wsl(&["-d", "deb", "-u", "ann", "-e", "systemctl", "--user", "is-system-running", "--wait"]);
    assert!(["running", "degraded"].contains(&user.text().trim()), "{user}");
}

/// Row L08.
fn no_user_session() {
    let instance = instance(2);
    instance.inside("deb", "chmod 000 /run/user").ok();
    let said = instance.wsl(&["-d", "deb", "-u", "ann", "--cd", "~", "-e", "echo", "here"]);
    assert_eq!(said.ok(), "here");
    assert_eq!(
        said.errors(),
        "wsl: Failed to start the systemd user session for 'ann'. See journalctl for more details.\n"
    );
}

/// Row L10.
fn binfmt() -> Result<(), Skip> {
    let instance = instance(2);
    let mount = instance.inside("deb", "mount -t binfmt_misc none /mnt && umount /mnt");
    if mount.code() != Some(0) {
        return Err(Skip("needs a kernel with a binfmt_misc for each user namespace (Linux 6.7)".to_owned()));
    }
    // What is there when everything else is over.
    let look = "/usr/lib/systemd/system-shutdown/look";
    let script = "#!/bin/sh\nls /proc/sys/fs/binfmt_misc > /var/left\n";
    let prepare = format!(
        "mkdir -p $(dirname {look}) /etc/binfmt.d && printf '{script}' > {look} && chmod 755 {look} && \
         echo 'none /proc/sys/fs/binfmt_misc binfmt_misc defaults 0 0' > /etc/fstab && \
         echo ':probe:M::PROBE::/bin/true:' > /etc/binfmt.d/probe.conf"
    );
    instance.inside("deb", &prepare).expect(0);
    for (protected, left) in [("true", "probe\nregister\nstatus"), ("false", "register\nstatus")] {
        let conf = format!("printf '[boot]\\nsystemd=true\\nprotectBinfmt={protected}\\n' > /etc/wsl.conf");
        instance.inside("deb", &conf).expect(0);
        instance.wsl(&["--terminate", "deb"]).expect(0);
        let status = instance.inside("deb", "mountpoint -q /proc/sys/fs/binfmt_misc/status; echo $?");
        assert_eq!(
            status.ok(),
            if protected == "true" { "0" } else { "32" },
            "L10: protectBinfmt={protected}"
        );
        instance.inside("deb", "rm -f /var/left; systemctl poweroff").expect(0);
        waiting::until("it is off", || instance.state_of("deb") == "Stopped");
        assert_eq!(instance.inside("deb", "cat /var/left").ok(), left, "protectBinfmt={protected}");
    }
    Ok(())
}

fn neighbours() {
    let instance = instance(2);
    instance.import("two", &roots::small(), 2);
    instance.inside("two", "echo shared > /mnt/wsl/file && mkdir -p /mnt/wsl/t").expect(0);
    instance.inside("deb", "cat /mnt/wsl/file").says("shared");
    instance.inside("deb", "systemctl poweroff").expect(0);
    waiting::until("it is off", || instance.state_of("deb") == "Stopped");
    instance.inside("two", "cat /mnt/wsl/file").says("shared");
    instance.inside("deb", "cat /mnt/wsl/file").says("shared");
}

fn idle() {
    let instance = instance(2);
    instance.wslconfig("[general]\ninstanceIdleTimeout=1000\n");
    instance.wsl(&["--shutdown"]).expect(0);
    state(&instance);
    waiting::until("a bare system is idle", || instance.state_of("deb") == "Stopped");
    instance.inside("deb", "systemd-run --unit=worker sleep 100000").expect(0);
    waiting::let_pass(std::time::Duration::from_secs(5));
    assert_eq!(instance.state_of("deb"), "Running");
    instance.inside("deb", "systemctl stop worker").expect(0);
    waiting::until("idle again", || instance.state_of("deb") == "Stopped");
}

fn version_1() {
    let instance = instance(1);
    let said = instance.inside("deb", "cat /proc/1/comm");
    assert!(!said.text().contains("systemd"), "{said}");
    assert!(said.errors().contains("wsl: ") && said.errors().contains("--set-version deb 2"), "{said}");
}
