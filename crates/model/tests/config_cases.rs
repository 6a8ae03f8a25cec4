//! The case tables for `/etc/wsl.conf` and `.wslconfig`, by the IDs they have there, and what holds for any
//! bytes.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use sampan_model::config::distro::WslConf;
use sampan_model::config::host::{HostFacts, WslConfig};
use sampan_model::config::{self, ConfigFile, edit};

#[path = "config_cases/fuzz.rs"]
pub mod fuzz;
#[path = "wsl_cases/links.rs"]
mod links;
#[path = "config_cases/wsl_conf.rs"]
mod wsl_conf;
#[path = "config_cases/wslconfig.rs"]
mod wslconfig;

const HOST: HostFacts = HostFacts { memory_bytes: 16 << 30, processors: 8 };

/// One input of a row; a row with several inputs is here several times.
struct Row {
    id: &'static str,
    input: &'static [u8],
    check: Check,
}

type Pairs = &'static [(&'static str, &'static str)];

enum Check {
    /// Read: keys with their values, and all warnings.
    Reads { values: Pairs, warnings: &'static [&'static str] },
    /// Read: keys with their values, and the warning at which reading ends; empty for none.
    Stops { values: Pairs, warning: &'static str },
    /// Set the key to each of the first values in turn: it reads as the second.
    Round { key: &'static str, values: Pairs },
    /// Set the keys: the file has these bytes.
    Changes { set: Pairs, output: &'static [u8] },
    /// The file cannot be opened, for this reason: it reads as if it were empty, with this warning.
    Unopened { reason: &'static str, warning: &'static str },
}

const fn reads(
    id: &'static str,
    input: &'static [u8],
    values: Pairs,
    warnings: &'static [&'static str],
) -> Row {
    Row { id, input, check: Check::Reads { values, warnings } }
}

const fn stops(id: &'static str, input: &'static [u8], values: Pairs, warning: &'static str) -> Row {
    Row { id, input, check: Check::Stops { values, warning } }
}

const fn round(id: &'static str, input: &'static [u8], key: &'static str, values: Pairs) -> Row {
    Row { id, input, check: Check::Round { key, values } }
}

const fn changes(id: &'static str, input: &'static [u8], set: Pairs, output: &'static [u8]) -> Row {
    Row { id, input, check: Check::Changes { set, output } }
}

const fn unopened(id: &'static str, reason: &'static str, warning: &'static str) -> Row {
    Row { id, input: b"", check: Check::Unopened { reason, warning } }
}

/// What is wrong with a row, if anything is.
fn failure<C: ConfigFile>(row: &Row, path: &str, host: &C::Host) -> Option<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, found: String, wanted: String| {
        if found != wanted {
            wrong.push(format!("{what} is {found}, not {wanted}"));
        }
    };
    let value = |input: &[u8], key: &str| {
        config::get(&config::parse::<C>(input, path, host).config, key).expect("a known key")
    };
    match &row.check {
        Check::Reads { values, warnings } => {
            let parsed = config::parse::<C>(row.input, path, host);
            let found: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
            compare("what is said", format!("{found:#?}"), format!("{warnings:#?}"));
            compare("the end", format!("{:?}", parsed.stopped_at), "None".to_owned());
            for (key, wanted) in *values {
                compare(key, value(row.input, key), (*wanted).to_owned());
            }
        }
        Check::Stops { values, warning } => {
            let parsed = config::parse::<C>(row.input, path, host);
            let found: Vec<String> = parsed.warnings.iter().map(ToString::to_string).collect();
            compare("what is said", found.join("\n"), (*warning).to_owned());
            let line = warning.rsplit(':').next().filter(|line| !line.is_empty()).unwrap_or("1");
            compare("the end", format!("{:?}", parsed.stopped_at), format!("Some({line})"));
            for (key, wanted) in *values {
                compare(key, value(row.input, key), (*wanted).to_owned());
            }
        }
        Check::Round { key, values } => {
            let mut text = row.input.to_vec();
            for (written, wanted) in *values {
                text = edit::set::<C>(&text, key, written, host).expect("a valid value");
                compare(key, value(&text, key), (*wanted).to_owned());
            }
        }
        Check::Changes { set, output } => {
            let mut text = row.input.to_vec();
            for (key, value) in *set {
                text = edit::set::<C>(&text, key, value, host).expect("a valid value");
            }
            compare(
                "the file",
                format!("{:?}", String::from_utf8_lossy(&text)),
                format!("{:?}", String::from_utf8_lossy(output)),
            );
        }
        Check::Unopened { reason, warning } => {
            compare("what is said", config::unreadable(path, reason).to_string(), (*warning).to_owned());
            compare(
                "the end",
                format!("{:?}", config::parse::<C>(b"", path, host).warnings),
                "[]".to_owned(),
            );
        }
    }
    (!wrong.is_empty()).then(|| format!("{}: {}", row.id, wrong.join("; ")))
}

/// How many IDs are met, and how many are not.
fn tally<C: ConfigFile>(
    rows: &[Row],
    not_met: &[(&str, &str)],
    path: &str,
    host: &C::Host,
) -> (usize, usize) {
    let mut ids: BTreeMap<&str, bool> = BTreeMap::new();
    let mut failures = Vec::new();
    for row in rows {
        let failure = failure::<C>(row, path, host);
        *ids.entry(row.id).or_insert(true) &= failure.is_none();
        failures.extend(failure);
    }
    for (id, _) in not_met {
        assert!(ids.insert(id, false).is_none(), "{id} has a check and an excuse");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let met = ids.values().filter(|met| **met).count();
    (met, ids.len() - met)
}

#[test]
fn section_8_wsl_conf() {
    let (met, not_met) = tally::<WslConf>(wsl_conf::ROWS, &[], config::distro::PATH, &());
    println!("section 8: {met} met, {not_met} not met");
    assert_eq!((met, not_met), (31, 0));
}

#[test]
fn section_9_wslconfig() {
    let (met, not_met) = tally::<WslConfig>(wslconfig::ROWS, wslconfig::NOT_MET, "CFG", &HOST);
    let elsewhere = wslconfig::ELSEWHERE;
    println!("section 9: {met} met, {not_met} not met, {} in other tests", elsewhere.len());
    for (id, reason) in wslconfig::NOT_MET {
        println!("  {id} not met: {reason}");
    }
    for (id, file) in elsewhere {
        links::assert_named(id, file);
    }
    assert_eq!((met, not_met, elsewhere.len()), (40, 3, 1));
}
