//! What root of a distribution cannot do to the host or to another distribution. Each row is a promise.
//!
//! A script says `OPEN` when it got through, and `END` when it ran at all. All that it writes is what was there before, so
//! that it may also run where nothing stops it: every row must get through there, or it would prove nothing.

mod server;

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::Tool;
use sampan_e2e::{files, processes, roots, shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("hardening::the_kernel_s_settings_are_out_of_reach", settings),
        Case::new("hardening::the_host_s_devices_are_out_of_reach", devices),
        Case::new("hardening::system_calls_that_change_the_host_are_refused", calls),
        Case::new("hardening::binfmt_misc_is_the_distribution_s_own", binfmt),
        Case::new("hardening::processes_of_host_and_neighbours_are_invisible", invisible),
        Case::new("hardening::files_of_host_and_neighbours_are_out_of_reach", files_outside),
        Case::new("hardening::the_shared_network_cannot_be_changed", network),
        Case::new("hardening::a_reboot_inside_ends_only_the_distribution", reboot),
        Case::new("hardening::privileged_is_a_word_of_the_user_on_the_host", privileged),
        Case::new("hardening::what_should_work_works", works),
    ];
    cases.extend(contrasts());
    cases.extend(server::cases());
    cases
}

/// Name and script of a promise.
type Row = (&'static str, &'static str);

const SETTINGS: [Row; 11] = [
    (
        "core_pattern through a fresh proc",
        "mount -t proc p $D && v=$(cat $D/sys/kernel/core_pattern) && echo \"$v\" > $D/sys/kernel/core_pattern && echo OPEN; umount $D",
    ),
    (
        "core_pattern after a remount of /proc/sys",
        "mount -o remount,bind,rw /proc/sys; v=$(cat /proc/sys/kernel/core_pattern) && echo \"$v\" > /proc/sys/kernel/core_pattern && echo OPEN",
    ),
    (
        "core_pattern after an unmount of /proc/sys",
        "umount /proc/sys; v=$(cat /proc/sys/kernel/core_pattern) && echo \"$v\" > /proc/sys/kernel/core_pattern && echo OPEN",
    ),
    ("drop_caches", "exec 3> /proc/sys/vm/drop_caches && echo OPEN"),
    (
        "huge pages through a fresh sysfs",
        "mount -t sysfs s $D && f=$D/kernel/mm/transparent_hugepage/enabled && v=$(sed 's/.*\\[\\(.*\\)\\].*/\\1/' $f) && echo $v > $f && echo OPEN; umount $D",
    ),
    ("debugfs", "mount -t debugfs d $D && ls $D | grep -q . && echo OPEN; umount $D"),
    ("tracefs", "mount -t tracefs d $D && ls $D | grep -q . && echo OPEN; umount $D"),
    ("sysrq-trigger", "exec 3> /proc/sysrq-trigger && echo OPEN"),
    ("a new cgroup hierarchy", "mount -t cgroup -o none,name=sampan-probe c $D && echo OPEN; umount $D"),
    (
        "the host's device rules",
        "mount -t cgroup -o devices c $D && exec 3> $D/devices.allow && echo OPEN; umount $D",
    ),
    ("memory of the kernel", "exec 3< /proc/kcore && head -c 1 <&3 | grep -q . && echo OPEN"),
];

const DEVICES: [Row; 7] = [
    ("devtmpfs", "mount -t devtmpfs d $D && ls $D | grep -q . && echo OPEN; umount $D"),
    ("loop-control", "mknod $D/x c 10 237 && exec 3<> $D/x && echo OPEN"),
    ("a disk", "mknod $D/y b $DISK && head -c 1 $D/y | wc -c | grep -q 1 && echo OPEN"),
    ("memory", "mknod $D/m c 1 1 && exec 3< $D/m && echo OPEN"),
    ("the kernel's log", "mknod $D/k c 1 11 && exec 3< $D/k && echo OPEN"),
    ("dmesg", "dmesg | grep -q . && echo OPEN"),
    (
        "a file system of a disk",
        "mknod $D/z b $DISK; mkdir -p $D/mnt; mount -o ro -t ext4 $D/z $D/mnt && echo OPEN; umount $D/mnt",
    ),
];

