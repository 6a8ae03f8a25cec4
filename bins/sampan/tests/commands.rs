//! The program itself, run against folders, programs and a service made for the test.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]
#![expect(clippy::disallowed_methods, reason = "the tests run the program and write files that nobody keeps")]

#[path = "support/instance.rs"]
#[expect(dead_code, reason = "some of it is for the tests of `wsl`")]
mod instance;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::Value;

use self::instance::{Instance, Running, finish, has_root, is_root, spawn, stderr, stdout};

/// Answers requests as the service does; `answers` are path and body, in order. Other connections only look.
fn serve(instance: &Instance, answers: Vec<(&'static str, String)>) -> JoinHandle<()> {
    let listener = UnixListener::bind(instance.path("run/t/sampan.sock")).unwrap();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut next = answers.next();
        while let Some((path, body)) = next.take() {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut request = String::new();
            if reader.read_line(&mut request).unwrap() == 0 {
                next = Some((path, body));
                continue;
            }
            assert!(request.starts_with(path), "{request} instead of {path}");
            let mut length = 0;
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).unwrap();
                if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if header.trim().is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
            next = answers.next();
        }
    })
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

const STATUS: &str = r#"{"instance":"t","version":"0.1.0","servicePid":PID,"engine":{"state":"running","sinceUs":1},
"dockerSocket":"/x/docker.sock","stateDir":"/x","distributions":[],"disks":[]}"#;

