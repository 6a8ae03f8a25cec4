//! The rows of the WSL case table that text alone decides, by their ID: sections 1 (paths), 6 (manifest), 7
//! (os-release) and 11 (host name, files below /etc, environment). Rows marked W there need Windows and are
//! not listed. What a row says beyond the text (that something is then installed or started) is seen end to
//! end only: in `tests/e2e`, by a case that names the row.
#![forbid(unsafe_code)]

#[path = "rules_cases/etc.rs"]
mod etc;
#[path = "wsl_cases/links.rs"]
mod links;
#[path = "rules_cases/manifest.rs"]
mod manifest;
#[path = "rules_cases/paths.rs"]
mod paths;
#[path = "rules_cases/properties.rs"]
mod properties;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// A section of the table, and what became of its rows.
struct Section {
    number: u8,
    ids: BTreeSet<&'static str>,
    rows: BTreeMap<&'static str, Row>,
    wrong: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Row {
    Met,
    NotMet(&'static str),
    EndToEnd(&'static str),
}

impl Section {
    /// `ids`: all rows of the section, separated by blanks.
    fn new(number: u8, ids: &'static str) -> Self {
        let ids = ids.split_whitespace().collect();
        Self { number, ids, rows: BTreeMap::new(), wrong: Vec::new() }
    }

    /// One check of a row. A row may have several.
    #[expect(clippy::needless_pass_by_value, reason = "a table reads better without a sea of &")]
    fn check<T: PartialEq + Debug>(&mut self, id: &'static str, got: T, expected: T) {
        if got != expected {
            self.wrong.push(format!("{id}: got {got:?}, expected {expected:?}"));
        }
        self.put(id, Row::Met);
    }

    /// Rows that the rules do not follow.
    fn not_met(&mut self, ids: &[&'static str], why: &'static str) {
        for id in ids {
            self.put(id, Row::NotMet(why));
        }
    }

    /// Rows that only a running system shows: in `tests/e2e`, in this file of its cases.
    fn end_to_end(&mut self, ids: &[&'static str], file: &'static str) {
        for id in ids {
            links::assert_named(id, &format!("tests/e2e/tests/cases/{file}"));
            self.put(id, Row::EndToEnd(file));
        }
    }

    fn put(&mut self, id: &'static str, row: Row) {
        assert!(self.ids.contains(id), "section {} has no row {id}", self.number);
        let before = self.rows.insert(id, row);
        assert!(before.is_none() || before.as_ref() == self.rows.get(id), "{id} is listed twice");
    }

    /// Prints the count and compares it with `[met, not met, end to end]`.
    #[expect(clippy::print_stdout, reason = "the count is what the reader of a test run looks for")]
    fn finish(self, expected: [usize; 3]) {
        let counts = [
            self.rows.values().filter(|row| **row == Row::Met).count(),
            self.rows.values().filter(|row| matches!(row, Row::NotMet(_))).count(),
            self.rows.values().filter(|row| matches!(row, Row::EndToEnd(_))).count(),
        ];
        let [met, not_met, end_to_end] = counts;
        println!("section {}: {met} met, {not_met} not met, {end_to_end} end-to-end", self.number);
        for (id, row) in &self.rows {
            match row {
                Row::Met => {}
                Row::NotMet(why) => println!("  {id} not met: {why}"),
                Row::EndToEnd(file) => println!("  {id} end-to-end: {file}"),
            }
        }
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        let missing: Vec<_> = self.ids.iter().filter(|id| !self.rows.contains_key(*id)).collect();
        assert!(missing.is_empty(), "rows without a word: {missing:?}");
        assert_eq!(counts, expected);
    }
}