/// In a network namespace of its own the same root may do all of it.
const NETWORK: [Row; 4] = [
    ("the loopback down", "ip link set lo down && echo OPEN"),
    ("a new link", "ip link add probe0 type veth && echo OPEN"),
    ("an address", "ip addr add 203.0.113.9/32 dev lo && echo OPEN"),
    ("a route", "ip route add 203.0.113.0/24 dev lo && echo OPEN"),
];

/// Perl: number of the call (x86-64) and arguments; OPEN unless it is refused with EPERM, EACCES or ENOSYS.
const CALLS: [Row; 13] = [
    ("bpf", "321, 0, pack(q(LLLLx60), 2, 4, 4, 1), 72"),
    ("kexec_load", "246, 0, 0, 0, 0"),
    ("init_module", "175, 0, 0, 0"),
    ("finit_module", "313, -1, 0, 0"),
    ("delete_module", "176, q(no-such-module), 0"),
    ("swapon", "167, q(/no/such/file), 0"),
    ("settimeofday", "164, 0, 0"),
    ("clock_settime", "227, 0, pack(q(qq), -1, -1)"),
    ("iopl", "172, 0"),
    ("acct", "163, q(/no/such/file)"),
    ("quotactl", "179, 0x80000100, 0, 0, 0"),
    ("open_by_handle_at", "304, -100, pack(q(LLq), 8, 1, 0), 0"),
    ("perf_event_open", "298, pack(q(LLx104), 1, 112), -1, 0, -1, 0"),
];

fn call_script(arguments: &str) -> String {
    format!(
        "LC_ALL=C perl -e 'my @a = ({arguments}); my $n = shift @a; my $r = syscall($n, @a); print \"errno \", $!+0, \"\\n\"; \
         print \"OPEN\\n\" unless $r == -1 && ($! == 1 || $! == 13 || $! == 38)'"
    )
}

/// The whole script of a row; `$D` is an empty folder.
fn script(row: &str) -> String {
    let disk = disk();
    // What a row has open keeps it from unmounting; nothing that is still mounted may be removed with the folder.
    let end = "umount -l $D 2> /dev/null; rm -rf $D; echo END";
    format!("D=/tmp/probe-$$; DISK='{disk}'; mkdir -p $D; (\n{row}\n) 2>&1; {end}")
}

/// Major and minor number of a disk of this machine.
fn disk() -> String {
    let names = files::names(std::path::Path::new("/sys/block"));
    let disk = names
        .iter()
        .find(|name| !name.starts_with("loop") && !name.starts_with("ram") && !name.starts_with("zram"));
    let number = disk.and_then(|name| std::fs::read_to_string(format!("/sys/block/{name}/dev")).ok());
    number.unwrap_or_else(|| "7:0".to_owned()).trim().replace(':', " ")
}

/// Requires that what the scripts are made of is there: without it nothing would get through anywhere.
#[track_caller]
fn has_tools(name: &str) {
    let look = "for t in mount umount mknod dmesg sed head cat ls grep wc ip; do command -v $t > /dev/null || echo no $t; done; \
                ip link show lo | grep -q LOOPBACK && echo END";
    assert_eq!(shared::distributions().inside(name, look).text(), "END\n", "{name}");
}

#[track_caller]
fn blocked(name: &str, row: &Row) {
    let output = shared::distributions().inside(name, &script(row.1));
    let said = output.all();
    assert!(said.contains("END"), "{name}: {}: the script did not run: {output}", row.0);
    assert!(!said.contains("OPEN"), "{name}: {} is open: {output}", row.0);
}

fn settings() {
    for name in ["two", "one"] {
        has_tools(name);
        for row in &SETTINGS {
            blocked(name, row);
        }
    }
}

