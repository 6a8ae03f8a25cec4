//! `sampan-docker` as root of a small root file system: no C library, no shell, only it and what the service shows there. The
//! programs of the CLI in it are this test's own program.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "tests start programs and write plain files")]

#[path = "../../../crates/sys/tests/support/single.rs"]
#[expect(dead_code, reason = "some of it is for tests of system calls")]
mod single;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use sampan_model::docker_cli;
use sampan_model::document::{self, Document};
use sampan_model::integration::{EngineNotice, Notice, PLACE, SOCKET, Switch};
use tempfile::TempDir;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let name = Path::new(&words[0]).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if ["docker", "docker-buildx", "docker-compose"].contains(&name.as_str()) || name.starts_with("ld-") {
        return tell(&words);
    }
    single::run(&[
        ("docker_runs_without_a_c_library", docker_runs_without_a_c_library),
        ("plugins_run_as_docker_runs_them", plugins_run_as_docker_runs_them),
        ("an_engine_that_is_reached_is_used", an_engine_that_is_reached_is_used),
        ("without_an_engine_it_says_why", without_an_engine_it_says_why),
        ("what_needs_no_engine_works_without", what_needs_no_engine_works_without),
        ("an_engine_of_somebody_s_own_is_his_affair", an_engine_of_somebody_s_own_is_his_affair),
        ("without_the_cli_it_says_so", without_the_cli_it_says_so),
    ])
}

/// What the programs of the CLI do here.
#[expect(clippy::print_stdout, reason = "that is all it does")]
fn tell(words: &[String]) -> ExitCode {
    println!("{}", words.join("|"));
    for name in ["DOCKER_HOST", "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "BUILDX_BUILDER", "KEPT"] {
        if let Ok(value) = std::env::var(name) {
            println!("{name}={value}");
        }
    }
    ExitCode::from(42)
}

struct Root(TempDir);

impl Root {
    fn new(with_loader: bool) -> Self {
        single::need_root();
        let root = Self(TempDir::new().expect("folder"));
        root.copy(Path::new(env!("CARGO_BIN_EXE_sampan-docker")), "usr/bin/docker");
        let program = PathBuf::from("/proc/self/exe");
        for file in ["bin/docker", "plugins/docker-compose", "plugins/docker-buildx"] {
            root.copy(&program, &format!("{}/{file}", docker_cli::PLACE));
        }
        if with_loader {
            root.copy(&program, &format!("{}/lib/ld-linux-x.so.2", docker_cli::PLACE));
        }
        fs::create_dir_all(root.path(PLACE)).expect("folder");
        root
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside.trim_start_matches('/'))
    }

    fn copy(&self, from: &Path, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("folder");
        fs::copy(from, to).expect("copy");
    }

    fn notice(&self, switch: Switch, engine: EngineNotice) {
        let notice = Notice { switch, engine, name: "box".to_owned(), version: 2 };
        fs::write(self.path(PLACE).join(Notice::FILE), document::render(&notice)).expect("notice");
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.0.path()).arg("/usr/bin/docker").args(args.split_whitespace());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/").env("KEPT", "so");
        command
    }

    /// What it says and ends with.
    fn run(&self, args: &str) -> (String, Option<i32>) {
        said(&self.command(args).output().expect("chroot"))
    }
}

fn said(output: &Output) -> (String, Option<i32>) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

fn docker_runs_without_a_c_library() {
    let root = Root::new(true);
    let words = "/run/sampan/cli/lib/ld-linux-x.so.2|--argv0|docker|--library-path|/run/sampan/cli/lib|/run/sampan/cli/bin/docker|ps|-a\nKEPT=so\n";
    assert_eq!(root.run("ps -a"), (words.to_owned(), Some(42)));
    let root = Root::new(false);
    assert_eq!(root.run("ps -a"), ("docker|ps|-a\nKEPT=so\n".to_owned(), Some(42)));
}

fn plugins_run_as_docker_runs_them() {
    let root = Root::new(false);
    let plugin = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND=docker\n";
    let compose = "/run/sampan/cli/plugins/docker-compose|compose|up|-d\n";
    assert_eq!(root.run("compose up -d").0, format!("{compose}{plugin}KEPT=so\n"));
    let build = "/run/sampan/cli/plugins/docker-buildx|buildx|build|.\n";
    assert_eq!(root.run("build .").0, format!("{build}{plugin}BUILDX_BUILDER=default\nKEPT=so\n"));
    fs::remove_file(root.path(docker_cli::PLACE).join("plugins/docker-buildx")).expect("remove");
    assert_eq!(root.run("build .").0, "docker|build|.\nKEPT=so\n");
}

