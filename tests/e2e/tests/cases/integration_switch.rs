//! In which distributions docker works.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::listing::Listing;
use sampan_e2e::roots;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_switch::it_is_turned_on_and_shown_and_undone", on_and_off),
        Case::new("integration_switch::what_cannot_be_is_said", refused),
        Case::new("integration_switch::one_with_a_docker_of_its_own_keeps_it", own),
        Case::new("integration_switch::one_without_groups_or_that_is_read_only_harms_nobody", odd_ones),
    ]
}

/// Everything that a distribution has on its disk: kind, mode, owner, size, time, links and contents.
const LISTING: &str = "cd / && find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp \
    -o -path ./mnt -o -path ./var/log -o -path ./root -o -path ./etc/.pwd.lock \\) -prune -o -printf '%y %m %U:%G %s %T@ %p %l\\n' | sort && \
    find etc usr -xdev -type f -exec sha256sum {} + | sort";

fn on_and_off() {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.sampan(&["integration", "default", "off"]).ok();
    instance.import("deb", &roots::debian(), 2);
    instance.sampan(&["integration", "ls"]).says("deb     off");
    let before = instance.inside("deb", LISTING).ok();
    let off = instance.inside("deb", "docker ps");
    off.expect(1);
    off.says("could not be found in this WSL 2 distro").says("sampan integration enable deb");

    let enabled = instance.sampan(&["integration", "enable", "DEB"]);
    enabled.expect(0);
    enabled.says("Server:").says("docker works in deb.");
    instance.sampan(&["integration", "ls"]).says("deb     ready");
    let version = instance.docker(&["version", "--format", "{{.Server.Version}}"]).ok();
    assert_eq!(instance.inside("deb", "docker version --format '{{.Server.Version}}'").ok(), version);
    instance.inside("deb", "docker compose version && docker buildx version").ok();
    instance.inside("deb", "getent group docker").ok();
    assert_ne!(instance.inside("deb", LISTING).ok(), before, "a listing that shows nothing proves nothing");
    instance.sampan(&["integration", "repair", "deb"]).expect(0);
    instance.sampan(&["integration", "disable", "deb"]).expect(0);
    assert_eq!(instance.inside("deb", LISTING).ok(), before);
    instance.sampan(&["integration", "ls"]).says("deb     off");

    // And one that does not run.
    instance.sampan(&["integration", "enable", "deb"]).expect(0);
    instance.wsl(&["--terminate", "deb"]).expect(0);
    instance.sampan(&["integration", "ls"]).says("distribution stopped");
    instance.sampan(&["integration", "disable", "deb"]).expect(0);
    assert_eq!(instance.inside("deb", LISTING).ok(), before);

    // The engine is stopped: the words say so, and what mends it does.
    instance.sampan(&["integration", "enable", "deb"]).expect(0);
    instance.sampan(&["stop"]).ok();
    let stopped = instance.inside("deb", "docker ps");
    stopped.expect(1);
    stopped.says("The engine is stopped").says("sampan start");
    instance.start().ok();
    instance.inside("deb", "docker ps").ok();
}

fn refused() {
    let instance = Instance::started();
    instance.import("one", &roots::small(), 1);
    instance.import("two", &roots::small(), 2);
    instance.wsl(&["--set-default", "two"]).expect(0);
    for (words, says) in [
        (&["enable", "one"][..], "wsl --set-version one 2"),
        (&["disable", "two"], "sampan integration default off"),
        (&["repair", "one"], "sampan integration enable one"),
        (&["enable", "docker-desktop"], "internal"),
        (&["enable", "nobody"], "no distribution with the supplied name"),
    ] {
        let refused = instance.sampan(&[&["integration"], words].concat());
        refused.expect_failure();
        refused.says(says);
    }
    // Nothing of that is in the settings.
    instance.sampan(&["integration", "default", "off"]).ok();
    instance.sampan(&["integration", "ls"]).says("one     off").says("two     off");
    instance.sampan(&["integration", "enable", "two"]).expect(0);
    // It is undone where it can no longer be.
    instance.wsl(&["--set-version", "two", "1"]).expect(0);
    instance.inside("two", "test ! -e /usr/bin/docker && ! grep -q docker /etc/group").expect(0);
    instance.sampan(&["integration", "ls"]).says("wsl --set-version two 2");
}

fn own() {
    let instance = Instance::started();
    instance.sampan(&["integration", "default", "off"]).expect(0);
    instance.import("own", &roots::small(), 2);
    let group = "mkdir -p /usr/local/bin && echo docker:x:900: >> /etc/group";
    let program =
        "printf '#!/bin/sh\\necho mine\\n' > /usr/local/bin/docker && chmod +x /usr/local/bin/docker";
    instance.inside("own", &format!("{group} && {program}")).expect(0);
    let before = Listing::of_view(&instance, "own");
    let used = "its own /usr/local/bin/docker is used";

    instance.sampan(&["integration", "enable", "own"]).says("a `docker` of its own");
    for state in ["ready", "stopped", "ready"] {
        if state == "stopped" {
            instance.wsl(&["--terminate", "own"]).expect(0);
        } else {
            assert_eq!(instance.inside("own", "docker").ok(), "mine");
            before.assert_same(&Listing::of_view(&instance, "own"), "nothing of ours is needed in it");
        }
        instance.sampan(&["integration", "ls"]).says(state).says(used);
    }
    // It is removed: the next start brings ours, so that docker goes on.
    instance.inside("own", "rm /usr/local/bin/docker").expect(0);
    instance.wsl(&["--terminate", "own"]).expect(0);
    instance.inside("own", "docker ps").expect(0);
    assert!(!instance.sampan(&["integration", "ls"]).ok().contains(used));
}

fn odd_ones() {
    let instance = Instance::started();
    instance.import("fine", &roots::small(), 2);
    instance.import("bare", &roots::small(), 2);
    instance.import("fixed", &roots::small(), 2);
    instance.inside("bare", "rm -f /etc/group").ok();
    instance.sampan(&["integration", "enable", "bare"]).says("docker works in bare.");
    instance.inside("bare", "grep ^docker: /etc/group").ok();

    // A file that nobody may change is in the way: it is said, and all others go on.
    instance
        .inside(
            "fixed",
            "mkdir -p /usr/bin && echo '#!/bin/sh' > /usr/bin/docker && chmod +x /usr/bin/docker",
        )
        .ok();
    let own = instance.sampan(&["integration", "enable", "fixed"]);
    own.says("a `docker` of its own");
    instance.sampan(&["integration", "ls"]).says("its own /usr/bin/docker is used");
    instance.inside("fine", "docker ps").ok();
    instance.sampan(&["restart"]).ok();
    for name in ["fine", "bare"] {
        instance.inside(name, "docker ps").ok();
    }
    instance.sampan(&["integration", "disable", "fixed"]).expect(0);
    assert_eq!(instance.inside("fixed", "cat /usr/bin/docker").ok(), "#!/bin/sh");
}
