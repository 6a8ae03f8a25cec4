//! `sampan logs`.

use sampan_e2e::case::Case;
use sampan_e2e::shared;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("logs::every_unit_has_lines", units),
        Case::new("logs::following_shows_what_happens_now", follow),
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

fn unknown() {
    let instance = shared::main();
    instance.sampan(&["logs", "--unit", "nonsense"]).expect(2).says("nonsense").says("dockerd");
}
