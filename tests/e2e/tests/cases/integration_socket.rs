//! The Docker socket in the user's distributions.

use std::os::unix::fs::MetadataExt;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, roots, waiting};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_socket::it_is_there_again_whatever_dies", comes_back),
        Case::new("integration_socket::it_follows_the_default_distribution", follows),
        Case::new("integration_socket::it_stays_under_systemd", systemd),
        Case::new("integration_socket::without_the_engine_nothing_is_lost", without_engine),
        Case::new("integration_socket::one_that_goes_away_takes_its_clients_along", goes_away),
    ]
}

/// What answers at the socket where clients look for it.
const PING: &str = "perl -MIO::Socket::UNIX -e '\
    my $s = IO::Socket::UNIX->new(Peer => \"/run/docker.sock\") or die \"cannot connect: $!\\n\"; \
    print $s \"GET /_ping HTTP/1.1\\r\\nHost: d\\r\\nConnection: close\\r\\n\\r\\n\"; print while <$s>'";

/// The version of the engine, by the Docker CLI that distributions see.
const VERSION: &str = "cli=/run/sampan/cli; \"$(echo $cli/lib/ld-linux*)\" --argv0 docker --library-path $cli/lib \
    $cli/bin/docker version --format '{{.Server.Version}}'";

/// Says whose the socket is, and that nothing is at its place otherwise.
const LOOK: &str = "if [ -e /run/docker.sock ]; then stat -L -c '%U:%G %a' /run/docker.sock; \
    elif [ -L /run/docker.sock ]; then echo link; else echo none; fi";

/// An instance whose engine runs, with Debian distributions of version 2; the first is the default one.
fn instance(names: &[&str]) -> Instance {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    for name in names {
        instance.import(name, &roots::debian(), 2);
    }
    instance.wsl(&["--set-default", names[0]]).expect(0);
    instance
}

#[track_caller]
fn look(instance: &Instance, name: &str) -> String {
    instance.inside(name, LOOK).ok()
}

/// It answers in `name`, at once or when the engine is up.
#[track_caller]
fn assert_answers(instance: &Instance, name: &str, when: &str) {
    waiting::until(when, || {
        let said = instance.inside(name, PING);
        said.code() == Some(0) && said.text().starts_with("HTTP/1.1 200") && said.text().ends_with("OK")
    });
}

fn comes_back() {
    let instance = instance(&["a", "b"]);
    assert_answers(&instance, "a", "at first");
    assert_eq!(look(&instance, "a"), "root:docker 660");
    assert_eq!(look(&instance, "b"), "none");
    instance.inside("b", "ls /run/sampan/integration").ok();
    assert_eq!(
        instance.inside("b", "ls /run/sampan/integration").ok(),
        "notice.json",
        "only its own, and off"
    );
    let version = instance.docker(&["version", "--format", "{{.Server.Version}}"]).ok();
    assert_eq!(instance.inside("a", VERSION).ok(), version);

    // Members of the group may use it, and nobody else.
    instance.inside("a", "groupmod --gid 4242 docker && usermod -aG docker ann").expect(0);
    instance.wsl(&["--terminate", "a"]).expect(0);
    waiting::until("the group has it", || look(&instance, "a") == "root:docker 660");
    instance.wsl_tool(&["-d", "a", "-u", "ann", "-e", "sh", "-c", PING]).run().says("200 OK");
    let refused = instance.wsl_tool(&["-d", "a", "-u", "nobody", "-e", "sh", "-c", PING]).run();
    refused.expect_failure();
    refused.says("Permission denied");
    instance.inside("a", "rm /run/sampan/integration/docker.sock").expect_failure();

    assert_answers(&instance, "a", "after the end of the distribution");
    instance.part("dockerd").expect("it runs").kill_and_wait();
    assert_answers(&instance, "a", "after the death of dockerd");
    instance.service_of_init("api").expect("it runs").kill_and_wait();
    assert_answers(&instance, "a", "after the death of the proxy");
    instance.service().kill_and_wait();
    assert_answers(&instance, "a", "after the death of the service");
    instance.sampan(&["restart"]).expect(0);
    assert_answers(&instance, "a", "after a restart of the engine");
    instance.sampan(&["stop"]).expect(0);
    instance.inside("a", PING).expect_failure();
    instance.start().expect(0);
    assert_answers(&instance, "a", "after a stop and a start");
    instance.wsl(&["--shutdown"]).expect(0);
    instance.start().expect(0);
    assert_answers(&instance, "a", "after a shutdown");
    assert_eq!(look(&instance, "a"), "root:docker 660");
    assert_eq!(look(&instance, "b"), "none");
    // The host's own was never in the way.
    instance.docker(&["info"]).expect(0);
}

