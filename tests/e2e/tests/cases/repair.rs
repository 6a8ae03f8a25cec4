//! Distributions that are broken can be entered, and one that hangs holds up nobody.

use std::fmt::Write as _;

use sampan_e2e::case::Case;
use sampan_e2e::instance::{Instance, recorded};
use sampan_e2e::tools::Tool;
use sampan_e2e::{roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("sessions::root_needs_no_passwd", no_passwd),
        Case::new("sessions::a_killed_leader_is_told_from_an_exit", killed_leader),
        Case::new("sessions::an_init_that_hangs_keeps_no_stream", stopped),
        Case::new("life::safe_mode_turns_off_what_may_keep_it_from_starting", safe_mode),
    ]
}

/// An instance whose distribution `d` runs until it is ended.
fn instance(version: u8) -> Instance {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), version);
    instance
}

fn no_passwd() {
    for version in [2, 1] {
        let instance = instance(version);
        instance.inside("d", "cp /etc/passwd /etc/kept").ok();
        for (what, make) in [
            ("empty", "> /etc/passwd"),
            ("missing", "true"),
            ("garbage", "head -c 100000 /dev/urandom > /etc/passwd"),
            ("without root", "grep -v ^root: /etc/kept > /etc/passwd"),
            ("a folder", "mkdir /etc/passwd"),
            ("a pipe", "mkfifo /etc/passwd"),
            ("a link to itself", "ln -s passwd /etc/passwd"),
            ("a link to a device", "ln -s /dev/zero /etc/passwd"),
            ("very large", "dd if=/dev/zero of=/etc/passwd bs=1M count=0 seek=100"),
        ] {
            instance.inside("d", &format!("rm -rf /etc/passwd; {make}")).expect(0);
            // As it runs, and as it starts.
            for _ in 0..2 {
                let root = instance.wsl(&[
                    "-d",
                    "d",
                    "-u",
                    "root",
                    "--cd",
                    "~",
                    "grep Uid: /proc/self/status | cut -f2; echo $USER $HOME $SHELL; pwd",
                ]);
                assert_eq!(
                    root.expect(0).text(),
                    "0\nroot / /bin/sh\n/\n",
                    "version {version}, {what}: {root}"
                );
                assert_eq!(
                    instance.wsl(&["-d", "d", "echo $USER"]).ok(),
                    "root",
                    "version {version}, {what}"
                );
                instance.wsl(&["-d", "d", "-u", "nobody-here", "true"]).says("User not found.");
                instance.wsl(&["--terminate", "d"]).expect(0);
            }
        }
        instance.inside("d", "rm -rf /etc/passwd; mv /etc/kept /etc/passwd").expect(0);
        assert_eq!(instance.wsl(&["-d", "d", "-u", "ann", "id", "-u"]).ok(), "1000");
    }
}

fn killed_leader() {
    let instance = instance(2);
    let said = instance.inside("d", "kill -9 $PPID; exec sleep 5 > /dev/null 2>&1");
    said.expect(255).says("wsl: The session was cut off");
    assert_eq!(instance.state_of("d"), "Running");
}

/// Its init takes no session while it is stopped, and so holds none of the streams that a pipeline waits for.
fn stopped() {
    let instance = instance(2);
    instance.inside("d", "true").ok();
    let guid = instance.registry().find("d").expect("it was imported").guid;
    let init = recorded(&instance.place().distro_run(&guid).join("record.json"));
    let pid = rustix::process::Pid::from_raw(init.pid).expect("a process has a number");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours");
    let mut script = String::new();
    for (key, value) in [
        ("SAMPAN_STATE_DIR", instance.identity().state_base()),
        ("SAMPAN_RUN_DIR", instance.identity().run_base.clone()),
        ("SAMPAN_INSTANCE", instance.place().name().into()),
    ] {
        let _ = write!(script, "export {key}='{}'; ", value.display());
    }
    script.push_str("{ \"$0\" -d d -e echo hello; echo ended with $? >&2; } | cat");
    // The end of `cat` is that of the last copy of the pipe.
    let link = instance.identity().root.join("bin/wsl");
    let said = Tool::new("sh").args(["-c", &script]).arg(link).run();
    said.expect(0).says("d does not answer.").says("ended with 255");
    assert!(!said.text().contains("hello"), "{said}");
    // Not even what hangs is in the way of its end.
    instance.wsl(&["--terminate", "d"]).expect(0);
    waiting::until("it has ended", || !init.is_alive());
    instance.inside("d", "echo again").says("again");
}

fn safe_mode() {
    let instance = Instance::new();
    instance.wslconfig("[wsl2]\nsafeMode=true\n[general]\ninstanceIdleTimeout=-1\n");
    instance.import("d", &roots::small(), 2);
    let said = instance.inside("d", "echo here");
    said.says("here").says("SAFE MODE ENABLED - many features will be disabled");
    let conf = "printf '[boot]\\ncommand=touch /var/commanded\\n[user]\\ndefault=ann\\n' > /etc/wsl.conf; \
                echo 'none /mnt/of-fstab tmpfs defaults 0 0' > /etc/fstab; mkdir -p /mnt/of-fstab; \
                rm -f /etc/resolv.conf; echo mine > /etc/hosts";
    instance.inside("d", conf).expect(0);
    let look = "test -e /var/commanded && echo command; grep -q of-fstab /proc/mounts && echo fstab; \
                grep -q ' /mnt/host' /proc/mounts && echo folders; cat /etc/hosts; test -e /etc/resolv.conf && echo resolver";
    let again = || {
        instance.wsl(&["--terminate", "d"]).expect(0);
    };
    again();
    let quiet = instance.inside("d", look);
    assert_eq!(quiet.text(), "mine\n", "{quiet}");
    assert_eq!(instance.wsl(&["-d", "d", "id", "-un"]).ok(), "ann", "who one is stays");
    // The same distribution without it.
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    again();
    instance.inside("d", "true").expect(0);
    waiting::until("the command has run", || {
        instance.inside("d", "test -e /var/commanded").code() == Some(0)
    });
    let said = instance.inside("d", look);
    for word in ["command", "fstab", "localhost", "resolver"] {
        assert!(said.text().contains(word), "{word}: {said}");
    }
    assert!(!said.errors().contains("SAFE MODE"), "{said}");
}
