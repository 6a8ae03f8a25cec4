//! Commands and shells in a distribution.

use std::time::Duration;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::Tool;
use sampan_e2e::{files, processes, random, roots, shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("sessions::exit_codes_and_signals_come_out", exit_codes),
        Case::new("sessions::c26_streams_are_byte_exact_and_half_closed", streams),
        Case::new("sessions::c01_to_c23_the_command_line", command_line),
        Case::new("sessions::a_session_is_leader_and_reaper_inside", parentage),
        Case::new("sessions::l25_l26_users_groups_and_environment", users),
        Case::new("sessions::wslenv_carries_variables_in", wslenv),
        Case::new("sessions::the_working_folder_is_translated", folders),
        Case::new("sessions::a_terminal_has_size_job_control_and_signals", terminal),
        Case::new("sessions::a_client_that_dies_takes_its_command_with_it", hang_up),
        Case::new("sessions::c25_a_daemon_outlives_its_session", daemon),
        Case::new("sessions::a_folder_is_no_stream_and_a_terminal_is_not_read_inside", borders),
        Case::new("sessions::hundreds_at_once", hundreds),
        Case::new("sessions::sessions_outlive_the_service", service_dies),
        Case::new("sessions::questions_do_not_fail_over_a_service_that_dies", questions),
    ]
}

/// Version 2 and version 1 of the same small root, running in the shared instance without an engine.
const BOTH: [&str; 2] = ["two", "one"];

fn instance() -> &'static Instance {
    shared::distributions()
}

fn run(name: &str, args: &[&str]) -> Tool {
    instance().wsl_tool(&["-d", name]).args(args).env("WSL_DISABLE_WARNINGS", "1")
}

