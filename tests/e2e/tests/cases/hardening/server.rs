//! The server of a distribution and the leaders of sessions hold what belongs to the host: root inside does not get at it.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, roots, shared};

use super::{Row, call_script};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("hardening::nobody_inside_looks_into_the_server", looks),
        Case::new("hardening::nor_into_the_one_beside_systemd", beside_systemd),
        Case::new("hardening::programs_inside_write_little_into_the_host_s_log", log),
    ]
}

/// What root does to a process of its own, whose number is `$T`.
const FILES: [Row; 9] = [
    ("environment", "cat /proc/$T/environ | tr '\\0' x | grep -q . && echo OPEN"),
    ("memory", "exec 3< /proc/$T/mem && echo OPEN"),
    ("memory, to write", "exec 3> /proc/$T/mem && echo OPEN"),
    ("map of the memory", "cat /proc/$T/maps | grep -q . && echo OPEN"),
    ("list of descriptors", "ls /proc/$T/fd | grep -q . && echo OPEN"),
    ("standard error", "exec 3> /proc/$T/fd/2 && echo OPEN"),
    ("root folder", "ls /proc/$T/root/ | grep -q . && echo OPEN"),
    ("program", "readlink /proc/$T/exe && echo OPEN"),
    ("namespaces", "nsenter -t $T -u true && echo OPEN"),
];

/// Perl: a call with its number (x86-64), where `$t` is the process.
const CALLS: [Row; 4] = [
    ("ptrace(PTRACE_SEIZE)", "101, 0x4206, $t, 0, 0"),
    ("process_vm_readv", "310, $t, pack(q(PQ), $b, 8), 1, pack(q(QQ), 0x400000, 8), 1, 0"),
    ("kcmp", "312, $t, $$, 0, 0, 0"),
    ("pidfd_getfd", "438, syscall(434, $t, 0), 2, 0"),
];

/// Name and script of each way to get at `$T`.
fn ways() -> impl Iterator<Item = (&'static str, String)> {
    let files = FILES.into_iter().map(|(name, script)| (name, script.to_owned()));
    let calls = CALLS.into_iter().map(|(name, arguments)| {
        let perl =
            call_script(arguments).replacen("my @a", "my $t = 0+shift @ARGV; my $b = q(x) x 8; my @a", 1);
        (name, format!("{perl} $T"))
    });
    files.chain(calls)
}

/// Requires that nothing gets at `target` (a shell word), and that all gets at a process that is the distribution's own.
#[track_caller]
fn closed(instance: &Instance, target: &str) {
    // It speaks once it is there: while it begins, even its own environment is empty.
    let own =
        "f=/tmp/own-$$; mkfifo $f; sh -c \"echo > $f; read -r _ < $f\" 2> $f.errors & T=$!; read -r _ < $f";
    for (name, script) in ways() {
        let said = instance.inside("deb", &format!("T={target}; ({script}) 2>&1; echo END-$T"));
        assert!(said.text().contains("END-") && !said.text().contains("END-\n"), "{name}: {said}");
        assert!(!said.text().contains("OPEN"), "{name} of {target} is open: {said}");
        let said = instance.inside("deb", &format!("{own}; ({script}) 2>&1; kill $T; rm $f*"));
        assert!(said.text().contains("OPEN"), "{name} of an own process is closed: {said}");
    }
}

fn looks() {
    let instance = shared::debian();
    closed(instance, "1");
    // The leader of the session.
    closed(instance, "$PPID");
    // What is of use to everybody is there.
    let said = instance
        .inside("deb", "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline; ischroot || echo; ps -p 1 -o user=")
        .ok();
    assert_eq!(said, "sampan-server\nsampan-guest server \nroot");
    instance.inside("deb", "systemd-detect-virt -c").says("container-other");
}

fn beside_systemd() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("deb", &roots::debian(), 2);
    instance.inside("deb", "printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "deb"]).expect(0);
    instance.inside("deb", "cat /proc/1/comm").says("systemd");
    closed(&instance, "$(grep -lx sampan-server /proc/[0-9]*/comm | cut -d/ -f3)");
}

fn log() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let flood = "printf '#!/bin/sh\\nhead -c 50000000 /dev/zero | tr \"\\\\\\\\0\" x >&2\\nexit 1\\n' > /bin/mount.new; \
                 chmod 755 /bin/mount.new; mv /bin/mount.new /bin/mount; echo 'x /y z' > /etc/fstab";
    instance.inside("d", flood).ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    let said = instance.inside("d", "echo here");
    said.says("here").says("Processing /etc/fstab with mount -a failed.");
    let guid = instance.registry().find("d").expect("it was imported").guid;
    let log = files::read(&instance.place().log(&format!("distro-{guid}")));
    assert!(String::from_utf8_lossy(&log).contains("mount: xxx"), "the beginning is there");
    assert!(log.len() < 64 << 10, "{} bytes", log.len());
}