fn devices() {
    for name in ["two", "one"] {
        has_tools(name);
        for row in &DEVICES {
            blocked(name, row);
        }
    }
}

fn calls() {
    let instance = shared::debian();
    for (name, arguments) in CALLS {
        let output = instance.inside("deb", &call_script(arguments));
        assert!(output.text().contains("errno"), "{name}: {output}");
        assert!(!output.text().contains("OPEN"), "{name} is open: {output}");
    }
}

/// What every machine lets its root do. The rest may be missing on one, or be refused to the whole machine by what it
/// runs in itself.
const EVERYWHERE: [&str; 13] = [
    "core_pattern through a fresh proc",
    "core_pattern after a remount of /proc/sys",
    "core_pattern after an unmount of /proc/sys",
    "drop_caches",
    "loop-control",
    "dmesg",
    "swapon",
    "settimeofday",
    "clock_settime",
    "the loopback down",
    "a new link",
    "an address",
    "a route",
];

/// The same scripts as root of the host, in a mount namespace of their own, and a network namespace of their own where they
/// change the network: each has to get through there, or is listed as one that cannot be shown to on this machine.
fn contrasts() -> Vec<Case> {
    let rows = SETTINGS.iter().chain(&DEVICES).map(|(name, row)| (*name, "-m", script(row)));
    let calls = CALLS.iter().map(|(name, arguments)| (*name, "-m", call_script(arguments)));
    let network =
        NETWORK.iter().map(|(name, row)| (*name, "-mn", script(&format!("ip link set lo up; {row}"))));
    let contrast = |(name, namespaces, script): (&'static str, &'static str, String)| {
        Case::skippable(&format!("hardening::where_nothing_stops_it_this_gets_through: {name}"), move || {
            let own = [namespaces, "--propagation", "slave", "sh", "-c", &script];
            let bare = Tool::new("unshare").args(own).run();
            if bare.all().contains("OPEN") {
                return Ok(());
            }
            assert!(!EVERYWHERE.contains(&name), "{name} does not get through even here: {bare}");
            let said = bare.all();
            let why = said.lines().filter(|line| *line != "END").collect::<Vec<_>>().join("; ");
            Err(Skip(format!("cannot be shown open: this machine refuses it to its own root: {why}")))
        })
    };
    rows.chain(calls).chain(network).map(contrast).collect()
}

fn binfmt() {
    let instance = shared::distributions();
    let write = "mkdir -p /tmp/b; mount -t binfmt_misc b /tmp/b && echo ':sampan-probe:M::SAMPANPROBE::/bin/true:' > /tmp/b/register; umount /tmp/b; echo END";
    instance.inside("two", write).says("END");
    let look = "mkdir -p $0; mount -t binfmt_misc b $0 && ls $0";
    let folder = instance.scratch("binfmt");
    let host =
        Tool::new("unshare").args(["-m", "--propagation", "slave", "sh", "-c", look]).arg(&folder).run();
    assert!(!host.all().contains("sampan-probe"), "{host}");
}