fn exit_codes() {
    for name in BOTH {
        for (script, code) in
            [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
        {
            run(name, &["-e", "/bin/sh", "-c", script]).run().expect(code);
        }
        run(name, &["-e", "/no/such/program"]).run().expect(127);
        run(name, &["-e", "no-such-program"]).run().expect(127);
        run(name, &["-e", "/etc/passwd"]).run().expect(126);
        run(name, &["no-such-program"]).run().expect(127);
    }
}

/// Row C26 and more of its kind.
fn streams() {
    let bytes: Vec<u8> = (0..4 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for name in BOTH {
        let copied = run(name, &["-e", "cat"]).input(bytes.clone()).run();
        copied.expect(0);
        assert!(copied.bytes() == bytes, "{name}: {} bytes came back", copied.bytes().len());
        // The end of the input is seen while output still flows.
        let counted =
            run(name, &["-e", "sh", "-c", "wc -c; echo err >&2; echo after"]).input(bytes.clone()).run();
        assert_eq!(counted.text(), format!("{}\nafter\n", bytes.len()));
        assert_eq!(counted.errors(), "err\n");
        // A reader that goes away ends the writer, as in any pipeline.
        let wsl = instance().wsl_tool(&["-d", name, "-e", "yes"]);
        let pipeline = format!("{wsl}").replace("wsl ", "\"$WSL\" ");
        let head = Tool::new("sh").args(["-c", &format!("{pipeline} | head -c 10 | wc -c")]);
        let link = instance().identity().root.join("bin/wsl");
        let mut head = head.env("WSL", link);
        for (key, value) in [
            ("SAMPAN_STATE_DIR", instance().identity().state_base()),
            ("SAMPAN_RUN_DIR", instance().identity().run_base.clone()),
        ] {
            head = head.env(key, value);
        }
        assert_eq!(head.env("SAMPAN_INSTANCE", instance().place().name()).run().ok(), "10");
    }
}

/// Rows C of the case tables, adapted: words are split by the caller's shell here.
fn command_line() {
    let rows: [(&str, &[&str], &str); 12] = [
        ("C01", &["echo -n \\\""], "\""),
        ("C02", &["echo -n \\'"], "'"),
        ("C04", &["echo -n $USER"], "root"),
        ("C05", &["echo -n \"$USER\""], "root"),
        ("C08", &["echo -n '$USER'"], "$USER"),
        ("C10", &["echo", "-n", "a", "", "b"], "a  b"),
        ("C11", &["echo", "-n", "a", "b", ""], "a b "),
        ("C13", &["--exec", "echo", "-n", "a"], "a"),
        ("C14", &["--exec", "echo", "-n", "$USER"], "$USER"),
        ("C19", &["--exec", "echo", "foo", "", "bar"], "foo  bar\n"),
        ("C20", &["echo", "LOW!"], "LOW!\n"),
        ("C22", &["--cd", "~", "--user", "root", "pwd"], "/root\n"),
    ];
    for (id, words, expected) in rows {
        assert_eq!(run("two", words).run().text(), expected, "{id}");
    }
    let long = "x".repeat(4096);
    run("two", &["/bin/true", &long]).run().expect(0);
    // Longer than any packet.
    let words: Vec<String> = (0..6000).map(|n| format!("{n}-{}", "y".repeat(40))).collect();
    let counted = run("two", &["-e", "sh", "-c", "echo $#", "sh"]).args(&words).run();
    assert_eq!(counted.ok(), "6000");
}

fn parentage() {
    // What init(1) of a distribution gives every command: a parent in the same session, which is a leader.
    for name in BOTH {
        let script = "set -- $(cat /proc/$$/stat); echo $4 $6; set -- $(cat /proc/$4/stat); echo $1 $6";
        let said = run(name, &["-e", "sh", "-c", script]).run().ok();
        let numbers: Vec<&str> = said.split_whitespace().collect();
        let [parent, session, own, leader] = numbers[..] else { panic!("{said}") };
        assert_eq!((parent, session), (own, leader), "{name}: {said}");
        assert_eq!(own, leader, "{name}: the parent leads the session");
        // An orphan goes to that parent, who reaps it.
        let orphan = "echo $PPID; mkfifo /tmp/f$$; (sh -c 'echo $$ > $0; exec cat $0' /tmp/f$$ &); \
                      read p < /tmp/f$$; set -- $(cat /proc/$p/stat); echo $4; echo > /tmp/f$$; \
                      while [ -e /proc/$p ]; do :; done; rm /tmp/f$$";
        let said = run(name, &["-e", "sh", "-c", orphan]).run().ok();
        let mut numbers = said.split_whitespace();
        let (parent, adopted) = (numbers.next(), numbers.next());
        assert!(parent.is_some() && parent == adopted, "{name}: {said}");
    }
}

/// Rows L25 and L26.
fn users() {
    for name in BOTH {
        let id = run(name, &["-u", "ann", "-e", "id", "-u"]).run().ok();
        assert_eq!(id, "1000");
        let groups = run(name, &["-u", "ann", "-e", "id", "-G"]).run().ok();
        assert_eq!(groups.split_whitespace().count(), 65, "L25: all 64 groups and her own: {groups}");
        let script =
            "echo $HOME $USER $LOGNAME $SHELL $WSL_DISTRO_NAME; pwd; umask; test -w /etc/passwd; echo $?";
        let said = run(name, &["-u", "ann", "--cd", "~", "-e", "sh", "-c", script]).run().ok();
        assert_eq!(said, format!("/home/ann ann ann /bin/sh {name}\n/home/ann\n0022\n1"), "{name}");
        let unknown = run(name, &["-u", "nobody-here", "-e", "true"]).run();
        unknown.expect(255).says("User not found.").says("WSL_E_USER_NOT_FOUND");
        let path = run(name, &["-e", "sh", "-c", "echo $PATH"]).run().ok();
        assert!(path.starts_with("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), "{path}");
        let files = run(name, &["-e", "sh", "-c", "ulimit -Sn; ulimit -Hn"]).run().ok();
        let (soft, hard) = files.split_once('\n').expect("two lines");
        let most = hard.parse().unwrap_or(u64::MAX);
        assert_eq!(soft, most.min(10_240).to_string(), "WSL's own, whatever the service has: {files}");
        // Nothing of the caller's environment but what was asked for.
        let leak = run(name, &["-e", "env"]).env("SECRET_OF_THE_HOST", "1").run().ok();
        assert!(!leak.contains("SECRET_OF_THE_HOST") && !leak.contains("SAMPAN_"), "{leak}");
        let caps = run(name, &["-u", "ann", "-e", "grep", "-E", "^Cap(Prm|Eff|Amb)", "/proc/self/status"])
            .run()
            .ok();
        assert!(caps.lines().all(|line| line.ends_with("0000000000000000")), "{caps}");
    }
}

fn wslenv() {
    let with = |name: &str, value: &str, wslenv: &str, script: &str| {
        run("two", &["-e", "sh", "-c", script]).env(name, value).env("WSLENV", wslenv).run().ok()
    };
    assert_eq!(with("a", "b", "a/u", "echo $a; echo $WSLENV"), "b\na/u", "H32");
    assert_eq!(with("a", "b", "a/w", "echo ${a-unset}"), "unset", "H37");
    assert_eq!(with("Empty", "", "Empty/u", "echo ${Empty-unset}."), ".", "H38");
    // The folder itself need not be there.
    let folder = format!("/home/{}", random::hex(8));
    assert_eq!(with("p", &folder, "p/p", "echo \"$p\""), format!("/mnt/host{folder}"));
}

fn folders() {
    let outside =
        instance().wsl_tool(&["-d", "two", "-e", "pwd"]).folder(std::path::Path::new("/proc")).run();
    assert_eq!(outside.ok(), "/root");
    assert!(outside.errors().contains("wsl: Failed to translate '/proc'"), "{outside}");
    let quiet =
        run("two", &["-e", "pwd"]).folder(std::path::Path::new("/proc")).env("WSL_DISABLE_WARNINGS", "1");
    assert_eq!(quiet.run().errors(), "");
    assert_eq!(run("two", &["--cd", "/etc", "-e", "pwd"]).run().ok(), "/etc");
    assert_eq!(instance().wsl_tool(&["~", "-d", "two", "-e", "pwd"]).run().ok(), "/root");
}

/// Runs `wsl` with a terminal, which `script(1)` gives it; `typed` is a shell script whose output is typed. In it `seen TEXT`
/// waits until that has been printed. At the end stands the exit code.
fn with_terminal(name: &str, args: &str, typed: &str) -> String {
    let link = instance().identity().root.join("bin/wsl");
    instance().wsl(&["--version"]).ok();
    let command = format!("{} -d {name} {args}", link.display());
    let shell = instance().identity().tool(std::path::Path::new("sh"));
    let shown = instance().scratch("terminals").join(random::hex(4));
    files::write(&shown, "");
    let shown = shown.display();
    let script = format!(
        "seen() {{ until grep -aq -e \"$1\" {shown}; do sleep 0.1; done; }}; \
         ({typed}) | (script -qec '{command}' /dev/null; echo ended $?) | tee {shown}"
    );
    shell.args(["-c", &script]).env("WSL_DISABLE_WARNINGS", "1").run().text().replace('\r', "")
}

fn terminal() {
    for name in BOTH {
        let tty = with_terminal(name, "-e tty", "seen ended");
        assert!(tty.contains("/dev/pts/"), "{name}: {tty}");
        let sized = format!(
            "stty rows 41 cols 99; {} -d {name} -e stty size",
            instance().identity().root.join("bin/wsl").display()
        );
        let script = instance().identity().tool(std::path::Path::new("script"));
        let size = script.args(["-qec", &sized, "/dev/null"]).run().text();
        assert!(size.contains("41 99"), "{name}: {size}");
        // Interrupt, job control, exit code of the last command.
        let typed = "seen '[#$] '; echo 'sh -c \"printf be%s gun; exec sleep 100\"'; seen begun; printf '\\003'; \
                     echo 'echo code $?'; seen 'code [0-9]'; echo exit 3; seen ended";
        let said = with_terminal(name, "", typed);
        assert!(said.contains("code 130") && said.ends_with("ended 3\n"), "{name}: {said}");
        // All of the output is there when the command ends at once.
        let many = with_terminal(name, "-e seq 1 20000", "seen ended");
        assert!(
            many.ends_with("\n20000\nended 0\n") && many.lines().count() >= 20001,
            "{name}: {} lines",
            many.lines().count()
        );
    }
}

fn hang_up() {
    for name in BOTH {
        let job = run(name, &["-e", "sh", "-c", "echo ready; exec sleep 98765"]).spawn();
        job.wait_for_text("ready");
        let sleeping = || {
            let own = instance().processes();
            own.into_iter().any(|process| process.command_line().iter().any(|word| word == "98765"))
        };
        waiting::until("the command runs", sleeping);
        job.kill();
        waiting::until("the command ends with its client", || !sleeping());
    }
}

/// Row C25.
fn daemon() {
    for name in BOTH {
        let mark = format!("/tmp/daemon-{name}");
        run(
            name,
            &[
                "-e",
                "sh",
                "-c",
                &format!("setsid sh -c 'sleep 2; touch {mark}; sleep 3' >/dev/null 2>&1 < /dev/null &"),
            ],
        )
        .run()
        .expect(0);
        waiting::until("the daemon has done its work", || {
            run(name, &["-e", "test", "-e", &mark]).run().code() == Some(0)
        });
    }
}

/// What is passed into a distribution must not lead further than it was meant to.
fn borders() {
    let wsl = instance().identity().root.join("bin/wsl").display().to_string();
    let shell = |line: &str| instance().identity().tool(std::path::Path::new("sh")).args(["-c", line]).run();
    let folder = shell(&format!("{wsl} -d two --cd / -e cat /proc/self/fd/0/hostname < /etc"));
    folder.expect(255).says("folder").says("E_INVALIDARG");
    // Input from a pipe, output on a terminal: what is left behind inside can write there and never read.
    let line = format!("echo | {wsl} -d two --cd / -e sh -c \"head -c 1 <&1; echo code \\$?\"");
    let script = instance().identity().tool(std::path::Path::new("script"));
    let said = script.args(["-qec", &line, "/dev/null"]).input("x\n").run().text();
    assert!(said.contains("code 1"), "the terminal is read inside: {said}");
    // Input from a terminal, output to a pipe: what is typed goes in, the terminal does not.
    let look = "readlink /proc/self/fd/0; test -t 0; echo code $?; test -t 2; echo code $?; cat";
    let line = format!("{wsl} -d two --cd / -e sh -c \"{}\" | cat", look.replace('$', "\\$"));
    let typed = "(sleep 1; echo a line; sleep 1; printf '\\004'; sleep 1)";
    let said = shell(&format!("{typed} | script -qec '{line}' /dev/null")).text().replace('\r', "");
    assert!(said.contains("pipe:[") && said.contains("code 1\ncode 0\n"), "{said}");
    // Once by the terminal's echo and once by `cat`.
    assert_eq!(said.matches("a line\n").count(), 2, "{said}");
    // A job in the background takes nothing that is typed, and is not stopped for it.
    let job = format!("set -m; {wsl} -d two --cd / -e cat >/dev/null & read x; echo got $x; kill %1");
    let script = instance().identity().tool(std::path::Path::new("script"));
    let typed = script.args(["-qec", &job, "/dev/null"]).input("for the shell\n").run().text();
    assert!(typed.contains("got for the shell"), "{typed}");
}

fn hundreds() {
    let jobs: Vec<_> = (0..200)
        .map(|n| run(BOTH[n % 2], &["-e", "sh", "-c", "cat; exit 5"]).input(format!("input {n}")).spawn())
        .collect();
    for (n, job) in jobs.into_iter().enumerate() {
        let output = job.finish();
        output.expect(5);
        assert_eq!(output.text(), format!("input {n}"));
    }
}

fn service_dies() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    let job = instance
        .wsl_tool(&[
            "-d",
            "d",
            "-e",
            "sh",
            "-c",
            "echo ready; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done; exit 4",
        ])
        .spawn();
    job.wait_for_text("ready");
    processes::Process::find(instance.service().pid).expect("it runs").kill();
    // A new service finds the distribution running and gives it further sessions.
    instance.inside("d", "touch /tmp/go").ok();
    let output = job.finish_within(Duration::from_mins(2));
    output.expect(4).says("done");
    assert_eq!(instance.state_of("d"), "Running");
}

/// Right after a `kill -9` the socket may still be there, and so may the process be for a moment.
fn questions() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    for words in
        [&["-l", "-v"][..], &["--status"], &["-l", "-q"], &["--set-default", "d"], &["--terminate", "d"]]
    {
        for _ in 0..5 {
            instance.inside("d", "true").ok();
            // Not waited for.
            processes::Process::find(instance.service().pid).expect("it runs").kill();
            instance.wsl(words).expect(0);
        }
    }
}
