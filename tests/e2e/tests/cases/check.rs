//! `sampan check`: each prerequisite, what it is for, and what mends it.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_model::check::{Check, Outcome};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("check::tests_every_prerequisite_of_this_machine", rows),
        Case::new("check::the_table_for_people_has_every_row", table),
        Case::new("check::makes_nothing", makes_nothing),
    ]
}

/// What must be tested; each is part of the name of a row.
const TESTED: [&str; 18] = [
    "user namespace",
    "idmapped",
    "namespaces",
    "cgroup",
    "overlay",
    "loop",
    "discard",
    "nft",
    "mke2fs",
    "e2fsck",
    "gzip",
    "xz",
    "bzip2",
    "zstd",
    "qemu-img",
    "mmdebstrap",
    "disk",
    "memory",
];

fn checks(instance: &Instance) -> Vec<Check> {
    let output = instance.sampan(&["check", "--format", "json"]);
    output.expect(0);
    let json = output.json();
    let list = json.get("checks").unwrap_or(&json).clone();
    serde_json::from_value(list).unwrap_or_else(|error| panic!("no list of checks ({error}): {output}"))
}

fn rows() {
    let instance = Instance::new();
    let checks = checks(&instance);
    for tested in TESTED {
        let found = checks.iter().any(|check| check.name.to_lowercase().contains(tested));
        assert!(found, "nothing tests `{tested}`: {checks:#?}");
    }
    // The other tests run distributions, which takes both.
    for name in ["user namespaces", "idmapped mounts"] {
        let check = checks.iter().find(|check| check.name == name).expect("it is tested");
        assert_eq!(check.outcome, Outcome::Pass, "{check:?}");
    }
    for check in &checks {
        assert!(!check.purpose.is_empty() && !check.found.is_empty(), "{check:?}");
        assert_ne!(check.outcome, Outcome::Fail, "this machine runs the other tests: {check:?}");
        assert!(check.outcome == Outcome::Pass || check.remedy.is_some(), "{check:?}");
    }
}

fn table() {
    let instance = Instance::new();
    let output = instance.sampan(&["check"]);
    output.expect(0);
    for check in checks(&instance) {
        output.says(&check.name);
    }
}

fn makes_nothing() {
    let instance = Instance::new();
    instance.sampan(&["check"]).expect(0);
    let left = sampan_e2e::traces::remains(instance.identity());
    assert!(left.is_empty(), "{left:?}");
}