fn an_engine_that_is_reached_is_used() {
    let root = Root::new(false);
    root.notice(Switch::Default, EngineNotice::Running);
    let _own = UnixListener::bind(root.path(PLACE).join(SOCKET)).expect("socket");
    // The link to it is not there.
    let direct = "docker|ps\nDOCKER_HOST=unix:///run/sampan/integration/docker.sock\nKEPT=so\n";
    assert_eq!(root.run("ps").0, direct);
    fs::create_dir_all(root.path("var/run")).expect("folder");
    let _usual = UnixListener::bind(root.path("var/run/docker.sock")).expect("socket");
    assert_eq!(root.run("ps").0, "docker|ps\nKEPT=so\n");
}

fn without_an_engine_it_says_why() {
    let root = Root::new(false);
    for (switch, engine, words, command) in [
        (Switch::Off, EngineNotice::Running, "in this WSL 2 distro.", "sampan integration enable box"),
        (Switch::VersionOne, EngineNotice::Running, "in this WSL 1 distro.", "wsl --set-version box 2"),
        (Switch::Chosen, EngineNotice::Stopped, "Is the docker daemon running?", "sampan start"),
    ] {
        root.notice(switch, engine);
        let (text, code) = root.run("compose up");
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(words) && text.contains(&format!("\n    {command}\n")), "{text}");
        assert!(!text.contains("docker-compose|"), "{text}");
    }
    root.notice(Switch::Chosen, EngineNotice::Starting);
    let (text, code) = std::thread::scope(|scope| {
        let mut command = root.command("ps");
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it");
        // It waits: that is what it says.
        let mut stderr = child.stderr.take().expect("a pipe");
        let mut first = [0; 29];
        std::io::Read::read_exact(&mut stderr, &mut first).expect("it says something");
        assert_eq!(String::from_utf8_lossy(&first), "Starting the Docker Engine...");
        let listener = UnixListener::bind(root.path(PLACE).join("new.sock")).expect("socket");
        fs::rename(root.path(PLACE).join("new.sock"), root.path(PLACE).join(SOCKET)).expect("rename");
        scope.spawn(move || drop(listener.accept()));
        said(&child.wait_with_output().expect("it ends"))
    });
    assert!(code == Some(42) && text.starts_with("docker|ps\n"), "{text}");
}

fn what_needs_no_engine_works_without() {
    let root = Root::new(false);
    root.notice(Switch::Off, EngineNotice::Stopped);
    for args in
        ["--version", "--help", "run --help", "completion bash", "__complete ps", "compose version", ""]
    {
        let (text, code) = root.run(args);
        assert_eq!(code, Some(42), "{args}: {text}");
    }
}

fn an_engine_of_somebody_s_own_is_his_affair() {
    let root = Root::new(false);
    root.notice(Switch::Off, EngineNotice::Stopped);
    for args in ["-H tcp://box:2375 ps", "--host=ssh://box ps", "--context two ps"] {
        assert_eq!(root.run(args).1, Some(42), "{args}");
    }
    for (name, value) in [("DOCKER_HOST", "tcp://box:2375"), ("DOCKER_CONTEXT", "two")] {
        let output = root.command("ps").env(name, value).output().expect("chroot");
        assert_eq!(said(&output).1, Some(42), "{name}");
    }
    assert_eq!(root.run("ps").1, Some(1));
    fs::create_dir(root.path(".docker")).expect("folder");
    fs::write(root.path(".docker/config.json"), r#"{"currentContext":"two"}"#).expect("settings");
    assert_eq!(root.run("ps").1, Some(42));
    assert_eq!(root.run("--config /none ps").1, Some(1));
}

fn without_the_cli_it_says_so() {
    let root = Root::new(false);
    fs::remove_dir_all(root.path(docker_cli::PLACE)).expect("remove");
    let (text, code) = root.run("--version");
    assert_eq!(code, Some(1));
    assert!(text.contains("the Docker CLI is not there yet") && text.contains("sampan start"), "{text}");
}
