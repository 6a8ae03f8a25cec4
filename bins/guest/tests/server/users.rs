//! Who a session is, where it begins, and what it knows; and the first run.

use std::os::fd::AsFd;

use sampan_model::guest::ControlReply;
use sampan_model::session::{Folder, Program, SessionSpec, Variable};
use sampan_model::wsl::error::Code;

use crate::single::Test;
use crate::world::{Distro, Output, Plan, exec, reply, session, sh};

pub(crate) const TESTS: &[Test] = &[
    ("the_user_is_asked_for_or_the_default", the_user_is_asked_for_or_the_default),
    ("a_user_who_is_not_there_is_not_found", a_user_who_is_not_there_is_not_found),
    ("a_missing_default_user_is_said", a_missing_default_user_is_said),
    ("groups_have_no_limit", groups_have_no_limit),
    ("a_user_has_no_capabilities", a_user_has_no_capabilities),
    ("the_environment_is_the_distribution_s", the_environment_is_the_distribution_s),
    ("variables_come_by_wslenv", variables_come_by_wslenv),
    ("folders_inside_and_of_the_host", folders_inside_and_of_the_host),
    ("the_umask_is_that_of_wsl_conf", the_umask_is_that_of_wsl_conf),
    ("shells_are_login_shells_when_asked", shells_are_login_shells_when_asked),
    ("a_first_run_makes_the_user", a_first_run_makes_the_user),
    ("a_failed_first_run_ends_the_session", a_failed_first_run_ends_the_session),
];

fn as_user(name: &str, spec: SessionSpec) -> SessionSpec {
    SessionSpec { user: Some(name.to_owned()), ..spec }
}

fn the_user_is_asked_for_or_the_default() {
    let mut plan = Plan::default();
    let who = exec(&["id", "-un"]);
    let distro = Distro::of(&plan);
    let name = |distro: &Distro, spec: &SessionSpec| distro.run(spec, b"").stdout_text().trim().to_owned();
    assert_eq!(name(&distro, &who), "root");
    assert_eq!(name(&distro, &as_user("ann", who.clone())), "ann");
    assert_eq!(name(&distro, &SessionSpec { default_uid: 1000, ..who.clone() }), "ann");
    drop(distro);
    plan = Plan::default();
    plan.conf.user.default = Some("ann".to_owned());
    let distro = Distro::of(&plan);
    assert_eq!(name(&distro, &who), "ann");
    assert_eq!(name(&distro, &as_user("root", who)), "root");
}

fn a_user_who_is_not_there_is_not_found() {
    let distro = Distro::start();
    let output = distro.run(&as_user("nobody-there", exec(&["true"])), b"");
    assert_eq!(output.failure.map(|failure| failure.code), Some(Code::UserNotFound));
}

fn a_missing_default_user_is_said() {
    let distro = Distro::start();
    let output = distro.run(&SessionSpec { default_uid: 4711, ..exec(&["id", "-u"]) }, b"");
    assert_eq!(output.stdout_text(), "0\n");
    assert_eq!(output.warnings, ["The default user 4711 does not exist: using 'root'."]);
    drop(distro);
    let mut plan = Plan::default();
    plan.conf.user.default = Some("bob".to_owned());
    let distro = Distro::of(&plan);
    let output = distro.run(&SessionSpec { default_uid: 1000, ..exec(&["id", "-u"]) }, b"");
    assert_eq!(output.stdout_text(), "1000\n");
    assert_eq!(output.warnings, ["The default user 'bob' of /etc/wsl.conf does not exist: using 'ann'."]);
}

fn groups_have_no_limit() {
    let mut plan = Plan::default();
    let groups: Vec<String> = (0..64).map(|number| format!("g{number}:x:{}:ann\n", 2000 + number)).collect();
    plan.group += &groups.concat();
    let distro = Distro::of(&plan);
    let groups = distro.run(&as_user("ann", exec(&["id", "-G"])), b"").stdout_text();
    assert_eq!(groups.split_whitespace().count(), 65, "{groups}");
    assert!(groups.starts_with("1000 2000 "), "{groups}");
    assert_eq!(distro.text("id -G"), "0\n");
}

