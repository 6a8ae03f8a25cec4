//! The life of a distribution: first use, idle end, terminate, shutdown, death.

use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::traces::Traces;
use sampan_e2e::{files, kernel, roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("life::l01_and_l02_idle_distributions_stop_by_the_timeout", idle),
        Case::new("life::a_running_daemon_is_activity", daemon),
        Case::new("life::terminate_and_shutdown_leave_nothing", ends),
        Case::new("life::the_death_of_its_init_is_noticed_and_mended", death),
        Case::new("life::a_disk_leaves_the_host_s_cache", disk),
        Case::new("life::two_commands_at_once_start_it_once", at_once),
        Case::new("life::stopping_the_engine_leaves_distributions_alone", engine),
        Case::new("life::wsl_conf_is_obeyed", conf),
        Case::new("life::hostname_hosts_and_resolver", names),
        Case::new("life::i01_i02_i28_i32_export_import_move_and_unregister", storage),
        Case::new("life::the_default_distribution", default),
    ]
}

/// Rows L01 and L02.
fn idle() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=500\n");
    instance.import("d", &roots::small(), 2);
    instance.import("o", &roots::small(), 1);
    for name in ["d", "o"] {
        instance.inside(name, "echo OK").says("OK");
        waiting::until("the idle distribution stops", || instance.state_of(name) == "Stopped");
        instance.inside(name, "echo again").says("again");
    }
    // A session counts, however quiet.
    let job = instance.wsl_tool(&["-d", "d", "-e", "sh", "-c", "echo ready; cat"]).input_open().spawn();
    job.wait_for_text("ready");
    waiting::let_pass(std::time::Duration::from_secs(2));
    assert_eq!(instance.state_of("d"), "Running");
    drop(job);
    waiting::until("it stops after its last session", || instance.state_of("d") == "Stopped");
}

fn daemon() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=0\n");
    instance.import("d", &roots::small(), 2);
    instance
        .inside("d", "setsid sh -c 'sleep 3; touch /var/done; sleep 3' > /dev/null 2>&1 < /dev/null &")
        .expect(0);
    waiting::let_pass(std::time::Duration::from_secs(1));
    assert_eq!(instance.state_of("d"), "Running", "WSL#8854");
    waiting::until("it stops after its last process", || instance.state_of("d") == "Stopped");
    instance.inside("d", "test -e /var/done").expect(0);
}

fn ends() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("a", &roots::small(), 2);
    instance.import("b", &roots::small(), 1);
    for name in ["a", "b"] {
        instance
            .inside(name, "setsid sleep 1000 > /dev/null 2>&1 < /dev/null & echo x > /var/kept")
            .expect(0);
    }
    let success = "The operation completed successfully. \n";
    assert_eq!(instance.wsl(&["--terminate", "A"]).expect(0).text(), success);
    assert_eq!(instance.wsl(&["-t", "a"]).expect(0).text(), success, "also when it does not run");
    assert_eq!((instance.state_of("a"), instance.state_of("b")), ("Stopped".into(), "Running".into()));
    instance.inside("a", "cat /var/kept").says("x");
    let traces = Traces::of(&instance);
    assert_eq!(instance.wsl(&["--shutdown"]).expect(0).all(), "");
    assert!(instance.processes().is_empty(), "{:?}", instance.processes());
    assert!(traces.namespace_count() > 0);
    assert_eq!(instance.wsl(&["-l", "--running", "-q"]).text(), "");
    instance.inside("b", "cat /var/kept").says("x");
    instance.wsl(&["--shutdown", "--force"]).expect(0);
    instance.wsl(&["--unregister", "a"]).expect(0);
    instance.wsl(&["--unregister", "b"]).expect(0);
    assert!(files::names(&instance.scratch("distributions")).is_empty());
    instance.sampan(&["reset", "--all", "--yes"]).expect(0);
    traces.assert_gone();
}

fn death() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    let job = instance.wsl_tool(&["-d", "d", "-e", "sh", "-c", "echo ready; cat"]).input_open().spawn();
    job.wait_for_text("ready");
    let guid = instance.registry().find("d").expect("it was imported").guid;
    let init = sampan_e2e::instance::recorded(&instance.place().distro_run(&guid).join("record.json"));
    init.kill();
    job.finish().expect_failure();
    waiting::until("its end is noticed", || instance.state_of("d") == "Stopped");
    instance.inside("d", "echo again").says("again");
    // Killing PID 1 from inside does nothing (kill(2)).
    instance.inside("d", "kill -9 1; echo still here").says("still here");
}

/// A start takes from the host's cache what the one before has read; for long, nothing is to be cached twice.
fn disk() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    instance.inside("d", "true").expect(0);
    let folder = instance.disk_of("d").parent().expect("a folder").to_owned();
    let [(name, _)] = &kernel::loops_below(&folder)[..] else { panic!("one disk, one device") };
    let is_direct = || files::read(Path::new(&format!("/sys/block/{name}/loop/dio"))).starts_with(b"1");
    waiting::until("the disk is read directly", is_direct);
    instance.inside("d", "echo still there > /var/file; sync; cat /var/file").says("still there");
}

