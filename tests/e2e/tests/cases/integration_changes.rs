//! What changes in a distribution, or about it, after docker works in it.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{roots, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_changes::a_user_of_later_may_use_docker", users),
        Case::new("integration_changes::repair_brings_the_link_back", link),
        Case::new("integration_changes::a_docker_of_its_own_is_told_as_it_comes_and_goes", own_docker),
        Case::new("integration_changes::who_turns_it_off_hears_of_containers", containers),
    ]
}

fn with_distribution() -> Instance {
    let instance = Instance::started();
    instance.import("d", &roots::small(), 2);
    instance
}

fn users() {
    let instance = with_distribution();
    instance.inside("d", "docker ps -q").ok();
    instance
        .inside("d", "echo joe:x:1000:1000::/:/bin/sh >> /etc/passwd && echo joe:x:1000: >> /etc/group")
        .ok();
    instance.wsl(&["--manage", "d", "--set-default-user", "joe"]).expect(0);
    let asked = instance.wsl(&["-d", "d", "--cd", "/", "-e", "/bin/sh", "-c", "id -u && docker ps -q"]);
    asked.expect(0);
    assert_eq!(asked.text().trim(), "1000");
}

fn link() {
    let instance = with_distribution();
    instance.inside("d", "rm /run/docker.sock").ok();
    instance.sampan(&["integration", "repair", "d"]).ok();
    instance.inside("d", "test -S /run/docker.sock").expect(0);
    instance.inside("d", "rm /run/docker.sock && echo mine > /run/docker.sock").ok();
    instance.sampan(&["integration", "repair", "d"]).says("/run/docker.sock is there already");
    assert_eq!(instance.inside("d", "cat /run/docker.sock").ok(), "mine");
}

fn own_docker() {
    let instance = with_distribution();
    instance.inside("d", "docker ps -q").ok();
    let told = || instance.sampan(&["integration", "ls"]).ok();
    assert!(!told().contains("its own"), "{}", told());
    let made = "mkdir -p /usr/local/bin && echo '#!/bin/sh' > /usr/local/bin/docker && chmod 755 /usr/local/bin/docker";
    instance.inside("d", made).ok();
    let said = told();
    assert!(said.contains("its own /usr/local/bin/docker is used"), "{said}");
    instance.inside("d", "rm /usr/local/bin/docker").ok();
    let said = told();
    assert!(!said.contains("its own"), "{said}");
    instance.inside("d", "docker ps -q").ok();
}

fn containers() {
    let instance = with_distribution();
    instance.need_busybox();
    instance.import("e", &roots::small(), 2);
    instance.sampan(&["integration", "enable", "e"]).ok();
    for name in ["d", "e"] {
        let run = format!(
            "mkdir -p /srv/w && echo {name} > /srv/w/file && \
             docker run -d --restart=always --name in-{name} -v /srv/w:/w e2e/busybox sleep 100000"
        );
        instance.inside(name, &run).ok();
    }
    let off = instance.sampan(&["integration", "disable", "e"]);
    off.says("Containers use files of e (").says("they go on to");
    let other = instance.wsl(&["--set-default", "e"]);
    other.expect(0);
    other.says("Containers use files of d (");

    instance.sampan(&["integration", "default", "off"]).ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.wsl(&["--terminate", "e"]).expect(0);
    let find = |when: &str| {
        for name in ["d", "e"] {
            let container = format!("in-{name}");
            let seen = || instance.docker(&["exec", &container, "/bin/sh", "-c", "cat /w/file"]);
            waiting::until(&format!("{container} finds its files {when}"), || {
                let seen = seen();
                seen.code() == Some(0) && seen.text().trim() == name
            });
        }
    };
    find("before");
    instance.sampan(&["restart"]).ok();
    find("after a restart");
    instance.docker(&["restart", "--time", "0", "in-d", "in-e"]).expect(0);
    find("after their own");
    // Whose they are is written down with the container.
    instance.docker(&["rm", "--force", "in-d", "in-e"]).expect(0);
    instance.sampan(&["restart"]).ok();
    instance.wsl(&["--unregister", "d"]).expect(0);
}
