//! What is in the way of docker in a distribution is said, and docker works when it is gone.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::roots;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_obstacles::a_new_one_of_the_name_has_no_docker", name),
        Case::new("integration_obstacles::a_full_one_keeps_what_it_has", full),
        Case::new("integration_obstacles::what_is_no_program_is_no_docker", no_program),
        Case::new("integration_obstacles::a_lease_holds_up_nobody", lease),
    ]
}

/// An instance whose engine runs, and a distribution `d` in which docker is off.
fn instance(root: &std::path::Path) -> Instance {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.sampan(&["integration", "default", "off"]).ok();
    instance.import("d", root, 2);
    instance
}

#[track_caller]
fn docker_works(instance: &Instance) {
    instance.inside("d", "docker ps").expect(0).says("CONTAINER ID");
}

fn name() {
    let instance = instance(&roots::small());
    instance.import("other", &roots::small(), 2);
    for name in ["d", "other"] {
        instance.sampan(&["integration", "enable", name]).expect(0);
    }
    instance.wsl(&["--unregister", "D"]).expect(0);
    instance.import("d", &roots::small(), 2);
    instance.inside("d", "test ! -e /usr/bin/docker && test ! -e /run/docker.sock").expect(0);
    let listing = instance.sampan(&["integration", "ls"]).ok();
    assert!(listing.contains("d        off") && listing.contains("other    ready"), "{listing}");
}

fn full() {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n[wsl2]\ndefaultVhdSize=64MB\n");
    instance.sampan(&["integration", "default", "off"]).ok();
    instance.import("d", &roots::small(), 2);
    let fill = "cat /dev/zero > /filler 2>/dev/null; test -s /filler";
    instance.inside("d", fill).expect(0);
    let enabled = instance.sampan(&["integration", "enable", "d"]);
    enabled.expect_failure();
    enabled.says("`docker` cannot be put into d").says("free some space in d, then try again");
    let listed = instance.sampan(&["integration", "ls"]);
    listed.says("No space left on device").says("`sampan integration repair d` tries again");
    instance.inside("d", "rm /filler").expect(0);
    instance.sampan(&["integration", "repair", "d"]).expect(0).says("docker works in d.");
    instance.sampan(&["integration", "ls"]).says("d       ready");

    // What works is not given up for what cannot be had.
    instance.inside("d", fill).expect(0);
    let repaired = instance.sampan(&["integration", "repair", "d"]);
    repaired.expect_failure();
    repaired.says("No space left on device");
    docker_works(&instance);
    instance.sampan(&["integration", "ls"]).says("d       ready");
    instance.inside("d", "rm /filler").expect(0);
    instance.sampan(&["integration", "repair", "d"]).expect(0);
}

fn no_program() {
    let instance = instance(&roots::small());
    let kinds =
        [("mkfifo -m 755", "no plain file"), ("mkdir", "a folder"), ("touch", "a file that nobody may run")];
    for (make, kind) in kinds {
        instance.inside("d", &format!("mkdir -p /usr/bin && {make} /usr/bin/docker")).expect(0);
        let enabled = instance.sampan(&["integration", "enable", "d"]);
        enabled.expect_failure();
        let why = format!("/usr/bin/docker of the distribution is {kind}: remove it");
        enabled.says(&why);
        let listed = instance.sampan(&["integration", "ls"]);
        listed.says("failed").says(&why);
        instance.inside("d", "rm -r /usr/bin/docker").expect(0);
        instance.sampan(&["integration", "repair", "d"]).expect(0);
        docker_works(&instance);
        instance.sampan(&["integration", "ls"]).says("d       ready");
        instance.sampan(&["integration", "disable", "d"]).expect(0);
    }
}

fn lease() {
    let instance = instance(&roots::debian());
    instance.import("other", &roots::small(), 2);
    // F_SETLEASE and F_WRLCK (Linux, `include/uapi/linux/fcntl.h`, `include/uapi/asm-generic/fcntl.h`).
    let script = "$SIG{IO} = q(IGNORE); $| = 1; for (q(/etc/group), q(/etc/passwd)) { open(my $file, q(+<), $_) or die; \
                  fcntl($file, 1024, 1) or die; push @held, $file } print qq(held\\n); <STDIN>";
    let holder =
        instance.wsl_tool(&["-d", "d", "-u", "root", "-e", "perl", "-e", script]).input_open().spawn();
    holder.wait_for_text("held");
    let enabled = instance.sampan(&["integration", "enable", "d"]);
    enabled.expect_failure();
    enabled.says("of the distribution: a program in the distribution keeps it from all others");
    // The kernel takes the lease away after a while: as long as it is held nobody waits for it.
    instance.sampan(&["integration", "enable", "other"]).expect(0).says("docker works in other.");
    instance.sampan(&["integration", "ls"]).says("keeps it from all others").says("other    ready");
    assert!(!holder.has_ended());
    instance.wsl(&["--terminate", "d"]).expect(0);
    drop(holder);
    instance.sampan(&["integration", "repair", "d"]).expect(0).says("docker works in d.");
    instance.sampan(&["integration", "ls"]).says("d        ready");
}