fn follows() {
    let instance = instance(&["a", "b"]);
    assert_answers(&instance, "a", "at first");
    assert_eq!(look(&instance, "b"), "none");
    // Both run: it moves at once.
    instance.wsl(&["--set-default", "b"]).expect(0);
    assert_eq!(look(&instance, "a"), "none");
    assert_answers(&instance, "b", "by the default distribution");
    let link = instance.inside("b", "readlink /run/docker.sock").ok();
    assert_eq!(link, "/run/sampan/integration/docker.sock");
    // What is somebody's own stays, and is said.
    instance.inside("a", "touch /run/docker.sock").expect(0);
    let said = instance.wsl(&["--set-default", "a"]);
    said.says("/run/docker.sock is there already");
    assert_eq!(look(&instance, "a"), "root:root 644");
    instance.inside("a", "rm /run/docker.sock").expect(0);
    instance.wsl(&["--terminate", "a"]).expect(0);
    assert_answers(&instance, "a", "without the other file");
    // By the list, while the engine runs: at its next start.
    let settings = json!({
        "schemaVersion": 1,
        "enableIntegrationWithDefaultWslDistro": false,
        "integratedWslDistros": ["B"],
    });
    files::write(&instance.place().settings(), settings.to_string());
    instance.sampan(&["restart"]).expect(0);
    assert_answers(&instance, "b", "by the list");
    assert_eq!(look(&instance, "a"), "none");
    // Version 1 has none, whatever is asked for.
    instance.wsl_tool(&["--set-version", "b", "1"]).deadline(waiting::LONG).run().expect(0);
    assert_eq!(look(&instance, "b"), "none");
    let place = instance.place().integration();
    let guid = instance.registry().find("b").expect("it is there").guid;
    assert!(place.join(guid.to_string()).is_dir());
    instance.wsl(&["--unregister", "b"]).expect(0);
    assert!(!place.join(guid.to_string()).exists());
    assert_eq!(place.metadata().expect("it is there").mode() & 0o7777, 0o700, "nobody else of the host");
}

fn systemd() {
    let instance = instance(&["deb"]);
    instance.inside("deb", "printf '[boot]\\nsystemd=true\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "deb"]).expect(0);
    assert_answers(&instance, "deb", "under systemd");
    instance.inside("deb", "systemctl daemon-reexec && systemd-tmpfiles --create --remove --clean").text();
    assert_answers(&instance, "deb", "after systemd's own cleaning");
    instance.sampan(&["restart"]).expect(0);
    assert_answers(&instance, "deb", "after a restart of the engine");
    instance.inside("deb", "systemctl poweroff").expect(0);
    waiting::until("it is off", || instance.state_of("deb") == "Stopped");
    assert_answers(&instance, "deb", "after it was off");
}

fn without_engine() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("a", &roots::debian(), 2);
    instance.inside("a", PING).expect_failure();
    let notice = |words: &str| {
        let said = instance.inside("a", "cat /run/sampan/integration/notice.json").ok();
        assert!(said.contains(words), "{said}");
    };
    notice("\"engine\": \"stopped\"");
    instance.start().expect(0);
    // It ran before there was an engine.
    assert_answers(&instance, "a", "with the engine");
    notice("\"engine\": \"running\"");
    instance.sampan(&["stop"]).expect(0);
    notice("\"engine\": \"stopped\"");
    // What cannot be read changes nothing.
    instance.start().expect(0);
    let list = instance.place().integration().join("askers.json");
    files::write(&list, "{");
    instance.service_of_init("engine").expect("it runs").kill_and_wait();
    assert_answers(&instance, "a", "with a damaged list");
}

fn goes_away() {
    let instance = instance(&["a", "b"]);
    assert_answers(&instance, "a", "at first");
    let wait = "perl -MIO::Socket::UNIX -e '$| = 1; \
        my $s = IO::Socket::UNIX->new(Peer => \"/run/docker.sock\") or die; \
        print $s \"GET /events HTTP/1.1\\r\\nHost: d\\r\\n\\r\\n\"; \
        print scalar <$s>; 1 while <$s>; print \"over\\n\"'";
    let client = instance.wsl_tool(&["-d", "a", "-e", "sh", "-c", wait]).spawn();
    client.wait_for_text("200 OK");
    instance.wsl(&["--set-default", "b"]).expect(0);
    client.finish().says("over");
}