fn at_once() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let jobs: Vec<_> = (0..20)
        .map(|n| {
            instance
                .wsl_tool(&[
                    "-d",
                    "d",
                    "-e",
                    "sh",
                    "-c",
                    &format!("echo {n}; cat /proc/1/stat | cut -d' ' -f22"),
                ])
                .spawn()
        })
        .collect();
    let mut starts: Vec<String> =
        jobs.into_iter().map(|job| job.finish().ok().lines().last().unwrap_or_default().to_owned()).collect();
    starts.dedup();
    assert_eq!(starts.len(), 1, "one boot for all: {starts:?}");
    // An operation on it while it is used by others: one waits or is refused, nothing breaks.
    let export = instance.scratch("x").join("x.tar");
    let jobs: Vec<_> = (0..6)
        .map(|n| match n % 3 {
            0 => instance.wsl_tool(&["--export", "d"]).arg(export.with_extension(format!("{n}.tar"))).spawn(),
            1 => instance.wsl_tool(&["--terminate", "d"]).spawn(),
            _ => instance.wsl_tool(&["-d", "d", "-e", "true"]).spawn(),
        })
        .collect();
    for job in jobs {
        let output = job.finish();
        let refused = output.code() == Some(255) && output.text().contains("E_ILLEGAL_STATE_CHANGE");
        assert!(output.code() == Some(0) || refused, "{output}");
    }
    instance.inside("d", "echo fine").says("fine");
}

fn engine() {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    let job =
        instance.wsl_tool(&["-d", "d", "-e", "sh", "-c", "echo ready; cat; echo end"]).input_open().spawn();
    job.wait_for_text("ready");
    instance.sampan(&["stop"]).expect(0).says("d");
    assert_eq!(
        (instance.state_of("d"), instance.state_of("docker-desktop")),
        ("Running".into(), "Stopped".into())
    );
    instance.start().ok();
    instance.sampan(&["restart"]).expect(0);
    assert!(!job.has_ended());
    assert_eq!(instance.state_of("d"), "Running");
    instance.wsl(&["--shutdown"]).expect(0);
    assert_eq!(instance.state_of("docker-desktop"), "Stopped");
    drop(job);
}

fn conf() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let write = |text: &str| {
        instance
            .wsl_tool(&["-d", "d", "-u", "root", "-e", "sh", "-c", "cat > /etc/wsl.conf"])
            .input(text)
            .run()
            .ok();
        instance.wsl(&["--terminate", "d"]).expect(0);
    };
    write("[user]\ndefault=ann\n[boot]\ncommand=echo \"$(id -u)\" > /var/booted\n[filesystem]\numask=0077\n");
    let said = instance.wsl(&["-d", "d", "-e", "sh", "-c", "id -un; umask; touch /tmp/u; stat -c %a /tmp/u"]);
    assert_eq!(said.ok(), "ann\n0077\n600");
    waiting::until("boot.command has run", || instance.inside("d", "cat /var/booted").text().trim() == "0");
    write("[foo]\na=b\n[user]\ndefault=ann\n");
    let warned = instance.wsl(&["-d", "d", "--cd", "/", "-e", "id", "-un"]);
    assert_eq!(warned.ok(), "ann");
    assert_eq!(warned.errors(), "wsl: Unknown key 'foo.a' in /etc/wsl.conf:2\n", "K01");
    write("[user]\ndefault=nobody-here\n");
    let root = instance.wsl(&["-d", "d", "--cd", "/", "-e", "id", "-un"]);
    assert_eq!(root.ok(), "root");
    assert!(root.errors().starts_with("wsl: "), "{root}");
    write("[automount]\nmountFsTab=true\n");
    instance.inside("d", "echo 'none /srv/t tmpfs size=1m 0 0' > /etc/fstab; mkdir -p /srv/t").ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.inside("d", "grep -q '/srv/t tmpfs' /proc/mounts").expect(0);
    instance.inside("d", "echo 'none /no/such tmpfs' > /etc/fstab").ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.inside("d", "echo up").expect(0).says("up");
}

fn names() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("every machine has one");
    let host = host.trim();
    assert_eq!(instance.inside("d", "hostname; cat /etc/hostname").ok(), format!("{host}\n{host}"));
    let hosts = instance.inside("d", "cat /etc/hosts").ok();
    assert!(hosts.contains("127.0.0.1\tlocalhost") && hosts.contains("127.0.1.1"), "H19: {hosts}");
    let resolver = instance.inside("d", "readlink /etc/resolv.conf; cat /etc/resolv.conf").ok();
    let lead = "/run/sampan/resolv.conf\n# This file was generated by Sampan. To stop that, add these lines to /etc/wsl.conf:\n";
    assert!(resolver.starts_with(lead), "{resolver}");
    // What the user made himself is never touched.
    let own = "rm /etc/resolv.conf; echo 'nameserver 192.0.2.1' > /etc/resolv.conf; \
               printf '[network]\\nhostname=my-Host..x\\ngenerateHosts=false\\n' > /etc/wsl.conf; echo mine > /etc/hosts";
    instance.inside("d", own).ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    let said = instance.inside("d", "cat /etc/resolv.conf /etc/hosts; hostname").ok();
    assert_eq!(said, "nameserver 192.0.2.1\nmine\nmy-Host.x");
}