fn a_user_has_no_capabilities() {
    let distro = Distro::start();
    let status = distro.run(
        &as_user("ann", exec(&["grep", "-E", "^(Uid|Gid|Cap(Inh|Prm|Eff|Amb))", "/proc/self/status"])),
        b"",
    );
    let status = status.stdout_text();
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(status.contains(&format!("{name}:\t0000000000000000\n")), "{status}");
    }
    assert!(status.contains("Uid:\t1000\t1000\t1000\t1000\n"), "{status}");
    assert!(status.contains("Gid:\t1000\t1000\t1000\t1000\n"), "{status}");
}

fn the_environment_is_the_distribution_s() {
    let files = vec![("/etc/default/locale", "LANG=de_DE.UTF-8\n".to_owned())];
    let distro = Distro::of(&Plan { files, ..Plan::default() });
    let output = distro.run(&as_user("ann", exec(&["env"])), b"").stdout_text();
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            &format!("HOSTTYPE={}", std::env::consts::ARCH),
            "HOME=/home/ann",
            "LANG=de_DE.UTF-8",
            "LOGNAME=ann",
            "NAME=box",
            &format!("PATH={}", sampan_model::wsl::environment::PATH),
            "SHELL=/bin/bash",
            "TERM=xterm-256color",
            "USER=ann",
            "WSLENV=",
            "WSL_DISTRO_NAME=Deb",
        ]
        .map(str::to_owned)
        .into_iter()
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
    );
}

fn variables_come_by_wslenv() {
    let distro = Distro::of(&Plan { folders: vec![("/host/job", "/mnt/host/job")], ..Plan::default() });
    let variable =
        |name: &str, value: &str, paths| Variable { name: name.into(), value: value.into(), paths };
    let environment = vec![
        variable("WSLENV", "A:P/p:L/l", false),
        variable("A", "/host/job", false),
        variable("P", "/host/job/x", true),
        variable("L", "/host/job:/elsewhere:/host/job/y", true),
        variable("EMPTY", "", false),
        variable("TERM", "dumb", false),
        variable("HOME", "/no", false),
    ];
    let print = "echo \"$WSLENV|$A|$P|$L|${EMPTY-unset}|$TERM|$HOME\"";
    let output = distro.run(&SessionSpec { environment, ..sh(print) }, b"");
    let expected = "A:P/p:L/l|/host/job|/mnt/host/job/x|/mnt/host/job:/mnt/host/job/y||dumb|/root\n";
    assert_eq!(output.stdout_text(), expected);
    assert_eq!(output.warnings, ["Failed to translate '/elsewhere'"]);
}

fn folders_inside_and_of_the_host() {
    let distro = Distro::of(&Plan { folders: vec![("/host/job", "/mnt/host/job")], ..Plan::default() });
    let pwd = |folder: Folder, user: &str| {
        let output = distro.run(&SessionSpec { folder, ..as_user(user, exec(&["pwd"])) }, b"");
        (output.stdout_text().trim().to_owned(), output.warnings)
    };
    let inside = |path: &str| Folder::Inside { path: path.into() };
    let host = |path: &str| Folder::Host { path: path.into() };
    let fine = |path: &str| (path.to_owned(), Vec::new());
    let home = |warning: &str| ("/root".to_owned(), vec![warning.to_owned()]);
    let missing = |asked: &str| {
        home(&format!(
            "Cannot enter the folder '{asked}' (No such file or directory): starting in the home folder."
        ))
    };
    assert_eq!(pwd(Folder::Home, "ann"), fine("/home/ann"));
    assert_eq!(pwd(inside("/tmp"), "ann"), fine("/tmp"));
    assert_eq!(pwd(inside("../tmp"), "root"), fine("/tmp"));
    assert_eq!(pwd(inside("~"), "root"), fine("/root"));
    assert_eq!(pwd(inside("~/../tmp"), "root"), fine("/tmp"));
    assert_eq!(pwd(inside("/no/such"), "root"), missing("/no/such"));
    assert_eq!(pwd(inside("~/gone"), "root"), missing("~/gone"));
    assert_eq!(pwd(host("/host/job"), "root"), fine("/mnt/host/job"));
    assert_eq!(pwd(host("/host/job/gone"), "root"), home("Failed to translate '/host/job/gone'"));
    assert_eq!(pwd(host("/tmp"), "root"), home("Failed to translate '/tmp'"));
    // What the user may not enter.
    assert_eq!(
        pwd(inside("/root"), "ann"),
        (
            "/home/ann".to_owned(),
            vec![
                "Cannot enter the folder '/root' (Permission denied): starting in the home folder."
                    .to_owned()
            ]
        )
    );
    distro.text("chmod 700 /home; chown root /home");
    let (path, warnings) = pwd(Folder::Home, "ann");
    assert_eq!(path, "/");
    assert!(warnings[0].starts_with("Cannot enter the home folder '/home/ann' ("), "{warnings:?}");
}