#[test]
fn status_without_a_service() {
    let instance = Instance::new();
    let output = instance.run(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("Status     stopped"), "{}", stdout(&output));
    let output = instance.run(&["status", "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(json(&output)["engine"]["state"], "stopped");
    assert_eq!(json(&output)["servicePid"], Value::Null);
}

#[test]
fn status_after_the_service_was_killed() {
    let instance = Instance::new();
    let record = |start_time: u64| {
        let process = serde_json::json!({ "pid": std::process::id(), "startTime": start_time, "bootId": "" });
        fs::write(instance.path("run/t/hub.json"), serde_json::json!({ "process": process }).to_string())
            .unwrap();
        let output = instance.run(&["status"]);
        assert_eq!(output.status.code(), Some(3));
        stdout(&output).contains("`sampan start` takes them over")
    };
    // This process stands for the hub; the number alone is not enough.
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let began = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    assert!(record(began));
    assert!(!record(began + 1));
}

#[test]
fn status_of_a_running_engine() {
    let instance = Instance::new();
    let server = serve(&instance, vec![("GET /v1/status", STATUS.replace("PID", "7"))]);
    let output = instance.run(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Status           running"), "{}", stdout(&output));
    server.join().unwrap();
}

#[test]
fn errors_are_json_in_json_mode() {
    let instance = Instance::new();
    let output = instance.run(&["--format", "json", "logs", "--unit", "no unit"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(json(&output)["error"]["code"], "invalid");
    assert!(output.stderr.is_empty());
}

#[test]
fn a_user_who_is_not_root_is_told_what_to_type() {
    let instance = Instance::new();
    for (words, hint) in [
        (&["start"][..], "`sudo sampan --instance t start`"),
        (&["check"], "`sudo sampan --instance t check`"),
        (&["reset", "--all"], "`sudo sampan --instance t reset --all`"),
    ] {
        let mut command = instance.command(words);
        if is_root() {
            command.uid(65534).gid(65534);
        }
        let output = finish(&mut command);
        assert_eq!(output.status.code(), Some(4), "{words:?}");
        assert!(stderr(&output).contains(hint), "{}", stderr(&output));
    }
}

#[test]
fn a_user_without_the_group_is_told_what_to_type() {
    if !has_root("only root can close the socket to another user") {
        return;
    }
    let instance = Instance::new();
    let socket = instance.path("run/t/sampan.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
    let output = finish(instance.command(&["status"]).uid(65534).gid(65534));
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("usermod -aG sampan"), "{}", stderr(&output));
}

#[test]
fn why_the_service_does_not_start_is_passed_on() {
    if !has_root("only root starts the service") {
        return;
    }
    let instance = Instance::new();
    instance.script(
        "bin/sampand",
        r#"echo '{"error":{"code":"state","message":"registry.json is damaged","hint":"mend it"}}'; exit 1"#,
    );
    let output = instance.run(&["start"]);
    assert_eq!(output.status.code(), Some(7));
    let words = stderr(&output);
    assert!(words.contains("sampan: registry.json is damaged\nTo mend it: mend it"), "{words}");
}

#[test]
fn start_with_a_running_service() {
    let instance = Instance::new();
    let events = "{\"type\":\"stage\",\"stage\":\"hub\",\"atUs\":99000000000000}\n\
                  {\"type\":\"progress\",\"stage\":\"image\",\"permille\":500,\"detail\":\"docker.io\"}\n\
                  {\"type\":\"done\",\"message\":\"ok\",\"already\":false}\n";
    let server = serve(&instance, vec![("POST /v1/start", events.to_owned())]);
    let output = instance.run(&["start", "--timeline"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("Sampan is running ("), "{}", stdout(&output));
    assert_eq!(stderr(&output), "starting the hub\nbuilding the engine image from Debian packages\n");
    server.join().unwrap();
}

#[test]
fn a_failed_start_shows_the_log() {
    let instance = Instance::new();
    let events = "{\"type\":\"failed\",\"error\":{\"code\":\"timeout\",\"message\":\"dockerd did not answer\",\
                  \"hint\":\"look\",\"log\":[\"one\"]}}\n";
    let server = serve(&instance, vec![("POST /v1/start", events.to_owned())]);
    let output = instance.run(&["start"]);
    assert_eq!(output.status.code(), Some(9));
    assert!(
        stderr(&output)
            .ends_with("dockerd did not answer\nTo mend it: look\nLast lines of its log:\n    one\n")
    );
    server.join().unwrap();
}

#[test]
fn an_engine_image_that_is_missing_is_found_out_first() {
    let instance = Instance::new();
    let output = instance.run(&["start", "--engine-image", "missing.tar"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn stop_waits_for_the_end_of_the_service() {
    let instance = Instance::new();
    let mut service = spawn(Command::new("sleep").arg("0.3"));
    let answers = vec![
        ("GET /v1/status", STATUS.replace("PID", &service.id().to_string())),
        ("POST /v1/stop", "{\"type\":\"done\",\"message\":\"ok\",\"already\":false}\n".to_owned()),
    ];
    let server = serve(&instance, answers);
    let output = instance.run(&["stop"]);
    assert_eq!(stdout(&output), "Sampan is stopped\n", "{}", stderr(&output));
    assert!(service.try_wait().unwrap().is_some(), "the service has ended before `stop` does");
    server.join().unwrap();
}

#[test]
fn stop_without_a_service() {
    let output = Instance::new().run(&["stop"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "Sampan is not running\n"));
}

#[test]
fn reset_asks_nobody_who_can_t_answer() {
    let instance = Instance::new();
    let plan = r#"{"all":false,"items":[{"what":"images","path":"/x","bytes":1024}]}"#;
    let server = serve(&instance, vec![("GET /v1/reset?all=false", plan.to_owned())]);
    let output = instance.run(&["reset"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("1 KiB") && stderr(&output).contains("sampan reset --yes"));
    server.join().unwrap();
}

#[test]
fn reset_without_a_service_uses_its_program() {
    if !has_root("only root resets an instance that does not run") {
        return;
    }
    let instance = Instance::new();
    let answer = r#"case "$*" in
*"oneshot reset-plan --all") echo '{"all":true,"items":[{"what":"images","path":"/x","bytes":1}]}';;
*"oneshot reset --all") echo '{"type":"warning","message":"slow"}'; echo '{"type":"done","message":"ok","already":false}';;
*) exit 9;;
esac"#;
    instance.script("bin/sampand", answer);
    let output = instance.run(&["reset", "--all", "--yes", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(json(&output)["deleted"], true);
}

#[test]
fn check_fails_when_a_prerequisite_does() {
    if !has_root("only root tests the machine") {
        return;
    }
    let instance = Instance::new();
    instance.script(
        "bin/sampand",
        r#"echo '{"checks":[{"name":"nft","purpose":"p","outcome":"fail","found":"missing","remedy":"apt-get install nftables"}]}'"#,
    );
    let output = instance.run(&["check"]);
    assert_eq!(output.status.code(), Some(6));
    assert!(
        stdout(&output).contains("✗ nft  missing  p\n  → apt-get install nftables\n"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn logs_of_several_units_are_told_apart() {
    let instance = Instance::new();
    fs::write(instance.log("dockerd"), "one\ntwo\n").unwrap();
    fs::write(instance.log("api"), "three").unwrap();
    let output = instance.run(&["logs", "-n", "1"]);
    assert_eq!(stdout(&output), "dockerd        | two\napi            | three\n");
    assert_eq!(stdout(&instance.run(&["logs", "--unit", "dockerd"])), "one\ntwo\n");
}

#[test]
fn logs_follow_files_that_come_late_and_are_cut_off() {
    let instance = Instance::new();
    let path = instance.log("dockerd");
    fs::write(instance.log("hub"), "ready\n").unwrap();
    let mut child = Running(spawn(&mut instance.command(&["logs", "-f"])));
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert_eq!(next(), "hub            | ready");
    fs::write(&path, "one\n").unwrap();
    assert_eq!(next(), "dockerd        | one");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"and two\n").unwrap();
    assert_eq!(next(), "dockerd        | and two");
    fs::write(&path, "3\n").unwrap();
    assert_eq!(next(), "dockerd        | 3");
}

#[test]
fn docker_is_given_its_words_and_the_socket() {
    let instance = Instance::new();
    let show = r#"echo "$0 host=$DOCKER_HOST context=$DOCKER_CONTEXT builder=$BUILDX_BUILDER origin=$DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND"; for word; do echo "<$word>"; done; exit 42"#;
    instance.script("state/t/cli/bin/docker", show);
    instance.script("state/t/cli/plugins/docker-buildx", show);
    let output = instance.run(&["docker", "ps"]);
    assert_eq!(output.status.code(), Some(3), "without an engine nothing is run");
    assert!(stderr(&output).contains("sampan start"));
    let _engine = UnixListener::bind(instance.path("run/t/docker.sock")).unwrap();
    let output = finish(
        instance
            .command(&["docker", "run", "--rm", "--format", "a b", "--", "-x"])
            .env("DOCKER_CONTEXT", "other"),
    );
    assert_eq!(output.status.code(), Some(42));
    let text = stdout(&output);
    let socket = instance.path("run/t/docker.sock");
    assert!(text.contains(&format!("host=unix://{} context= builder=", socket.display())), "{text}");
    assert!(text.ends_with("<run>\n<--rm>\n<--format>\n<a b>\n<-->\n<-x>\n"), "{text}");
    let text = stdout(&instance.run(&["docker", "build", "."]));
    assert!(
        text.contains("docker-buildx host=") && text.contains("builder=default origin=docker\n"),
        "{text}"
    );
    assert!(text.ends_with("<buildx>\n<build>\n<.>\n"), "{text}");
    // Without the plugin docker itself is asked.
    assert!(stdout(&instance.run(&["docker", "compose", "up"])).contains("bin/docker host="));
}

#[test]
fn docker_before_the_first_start() {
    let output = Instance::new().run(&["docker", "ps"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("the engine is not installed yet"));
}

/// A docker that keeps its contexts in files: `contexts/NAME`, and `current`.
const CONTEXTS: &str = r#"mkdir -p "$HOME/contexts"; cd "$HOME/contexts"; : > default
case "$2" in
show) cat ../current 2>/dev/null || echo default;;
ls) ls;;
create|update) echo "$5" > "$3";;
use) echo "$3" > ../current;;
rm) rm "$3";;
*) exit 1;;
esac"#;

fn current(instance: &Instance) -> String {
    fs::read_to_string(instance.path("home/current")).unwrap().trim().to_owned()
}

#[test]
fn context_use_and_restore() {
    let instance = Instance::new();
    instance.script("state/t/cli/bin/docker", CONTEXTS);
    fs::create_dir_all(instance.path("home/contexts")).unwrap();
    fs::write(instance.path("home/contexts/work"), "").unwrap();
    fs::write(instance.path("home/current"), "work\n").unwrap();
    let output = finish(instance.command(&["context", "use"]).env("DOCKER_HOST", "tcp://x"));
    assert!(stdout(&output).contains("sampan-t is current now; before it was work"), "{}", stderr(&output));
    assert!(stderr(&output).contains("DOCKER_HOST is set"));
    assert_eq!(current(&instance), "sampan-t");
    let memory = instance.path("home/.local/state/sampan/t/former-context");
    assert_eq!(fs::read_to_string(&memory).unwrap(), "work\n");
    assert!(stdout(&instance.run(&["context", "use"])).contains("is current already"));
    let output = instance.run(&["context", "restore"]);
    assert!(stdout(&output).contains("work is current again"), "{}", stderr(&output));
    assert_eq!(current(&instance), "work");
    assert!(!memory.exists() && !instance.path("home/contexts/sampan-t").exists());
}

#[test]
fn context_restore_keeps_what_was_chosen_meanwhile() {
    let instance = Instance::new();
    instance.script("state/t/cli/bin/docker", CONTEXTS);
    instance.run(&["context", "use"]);
    fs::write(instance.path("home/current"), "mine\n").unwrap();
    let output = instance.run(&["context", "restore"]);
    assert!(stdout(&output).contains("mine was chosen meanwhile"), "{}", stderr(&output));
    assert_eq!(current(&instance), "mine");
}

#[test]
fn the_reader_of_the_output_may_leave() {
    let instance = Instance::new();
    let text = "a line\n".repeat(100_000);
    fs::write(instance.log("dockerd"), text).unwrap();
    let mut child = spawn(&mut instance.command(&["logs"]));
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "");
}

#[test]
fn bad_instance_names_are_refused() {
    let output = Instance::new().run(&["--instance", "A/b", "status"]);
    assert_eq!(output.status.code(), Some(2));
}