/// Rows I01, I02, I28, I32.
fn storage() {
    let instance = Instance::new();
    let folder = instance.import("d", &roots::small(), 2);
    instance.inside("d", "echo precious > /var/file").ok();
    let files_of = instance.scratch("files");
    for (format, ending, test) in
        [("tar", "tar", "tar -tf"), ("tar.gz", "tar.gz", "gzip -t"), ("tar.xz", "tar.xz", "xz -t")]
    {
        let file = files_of.join(format!("d.{ending}"));
        let exported = instance.wsl_tool(&["--export", "d"]).arg(&file).args(["--format", format]).run();
        exported.expect(0);
        assert_eq!(exported.errors(), "", "no bar where there is no terminal");
        sampan_e2e::tools::Tool::new("sh").args(["-c", &format!("{test} \"$0\"")]).arg(&file).run().ok();
        let name = format!("again-{}", ending.replace('.', "-"));
        instance.import(&name, &file, if ending == "tar" { 1 } else { 2 });
        assert_eq!(instance.inside(&name, "cat /var/file").ok(), "precious");
    }
    let listed = sampan_e2e::tools::Tool::new("tar").arg("-tf").arg(files_of.join("d.tar")).run().ok();
    assert!(listed.lines().any(|line| line == "./etc/passwd"), "I01: {listed}");
    let missing = instance.wsl_tool(&["--import-in-place", "gone"]).arg(files_of.join("gone.img")).run();
    missing.expect(255).says("The system cannot find the file specified.").says("ERROR_FILE_NOT_FOUND");
    // Through pipes. One is closed when it is full.
    let unread = r#""$@" | (sleep 1; head -c 1000 > /dev/null)"#;
    let unread = instance.wsl_tool(&["--export", "d", "-"]).under(["sh", "-c", unread, "sh"]).run();
    unread.expect(0).says("Broken pipe").says("Wsl/Service/WSL_E_EXPORT_FAILED");
    let piped = instance.wsl_tool(&["--export", "d", "-"]).run();
    piped.expect(0);
    instance
        .wsl_tool(&["--import", "piped"])
        .arg(files_of.join("piped"))
        .arg("-")
        .input(piped.bytes().to_vec())
        .run()
        .ok();
    assert_eq!(instance.inside("piped", "cat /var/file").ok(), "precious");

    instance.wsl(&["--terminate", "d"]).expect(0);
    let there = files_of.join("moved");
    instance.wsl_tool(&["--manage", "d", "--move"]).arg(&there).run().expect(0);
    assert!(there.join("ext4.img").exists() && !folder.join("ext4.img").exists());
    assert_eq!(instance.inside("d", "cat /var/file").ok(), "precious");
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.wsl(&["--manage", "d", "--resize", "1500GB"]).expect(0);
    let size = instance.inside("d", "df -k / | tail -1").ok();
    let blocks: u64 =
        size.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("df says the size");
    assert!(blocks > 1_400_000_000, "I32: {size}");
    let removed = instance.wsl(&["--unregister", "d"]);
    assert_eq!(removed.expect(0).text(), "Unregistering.\nThe operation completed successfully. \n");
    assert!(!there.join("ext4.img").exists());
}

fn default() {
    let instance = Instance::new();
    instance.import("first", &roots::small(), 2);
    instance.import("second", &roots::small(), 1);
    assert_eq!(
        instance.wsl(&["-l"]).text(),
        "Windows Subsystem for Linux Distributions:\nfirst (Default)\nsecond\n"
    );
    assert_eq!(instance.wsl(&["echo", "$WSL_DISTRO_NAME"]).text(), "$WSL_DISTRO_NAME\n");
    assert_eq!(instance.wsl(&["echo $WSL_DISTRO_NAME"]).text(), "first\n");
    instance.wsl(&["--set-default", "SECOND"]).expect(0);
    assert_eq!(instance.wsl(&["echo $WSL_DISTRO_NAME"]).text(), "second\n");
    assert_eq!(instance.wsl(&["--status"]).text(), "Default Distribution: second\nDefault Version: 2\n");
    instance.wsl(&["--unregister", "second"]).expect(0);
    assert_eq!(instance.wsl(&["echo $WSL_DISTRO_NAME"]).text(), "first\n");
    let id = instance.registry().find("first").expect("it is there").guid.to_string();
    for id in [id.clone(), format!("{{{id}}}"), id.to_uppercase()] {
        assert_eq!(instance.wsl(&["--distribution-id", &id, "echo", "-n", "OK"]).text(), "OK", "E07");
    }
    instance.wsl(&["--set-default-version", "1"]).expect(0);
    let folder = instance.scratch("later").join("x");
    instance.wsl_tool(&["--import", "third"]).arg(folder).arg(roots::small()).run().ok();
    assert!(instance.wsl(&["-l", "-v"]).text().contains("third    Stopped         1"));
}