fn invisible() {
    let instance = shared::distributions();
    let me = processes::me().to_string();
    let job = instance.wsl_tool(&["-d", "one", "-e", "sh", "-c", "echo ready; exec sleep 424242"]).spawn();
    job.wait_for_text("ready");
    // Other tests have processes in there too, which may end meanwhile.
    let looked = instance.inside("two", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo END");
    let seen = looked.says("END").text();
    assert!(!seen.contains("424242") && !seen.contains("sampand") && !seen.contains("e2e"), "{seen}");
    // Its number means nothing inside, or one of the distribution's own.
    let killed = instance.inside("two", &format!("kill -0 {me} && readlink /proc/{me}/exe; echo END"));
    assert!(!killed.text().contains("e2e"), "{killed}");
    job.kill();
}

fn files_outside() {
    let instance = shared::distributions();
    let secret = instance.identity().root.join("secret-of-the-host");
    files::write(&secret, "secret");
    let path = secret.display();
    let escape = format!(
        "cat {path} /proc/1/root{path} /../../..{path} 2>/dev/null; \
         mkdir -p /tmp/e; chroot /tmp/e true; ls /proc/1/root/ /proc/self/root/; cat /proc/self/mountinfo; echo END"
    );
    for name in ["two", "one"] {
        let said = instance.inside(name, &escape);
        said.says("END");
        assert!(!said.text().contains("secret"), "{said}");
        let other = if name == "two" { "one" } else { "two" };
        let guid = instance.registry().find(other).expect("it was imported").guid.to_string();
        assert!(!said.text().contains(&guid), "a trace of {other} in the mounts of {name}: {said}");
    }
}

fn network() {
    for name in ["two", "one"] {
        has_tools(name);
        for row in &NETWORK {
            blocked(name, row);
        }
    }
}

fn reboot() {
    let instance = Instance::new();
    instance.import("r", &roots::small(), 2);
    instance.import("s", &roots::small(), 2);
    instance.inside("s", "true").ok();
    instance.inside("r", "reboot -f; sleep 60").expect_failure();
    waiting::until("the distribution has ended", || instance.state_of("r") == "Stopped");
    instance.inside("r", "echo again").says("again");
    assert_eq!(instance.state_of("s"), "Running");
}

fn privileged() {
    let instance = Instance::new();
    instance.import("p", &roots::small(), 2);
    // The distribution's own file asks; only the host's word counts.
    instance.inside("p", "printf '[sampan]\\nprivileged=true\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "p"]).ok();
    let row = "mount -t proc p $D && exec 3> $D/sys/kernel/core_pattern && echo OPEN; umount $D";
    let closed = instance.inside("p", &script(row));
    assert!(!closed.all().contains("OPEN"), "{closed}");
    instance.sampan(&["distro", "set", "p", "--privileged"]).expect_failure();
    instance.sampan(&["distro", "set", "p", "--privileged", "--yes"]).expect(0).says("root");
    instance.wsl(&["--terminate", "p"]).ok();
    instance.inside("p", &script(row)).says("OPEN");
    instance.sampan(&["distro", "set", "p", "--no-privileged"]).expect(0);
    instance.wsl(&["--terminate", "p"]).ok();
    let closed = instance.inside("p", &script(row));
    assert!(!closed.all().contains("OPEN"), "{closed}");
}

/// What the wall must not break.
fn works() {
    let rows = [
        ("owners", "touch /tmp/f && chown 1000:1000 /tmp/f && stat -c %u:%g /tmp/f", "1000:1000"),
        (
            "tmpfs",
            "mkdir -p /tmp/t && mount -t tmpfs t /tmp/t && touch /tmp/t/x && umount /tmp/t && echo done",
            "done",
        ),
        (
            "bind",
            "mkdir -p /tmp/b && mount --bind /etc /tmp/b && test -e /tmp/b/passwd && umount /tmp/b && echo done",
            "done",
        ),
        ("low ports", "nc -l -p 81 -e true & sleep 0.2; kill $! && echo done", "done"),
        ("FIFOs", "rm -f /tmp/fifo; mkfifo /tmp/fifo && echo done", "done"),
        ("nested namespaces", "unshare -m -p -f sh -c 'echo done'", "done"),
        ("set-user-id", "cp /bin/busybox /tmp/su && chmod 4755 /tmp/su && stat -c %a /tmp/su", "4755"),
        ("shared root", "awk '$5 == \"/\"' /proc/self/mountinfo | grep -q shared: && echo done", "done"),
        (
            "devices",
            "for d in null zero full random urandom tty ptmx; do test -e /dev/$d || echo $d; done; echo done",
            "done",
        ),
    ];
    for name in ["two", "one"] {
        for (what, script, expected) in rows {
            // Version 1 has the host's network, and there the host's rule: from 1024 on, unless it says otherwise.
            if (name, what) == ("one", "low ports") {
                continue;
            }
            let said = shared::distributions().inside(name, script);
            assert_eq!(said.ok(), expected, "{name}: {what}");
        }
    }
}
