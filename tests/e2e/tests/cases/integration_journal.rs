//! What integration writes into a distribution is undone to the last byte.

use std::fs;
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::listing::Listing;
use sampan_e2e::roots;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_journal::one_that_runs_is_as_before", running),
        Case::new("integration_journal::one_that_is_stopped_is_as_before", stopped),
        Case::new("integration_journal::what_the_user_edits_stays", edited),
        Case::new("integration_journal::without_an_engine_all_are_as_before", reset),
    ]
}

/// Folders in which shells look for completions.
const FOLDERS: &str = "mkdir -p /usr/share/bash-completion/completions /usr/share/zsh/site-functions \
    /usr/share/fish/vendor_completions.d";

/// What integration writes and changes, below the root.
const FILES: [&str; 3] = ["usr/bin/docker", "usr/share/fish/vendor_completions.d/docker.fish", "etc/group"];

/// An instance whose engine runs, and distributions in none of which docker works.
fn instance(all: &[(&str, PathBuf)]) -> Instance {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.sampan(&["integration", "default", "off"]).ok();
    for (name, root) in all {
        instance.import(name, root, 2);
        instance.inside(name, FOLDERS).expect(0);
    }
    instance
}

fn both() -> [(&'static str, PathBuf); 2] {
    [("deb", roots::debian()), ("small", roots::small())]
}

#[track_caller]
fn assert_written(before: &Listing, now: &Listing) {
    let differences = before.differences(now);
    assert!(
        FILES.iter().all(|file| differences.iter().any(|other| other == Path::new(file))),
        "{differences:?}"
    );
}

fn running() {
    let instance = instance(&both());
    for (name, _) in both() {
        let before = Listing::of_view(&instance, name);
        for round in ["the first time", "the second time"] {
            instance.sampan(&["integration", "enable", name]).expect(0);
            instance.inside(name, "docker ps").expect(0);
            assert_written(&before, &Listing::of_view(&instance, name));
            instance.sampan(&["integration", "repair", name]).expect(0);
            // A start in between finds what was made for it, and makes nothing in it that would stay.
            instance.wsl(&["--terminate", name]).expect(0);
            instance.inside(name, "docker ps").expect(0);
            instance.sampan(&["integration", "disable", name]).expect(0);
            before.assert_same(&Listing::of_view(&instance, name), &format!("{name}, {round}"));
        }
        assert_eq!(instance.state_of(name), "Running");
    }
}

fn stopped() {
    let instance = instance(&both());
    // With an engine docker is run in it at once, and so it is started.
    instance.sampan(&["stop"]).expect(0);
    for (name, _) in both() {
        instance.wsl(&["--terminate", name]).expect(0);
        let before = Listing::of_image(&instance, name);
        for word in ["enable", "disable", "enable", "disable"] {
            instance.sampan(&["integration", word, name]).expect(0);
        }
        before.assert_same(&Listing::of_image(&instance, name), &format!("{name}, at once"));
        instance.sampan(&["integration", "enable", name]).expect(0).says("as soon as the engine runs");
        assert_written(&before, &Listing::of_image(&instance, name));
        instance.sampan(&["integration", "disable", name]).expect(0);
        assert_eq!(instance.state_of(name), "Stopped");
        before.assert_same(&Listing::of_image(&instance, name), &format!("{name}, never started"));

        // The same when the engine runs, which has its disk.
        instance.sampan(&["integration", "enable", name]).expect(0);
        instance.start().expect(0);
        instance.sampan(&["integration", "disable", name]).expect(0);
        instance.sampan(&["stop"]).expect(0);
        assert_eq!(instance.state_of(name), "Stopped");
        before.assert_same(
            &Listing::of_image(&instance, name),
            &format!("{name}, on a disk that the engine had"),
        );
    }
}

fn edited() {
    let instance = instance(&both());
    for (name, _) in both() {
        let before = Listing::of_view(&instance, name);
        let groups = instance.inside(name, "cat /etc/group").ok();
        instance.sampan(&["integration", "enable", name]).expect(0);
        let edit = "grep ^docker: /etc/group && sed -i 's/^nogroup:.*/&ann/' /etc/group && \
                    printf 'mine:x:4444:ann\\n' >> /etc/group && echo own > /usr/share/zsh/site-functions/_docker && \
                    rm /usr/share/bash-completion/completions/docker && echo mine > /etc/mine";
        instance.inside(name, edit).expect(0);
        let disabled = instance.sampan(&["integration", "disable", name]);
        disabled.expect(0).says("/usr/share/zsh/site-functions/_docker").says("was left");
        let now = Listing::of_view(&instance, name);
        let own = [
            "etc",
            "etc/group",
            "etc/mine",
            "usr/share/zsh/site-functions",
            "usr/share/zsh/site-functions/_docker",
            "usr/share/bash-completion/completions",
        ];
        before.assert_same_but(&now, &own, name);
        let nogroup = groups.lines().find(|line| line.starts_with("nogroup:")).expect("there is one");
        let wanted = groups.replace(nogroup, &format!("{nogroup}ann"));
        assert_eq!(instance.inside(name, "cat /etc/group").ok(), format!("{wanted}\nmine:x:4444:ann"));
    }
}

fn reset() {
    let instance = instance(&[("deb", roots::debian()), ("runs", roots::small()), ("gone", roots::small())]);
    let before = ["deb", "runs", "gone"].map(|name| {
        instance.wsl(&["--terminate", name]).expect(0);
        Listing::of_image(&instance, name)
    });
    for name in ["deb", "runs", "gone"] {
        instance.sampan(&["integration", "enable", name]).expect(0);
    }
    for name in ["deb", "gone"] {
        instance.wsl(&["--terminate", name]).expect(0);
    }
    let kept = instance.scratch("kept").join("ext4.img");
    fs::rename(instance.disk_of("gone"), &kept).expect("a name is free to change");
    let runs = Listing::of_view(&instance, "runs");
    assert!(runs.get("usr/bin/docker").is_some());
    let done = instance.sampan(&["reset", "--yes"]);
    done.expect(0).says("gone");
    assert!(Listing::of_view(&instance, "runs").get("usr/bin/docker").is_none(), "while it runs");
    assert_eq!(
        (instance.state_of("runs"), instance.state_of("deb")),
        ("Running".to_owned(), "Stopped".to_owned())
    );
    instance.inside("runs", "docker ps").expect_failure();
    fs::rename(&kept, instance.disk_of("gone")).expect("its place is free");
    instance.inside("gone", "test ! -e /usr/bin/docker").expect(0);
    instance.wsl(&["--shutdown"]).expect(0);
    for (name, before) in ["deb", "runs", "gone"].iter().zip(before) {
        // Each start writes these.
        before.assert_same_but(&Listing::of_image(&instance, name), &[], name);
    }

    // What the user wanted is still so: it is there again with an engine.
    instance.start().expect(0);
    instance.inside("deb", "docker ps").expect(0);
}
