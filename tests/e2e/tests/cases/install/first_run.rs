//! The first shell.

use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::web::{Answer, Web};

use super::{default, entry, flavor, image, install, set_lists, sha256, version};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("install::n34_o01_to_o08_the_first_shell", first_run)]
}

fn first_run() {
    let instance = Instance::new();
    // Started before, so that what is said is the session's own.
    let said = |name: &str| {
        instance.inside(name, "true").ok();
        instance.wsl(&["-d", name, "--cd", "~"])
    };
    let first_run_of = |name: &str| entry(&instance, name).first_run;

    // O01, O02: only an interactive shell runs it, once.
    let plain = image(&instance, "plain.tar", "[oobe]\ncommand = /bin/sh -c 'echo OOBE'\n");
    let plain = plain.to_str().expect("paths of tests are text");
    install(&instance, &["--from-file", plain, "--name", "plain"]).expect(0);
    assert_eq!(instance.wsl(&["-d", "plain", "echo", "no", "oobe"]).text(), "no oobe\n", "O01");
    assert!(first_run_of("plain"), "O01");
    assert_eq!(said("plain").expect(0).all(), "OOBE\n", "O02");
    assert!(!first_run_of("plain"), "O02");
    assert_eq!(said("plain").expect(0).all(), "", "O02");
    assert_eq!(entry(&instance, "plain").default_uid, 0, "O07");
    instance.wsl(&["--terminate", "plain"]).expect(0);
    assert_eq!(said("plain").expect(0).all(), "", "O02");

    // O04, O05: one that fails is tried again.
    let failing = "/bin/sh -c 'echo failed OOBE && exit 1'";
    let tar = image(&instance, "failing.tar", &format!("[oobe]\ncommand = {failing}\n"));
    install(&instance, &["--from-file", tar.to_str().expect("text"), "--name", "failing"]).expect(0);
    for id in ["O04", "O05"] {
        let output = said("failing");
        assert_eq!(output.expect(1).text(), "failed OOBE\n", "{id}");
        assert_eq!(output.errors(), format!("OOBE command \"{failing}\" failed, exiting\n"), "{id}");
        assert!(first_run_of("failing"), "{id}");
        instance.wsl(&["--terminate", "failing"]).expect(0);
    }
    assert_eq!(instance.wsl(&["-d", "failing", "echo", "OK"]).text(), "OK\n");

    // O08: who imports an image wants it as it is.
    instance.import("imported", Path::new(plain), 2);
    assert!(!first_run_of("imported"), "O08");
    assert_eq!(said("imported").expect(0).all(), "", "O08");

    // N34: a list and an archive on a server, a command that makes a user, who is the default one from then on.
    let web = Web::new();
    let conf = "[oobe]\ncommand = /bin/sh -c 'echo OOBE && echo my:x:1011:1011::/:/bin/sh >> /etc/passwd'\n \
                defaultUid = 1011\n";
    let tar = image(&instance, "end2end.tar", conf);
    let url = web.put("/distro.tar", Answer::File(tar.clone()));
    let list = flavor("end2end", &[default(version("end2end", "FriendlyName", &url, &sha256(&tar)))]);
    set_lists(&instance, &web.put("/", Answer::Bytes(list.to_string().into_bytes())), None);
    let output = install(&instance, &["end2end"]);
    assert_eq!(
        output.expect(0).text(),
        "Downloading: FriendlyName\nInstalling: FriendlyName\n\
         Distribution successfully installed. It can be launched via 'wsl -d end2end'\n"
    );
    assert_eq!(output.errors(), "");
    assert_eq!(said("end2end").expect(0).all(), "OOBE\n");
    assert_eq!(said("end2end").expect(0).all(), "");
    assert_eq!(instance.wsl(&["-d", "end2end", "id", "-u"]).text(), "1011\n");
    assert_eq!(entry(&instance, "end2end").default_uid, 1011);

    // Without `--no-launch` that shell follows at once.
    let output = instance.wsl(&["--install", "end2end", "--name", "launched"]);
    assert!(output.expect(0).text().ends_with("Launching launched...\nOOBE\n"), "{output}");
}