fn the_umask_is_that_of_wsl_conf() {
    assert_eq!(Distro::start().text("umask"), "0022\n");
    let mut plan = Plan::default();
    plan.conf.filesystem.umask = 0o077;
    assert_eq!(Distro::of(&plan).text("umask"), "0077\n");
}

fn shells_are_login_shells_when_asked() {
    let files = vec![("/etc/profile", "echo profile\n".to_owned())];
    let distro = Distro::of(&Plan { files, ..Plan::default() });
    let line = |login| session(Program::Line { line: "echo $0".into(), login });
    let run = |spec: &SessionSpec, input: &[u8]| distro.run(spec, input).stdout_text();
    assert_eq!(run(&line(false), b""), "/bin/bash\n");
    assert_eq!(run(&line(true), b""), "profile\n-bash\n");
    assert_eq!(run(&session(Program::Shell { login: true }), b"echo $0\n"), "profile\n-bash\n");
    assert_eq!(run(&session(Program::Shell { login: false }), b"echo $0\n"), "/bin/bash\n");
}

fn first_run(distro: &Distro, spec: SessionSpec) -> (Output, Option<ControlReply>) {
    let spec = SessionSpec { first_run: true, ..spec };
    let (stdin, input) = std::io::pipe().expect("pipe");
    let (stdout, out) = std::io::pipe().expect("pipe");
    let (stderr, err) = std::io::pipe().expect("pipe");
    let (connection, control) = distro.request(&spec, &[stdin.as_fd(), out.as_fd(), err.as_fd()]);
    drop((stdin, out, err));
    assert_eq!(reply(&control), Some(ControlReply::Accepted));
    let input = std::fs::File::from(std::os::fd::OwnedFd::from(input));
    let output = crate::world::Session { input, stdout, stderr, connection }.finish();
    (output, reply(&control))
}

fn a_first_run_makes_the_user() {
    let conf = "[oobe]\ncommand = \"echo OOBE; echo bob:x:1001:1001::/:/bin/sh >> /etc/passwd\"\ndefaultUid = 1001\n";
    let files = vec![("/etc/wsl-distribution.conf", conf.to_owned())];
    let distro = Distro::of(&Plan { files, ..Plan::default() });
    // A command is no first run.
    let (output, report) = first_run(&distro, sh("echo no oobe"));
    assert_eq!((output.stdout_text().as_str(), report), ("no oobe\n", None));
    let (output, report) = first_run(&distro, session(Program::Shell { login: true }));
    assert_eq!((output.stdout_text().as_str(), output.code()), ("OOBE\n", Some(0)));
    assert_eq!(report, Some(ControlReply::FirstRun { default_uid: Some(1001) }));
    // It is the new user's session from there on.
    distro.text(
        "rm /etc/wsl-distribution.conf; printf '[oobe]\\ndefaultUid = 1001\\n' > /etc/wsl-distribution.conf",
    );
    let spec = SessionSpec { first_run: true, ..session(Program::Shell { login: false }) };
    let output = distro.run(&spec, b"id -u\n");
    assert_eq!(output.stdout_text(), "1001\n");
    // Nothing to do is done, too.
    distro.text("rm /etc/wsl-distribution.conf");
    let (output, report) = first_run(&distro, session(Program::Shell { login: true }));
    assert_eq!((output.code(), report), (Some(0), Some(ControlReply::FirstRun { default_uid: None })));
}

fn a_failed_first_run_ends_the_session() {
    let conf = "[oobe]\ncommand = /bin/bash -c 'echo failed OOBE && exit 1'\n".to_owned();
    let distro = Distro::of(&Plan { files: vec![("/etc/wsl-distribution.conf", conf)], ..Plan::default() });
    for _ in 0..2 {
        let (output, report) = first_run(&distro, session(Program::Shell { login: true }));
        assert_eq!((output.stdout_text().as_str(), output.code()), ("failed OOBE\n", Some(1)));
        let message = "OOBE command \"/bin/bash -c 'echo failed OOBE && exit 1'\" failed, exiting\n";
        assert_eq!((output.stderr.as_str(), report), (message, None));
    }
}
