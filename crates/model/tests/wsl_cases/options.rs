//! Section 3: options of a verb.

use sampan_model::wsl::args::options::{Grammar, Opt};

use crate::table::Mark::L;
use crate::table::{Place, Row, check, os};

/// A grammar, a line, and what is found: values, flags that are on, flags that are off, words; or the error.
struct Case {
    options: &'static [Opt],
    line: &'static str,
    expected: Result<Expected, &'static str>,
}

struct Expected {
    values: &'static [(&'static str, Option<&'static str>)],
    on: &'static [&'static str],
    off: &'static [&'static str],
    words: &'static [&'static str],
}

const NOTHING: Expected = Expected { values: &[], on: &[], off: &[], words: &[] };

const ROWS: [Row<Case>; 7] = [
    (
        "A01",
        L,
        Place::Here(Case {
            options: &[Opt::value("--a"), Opt::value("--c"), Opt::value("--e")],
            line: "--a b --c d pos-value",
            expected: Ok(Expected {
                values: &[("--a", Some("b")), ("--c", Some("d")), ("--e", None)],
                words: &["pos-value"],
                ..NOTHING
            }),
        }),
    ),
    (
        "A02",
        L,
        Place::Here(Case {
            options: &[Opt::value("--a"), Opt::value("--e")],
            line: "--a b -- --c",
            expected: Ok(Expected {
                values: &[("--a", Some("b")), ("--e", None)],
                words: &["--c"],
                ..NOTHING
            }),
        }),
    ),
    (
        "A04",
        L,
        Place::Here(Case {
            options: &[Opt::value("--a")],
            line: "--a",
            expected: Err("Command line argument --a requires a value."),
        }),
    ),
    (
        "A05",
        L,
        Place::Here(Case {
            options: &[Opt::value("--a"), Opt::value("--e")],
            line: "--does-not-exist --a b -- --c",
            expected: Err("Invalid command line argument: --does-not-exist"),
        }),
    ),
    (
        "A07",
        L,
        Place::Here(Case {
            options: &[Opt::flag("--a"), Opt::flag("-a"), Opt::flag("-b"), Opt::flag("-c"), Opt::flag("-d")],
            line: "-abc pos-value",
            expected: Ok(Expected {
                on: &["-a", "-b", "-c"],
                off: &["-d", "--a"],
                words: &["pos-value"],
                ..NOTHING
            }),
        }),
    ),
    (
        "A08",
        L,
        Place::Here(Case {
            options: &[Opt::flag("-a"), Opt::flag("-c")],
            line: "-abc",
            expected: Err("Invalid command line argument: -abc"),
        }),
    ),
    (
        "A10",
        L,
        Place::Here(Case {
            options: &[Opt::flag("--foo")],
            line: "--foo -",
            expected: Ok(Expected { on: &["--foo"], words: &["-"], ..NOTHING }),
        }),
    ),
];

#[test]
fn section_3_options_of_a_verb() {
    check(3, (7, 0), &ROWS, |id, case| {
        let words = os(&case.line.split(' ').collect::<Vec<_>>());
        let found = Grammar { program: "dummy", options: case.options, words: 1 }.parse(&words);
        match &case.expected {
            Err(message) => {
                let expected =
                    format!("{message}\nPlease use 'dummy --help' to get a list of supported arguments.");
                assert_eq!(found.expect_err(id).to_string(), expected, "{id}");
            }
            Ok(expected) => {
                let found = found.expect(id);
                for (name, value) in expected.values {
                    assert_eq!(found.text(name).as_deref(), *value, "{id}: {name}");
                }
                for (names, on) in [(expected.on, true), (expected.off, false)] {
                    for name in names {
                        assert_eq!(found.has(name), on, "{id}: {name}");
                    }
                }
                assert_eq!(found.words(), expected.words, "{id}");
            }
        }
    });
}
