//! Folders of a distribution in containers.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_paths::what_dockerd_makes_belongs_to_the_distribution", made_by_dockerd),
        Case::new("integration_paths::sources_are_those_of_the_distribution", sources),
        Case::new("integration_paths::containers_come_back_with_their_files", durable),
        Case::new("integration_paths::what_is_another_s_is_not_seen", of_others),
    ]
}

/// An instance with a running engine, and the distribution `d`.
fn with_distribution() -> Instance {
    let instance = Instance::started();
    instance.need_busybox();
    instance.import("d", &roots::small(), 2);
    instance
}

fn sources() {
    let instance = with_distribution();
    instance
        .inside(
            "d",
            "mkdir -p /srv/real /srv/bound /srv/ram '/srv/a b:ü' && echo hello > /srv/real/file && \
             ln -s /srv/real /srv/absolute && ln -s real /srv/relative && mount --bind /srv/real /srv/bound && \
             mount -t tmpfs ram /srv/ram && ln -s /srv/ram /srv/to-ram && echo mine > /mnt/wsl/note && \
             echo named > '/srv/a b:ü/file' && ln -s /run/docker.sock /srv/sock",
        )
        .ok();
    let run = |mount: &str, script: &str| {
        instance.inside("d", &format!("docker run --rm {mount} e2e/busybox /bin/sh -c '{script}'"))
    };
    for source in ["/srv/real", "/srv/absolute", "/srv/relative", "/srv/bound", "/srv/none/../real"] {
        assert_eq!(run(&format!("-v {source}:/p"), "cat /p/file").ok(), "hello", "{source}");
    }
    assert_eq!(run("-v /srv/real/file:/p", "cat /p").ok(), "hello", "a single file");
    let named = "--mount 'type=bind,source=/srv/a b:ü,target=/p'";
    assert_eq!(run(named, "cat /p/file").ok(), "named");
    assert_eq!(
        instance
            .inside("d", "cd /srv && docker run --rm -v ./real:/p e2e/busybox /bin/sh -c 'cat /p/file'")
            .ok(),
        "hello"
    );
    assert_eq!(run("-v /mnt/wsl:/p", "cat /p/note").ok(), "mine");
    run("-v /srv/made/new:/p", "echo x > /p/y").ok();
    assert_eq!(instance.inside("d", "stat -c '%u:%g' /srv/made/new").ok(), "0:0");
    let missing = run("--mount type=bind,source=/srv/nothing,target=/p", "true");
    missing.expect_failure();
    missing.says("bind source path does not exist: /srv/nothing");
    for source in ["/srv/ram", "/srv/to-ram/x", "/run", "/dev/shm"] {
        let refused = run(&format!("-v {source}:/p"), "true");
        refused.expect_failure();
        refused.says("mounts denied").says(source);
    }
    // Beside the shared folders of the host nothing is made, here or there, and it makes no difference that it runs.
    instance.inside("d", "mkdir /mnt/host/var").expect(0);
    for source in ["/mnt/host/etc", "/mnt/host/var/x", "/mnt/host"] {
        let refused = run(&format!("-v {source}:/p"), "true");
        refused.expect_failure();
        refused.says("mounts denied").says(source).says("is not shared from the host");
    }
    instance.inside("d", "test ! -e /mnt/host/etc && test ! -e /mnt/host/var/x").expect(0);
    for source in ["/var/run/docker.sock", "/srv/sock"] {
        assert_eq!(run(&format!("-v {source}:/s"), "test -S /s && echo yes").ok(), "yes");
    }
    let id = instance.inside("d", "docker run -d -v /srv/real:/p e2e/busybox sleep 3600").ok();
    let shown = instance.inside("d", &format!("docker inspect {id}")).ok();
    assert!(shown.contains("/srv/real") && !shown.contains("/views"), "{shown}");
    let volume = "docker volume create -d local -o type=none -o o=bind -o device=/srv/real vol >/dev/null";
    instance.inside("d", volume).ok();
    assert_eq!(run("-v vol:/p", "cat /p/file").ok(), "hello");
    assert_eq!(instance.inside("d", "docker volume inspect -f '{{.Options.device}}' vol").ok(), "/srv/real");
}

/// Containers with a restart policy, their files in two distributions.
fn durable() {
    let instance = with_distribution();
    instance.import("e", &roots::small(), 2);
    instance.sampan(&["integration", "enable", "e"]).ok();
    for name in ["d", "e"] {
        let made = format!(
            "mkdir -p /srv/w /srv/v && echo {name} > /srv/w/file && echo {name} > /srv/v/file && \
             docker volume create -o type=none -o o=bind -o device=/srv/v vol-{name} >/dev/null && \
             docker run -d --name in-{name} --restart=always -v /srv/w:/w -v /srv/w/file:/f -v vol-{name}:/v \
             e2e/busybox sleep 100000"
        );
        instance.inside(name, &made).ok();
    }
    let whole = |when: &str| {
        for name in ["d", "e"] {
            let container = format!("in-{name}");
            waiting::until(&format!("{container} is back {when}"), || {
                let said = instance.docker(&["exec", &container, "/bin/sh", "-c", "cat /w/file /f /v/file"]);
                said.code() == Some(0) && said.text().split_whitespace().eq([name; 3])
            });
            let unique = when.replace(' ', "-");
            instance.docker(&["exec", &container, "/bin/sh", "-c", &format!("echo x > /w/{unique}")]).ok();
            instance.inside(name, &format!("test -e /srv/w/{unique}")).expect(0);
        }
    };
    whole("at first");
    instance.wsl(&["--terminate", "d"]).expect(0);
    whole("after the end of one");
    instance.sampan(&["restart"]).ok();
    whole("after a restart");
    instance.sampan(&["stop"]).ok();
    instance.wsl(&["--shutdown"]).expect(0);
    instance.start().ok();
    whole("after a whole stop");
}

