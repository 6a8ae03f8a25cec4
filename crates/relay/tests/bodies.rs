//! The checks of the fuzz target, on bodies made here: they hold on every `cargo test`, without a fuzzer.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[path = "../../../fuzz/bodies.rs"]
pub mod checks;

/// Keys that mean something to the proxy, some as only Go's decoder takes them, and some that mean nothing.
const KEYS: &[&str] = &[
    "HostConfig",
    "hostconfig",
    "HO\u{17f}TCONFIG",
    "Binds",
    "binds",
    "Mounts",
    "Type",
    "type",
    "Source",
    "\u{17f}ource",
    "Target",
    "VolumeOptions",
    "DriverConfig",
    "Options",
    "DriverOpts",
    "o",
    "device",
    "TaskTemplate",
    "ContainerSpec",
    "Labels",
    "Env",
    "message",
    "Volumes",
    "Image",
    "ü",
    "",
];

const TEXTS: &[&str] = &[
    "bind",
    "volume",
    "rbind,ro",
    "/a:/b",
    "/a b/ü:/c:ro",
    "/views/x/a",
    "/views/x",
    "/views",
    "see /views/x/a, /views/y",
    "/no/way:/x",
    "/no",
    "name:/x",
    ":/x",
    "/",
    "",
    "\u{0}",
    "\u{1f4a9}",
    "/a\u{2028}:/b",
    "\\\"",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => prop::sample::select(TEXTS).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

/// Any JSON, often with keys that mean something.
fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(6, 64, 6, |inner| {
        let key = prop_oneof![8 => prop::sample::select(KEYS).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// JSON around what is at the places where Docker has paths.
fn body() -> impl Strategy<Value = Value> {
    (any_json(), any_json(), any_json(), prop::collection::vec(leaf(), 0..4)).prop_map(|(a, b, c, binds)| {
        json!({
            "Image": a, "HostConfig": { "Binds": binds, "Mounts": [{ "Type": "bind", "Source": "/m", "X": b }, c] },
            "Labels": { "a": "/views/x/l" }, "DriverOpts": { "o": "bind", "device": "/d" },
            "TaskTemplate": { "ContainerSpec": { "Mounts": [{ "Type": "bind", "Source": "/s" }, b] } },
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        checks::bodies(&data);
    }

    #[test]
    fn any_body(value in any_json()) {
        checks::bodies(value.to_string().as_bytes());
    }

    #[test]
    fn bodies_with_paths(value in body(), cut in any::<prop::sample::Index>()) {
        let text = value.to_string();
        checks::bodies(text.as_bytes());
        checks::bodies(&text.as_bytes()[..cut.index(text.len())]);
    }
}
