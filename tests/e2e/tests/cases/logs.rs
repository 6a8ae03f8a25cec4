//! `sampan logs`.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{roots, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("logs::every_unit_has_lines", units),
        Case::new("logs::following_shows_what_happens_now", follow),
        Case::new("logs::a_distribution_has_one_too", distribution),
        Case::new("logs::an_unknown_unit_is_refused_with_the_known_ones", unknown),
    ]
}

fn units() {
    let instance = shared::main();
    instance.sampan(&["logs"]).expect(0);
    for unit in ["sampand", "containerd", "dockerd"] {
        let output = instance.sampan(&["logs", "--unit", unit]);
        assert!(!output.ok().is_empty(), "{output}");
    }
    instance.sampan(&["logs", "--unit", "dockerd"]).says("API listen on");
}

fn follow() {
    let instance = shared::main();
    let follower = instance.tool(&["logs", "-f", "--unit", "dockerd"]).spawn();
    // An old line shows that it listens before something new happens.
    follower.wait_for_text("API listen on");
    instance.docker(&["pull", "127.0.0.1:9/e2e/followed"]).expect_failure();
    follower.wait_for_text("127.0.0.1:9/v2");
    assert!(!follower.has_ended(), "it follows until it is stopped");
    follower.kill();
}

fn distribution() {
    let instance = Instance::new();
    instance.import("d", &roots::small(), 2);
    instance.import("hub", &roots::small(), 2);
    instance.inside("d", "true").ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    let output = instance.sampan(&["logs", "D"]);
    assert!(output.ok().contains("shutting down"), "{output}");
    let follower = instance.tool(&["logs", "-f", "--unit", "d"]).spawn();
    // An old line shows that it listens before something new happens.
    follower.wait_for_text("shutting down");
    instance.inside("d", "printf '[boot]\\ncommand=exit 9\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.inside("d", "true").ok();
    follower.wait_for_text("boot.command failed");
    follower.kill();
    // A unit of that name goes before.
    let guid = instance.registry().find("hub").map(|entry| entry.guid).expect("it is installed");
    instance.sampan(&["logs", "hub"]).expect(0).says("is the unit hub").says(&guid.to_string());
    // Without the service too.
    instance.service().kill_and_wait();
    assert!(instance.sampan(&["logs", "d"]).ok().contains("shutting down"));
}

fn unknown() {
    let instance = shared::main();
    instance.sampan(&["logs", "--unit", "nonsense"]).expect(2).says("nonsense").says("dockerd");
}
