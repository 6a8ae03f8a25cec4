//! Rows of a section, and the count of them.

use std::collections::BTreeSet;
use std::ffi::OsString;

use sampan_model::wsl::args::{Command, parse};
use sampan_model::wsl::error::Failure;

use crate::links;

/// Whether a row can be replayed as it is (`L`) or with another fixture (`A`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    L,
    A,
}

/// Where a row is checked.
#[derive(Debug)]
pub(crate) enum Place<C> {
    /// Here.
    Here(C),
    /// In `tests/e2e`, in this file of its cases, which names the row; here what can be said without a system.
    System(&'static str, Vec<C>),
    /// Nowhere, and why.
    NotMet(&'static str),
}

/// A row: its number, its mark, and where it is checked.
pub(crate) type Row<C> = (&'static str, Mark, Place<C>);

/// Checks all rows and prints the count. `counts` are those of the table: rows marked `L`, rows marked `A`.
pub(crate) fn check<C>(section: u8, counts: (usize, usize), rows: &[Row<C>], checker: impl Fn(&str, &C)) {
    let of = |mark| rows.iter().filter(|(_, found, _)| *found == mark).count();
    assert_eq!((of(Mark::L), of(Mark::A)), counts, "section {section}: rows marked L and A");
    let ids: BTreeSet<&str> = rows.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids.len(), rows.len(), "section {section}: a row stands twice");

    let (mut met, mut not_met, mut system) = (0, 0, 0);
    for (id, _, place) in rows {
        match place {
            Place::Here(case) => {
                met += 1;
                checker(id, case);
            }
            Place::System(file, cases) => {
                system += 1;
                links::assert_named(id, &format!("tests/e2e/tests/cases/{file}"));
                for case in cases {
                    checker(id, case);
                }
            }
            Place::NotMet(reason) => {
                not_met += 1;
                println!("  {id}: not met: {reason}");
            }
        }
    }
    println!("section {section}: {met} met, {not_met} not met, {system} in tests/e2e");
}

/// What can be said of a command or a message without a system.
#[derive(Debug)]
pub(crate) enum Case {
    /// These words are refused with this text.
    Refused(&'static [&'static str], String),
    /// These words are understood as this.
    Parsed(&'static [&'static str], Command),
    /// This failure is printed as this.
    Printed(Failure, String),
}

/// Checks a [`Case`].
pub(crate) fn check_case(id: &str, case: &Case) {
    match case {
        Case::Refused(words, text) => {
            let error = parse(&os(words)).expect_err(id);
            assert_eq!(error.render(), *text, "{id}: {words:?}");
        }
        Case::Parsed(words, command) => {
            assert_eq!(parse(&os(words)).as_ref(), Ok(command), "{id}: {words:?}");
        }
        Case::Printed(failure, text) => assert_eq!(failure.render(), *text, "{id}"),
    }
}

/// Words as the system hands them over.
pub(crate) fn os(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// `message` and the line with the code.
pub(crate) fn coded(message: &str, code: &str) -> String {
    format!("{message}\nError code: {code}\n")
}