/// Root in one distribution, after the files of the other, without a container that has more rights than usual.
fn of_others() {
    let instance = with_distribution();
    instance.import("e", &roots::small(), 2);
    instance.sampan(&["integration", "enable", "e"]).ok();
    instance.inside("e", "mkdir -p /srv && umask 077 && echo secret > /srv/file").ok();
    let registry = instance.registry();
    let guid = registry.distributions.iter().find(|entry| entry.name == "e").expect("it is installed").guid;
    let view = format!("/views/{guid}/srv");

    instance.inside("d", "mkdir -p /srv/one /srv/two && echo own > /srv/one/file").ok();
    let made = "docker volume create -o type=none -o o=bind -o device=/srv/one vol >/dev/null && \
        docker create --name bind -v /srv/one:/x e2e/busybox cat /x/file && \
        docker create --name mount --mount type=bind,source=/srv/one,target=/x e2e/busybox cat /x/file && \
        docker create --name volume -v vol:/x e2e/busybox cat /x/file";
    instance.inside("d", made).ok();
    // One that leads nowhere for its owner, and one that does.
    for (link, why) in
        [(view.as_str(), "cannot look for /srv/one"), ("/etc", "leads somewhere else than when")]
    {
        instance.inside("d", &format!("mv /srv/one /srv/away && ln -s {link} /srv/one")).ok();
        for container in ["bind", "mount", "volume"] {
            let refused = instance.inside("d", &format!("docker start --attach {container}"));
            refused.expect_failure();
            refused.says(why);
        }
        instance.inside("d", "rm /srv/one && mv /srv/away /srv/one").ok();
    }
    for container in ["bind", "mount", "volume"] {
        assert_eq!(instance.inside("d", &format!("docker start --attach {container}")).ok(), "own");
    }

    let run = |words: &str| instance.inside("d", &format!("docker run --rm {words} e2e/busybox cat /x/file"));
    for process in ["self", "1", "thread-self"] {
        let refused = run(&format!("-v /proc/{process}/root{view}:/x"));
        refused.expect_failure();
        refused.says("mounts denied: /proc/");
    }
    let volume = |name: &str, options: &str| {
        instance.inside("d", &format!("docker volume create {options} {name} >/dev/null"))
    };
    volume("relative", &format!("-o type=none -o o=bind -o device=.{view}")).says("no absolute path");
    volume("devices", "-o type=devtmpfs -o device=x").says("mounts denied");
    let layers = |lower: &str| format!("-o type=overlay -o device=overlay -o o=lowerdir={lower}:/srv/two");
    volume("others", &layers(&view)).ok();
    run("-v others:/x").expect_failure();
    volume("layers", &layers("/srv/one")).ok();
    assert_eq!(run("-v layers:/x").ok(), "own");
    let shown = instance.inside("d", "docker volume inspect -f '{{.Options.o}}' layers").ok();
    assert_eq!(shown, "lowerdir=/srv/one:/srv/two");
}

fn made_by_dockerd() {
    let instance = with_distribution();
    instance
        .inside(
            "d",
            "mkdir -p /srv/project && echo hello > /srv/project/file && ln -s file /srv/project/link",
        )
        .ok();
    let registry = instance.registry();
    let guid = registry.distributions.iter().find(|entry| entry.name == "d").expect("it is installed").guid;
    // What the proxy makes of a path of the distribution, at dockerd's own socket.
    let bare = format!("unix://{}", instance.engine_file("/run/docker.sock").display());
    let run = |source: &str, script: &str| {
        let bind = format!("/views/{guid}{source}:/p");
        let tool =
            instance.docker_tool(&["-H", &bare, "run", "--rm", "-v", &bind, "e2e/busybox", "/bin/sh", "-c"]);
        tool.args([script]).run().ok()
    };
    // Links in a container's folder work.
    assert_eq!(run("/srv/project", "cat /p/link"), "hello");
    run("/srv/made/deep", "echo x > /p/new");
    let owners =
        instance.inside("d", "stat -c '%n %u:%g %a' /srv/made /srv/made/deep /srv/made/deep/new").ok();
    assert_eq!(owners, "/srv/made 0:0 755\n/srv/made/deep 0:0 755\n/srv/made/deep/new 0:0 644");
}
