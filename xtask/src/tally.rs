//! Sums up what the test programs print, so that `make test` can end with one true line.

use std::fmt;

/// What happened, over all test programs of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// What failed, in order: names of tests, or of steps that broke as a whole.
    failures: Vec<String>,
    /// What was skipped, with its reason where the test gave one.
    skips: Vec<String>,
}

impl Tally {
    /// Takes one line of a test program's output; everything but results is ignored.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(sums) = line.strip_prefix("test result: ") {
            self.passed += count(sums, "passed");
            self.failed += count(sums, "failed");
            self.skipped += count(sums, "ignored");
        } else if let Some((name, result)) =
            line.strip_prefix("test ").and_then(|test| test.rsplit_once(" ... "))
        {
            let name = name.trim_end();
            if result == "FAILED" {
                self.failures.push(name.to_owned());
            } else if let Some(reason) = result.strip_prefix("ignored") {
                self.skips.push(format!("{name}{reason}"));
            }
        }
    }

    /// Adds a step that failed as a whole: it did not build, or its process died before it could count.
    pub(crate) fn step_failed(&mut self, step: &str) {
        self.failed += 1;
        self.failures.push(step.to_owned());
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(crate) fn skips(&self) -> &[String] {
        &self.skips
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(sums: &str, word: &str) -> u64 {
    sums.split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(word))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_programs_and_keeps_names() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test registry::tests::damaged ... ok",
            "test disk::grows ... ignored, needs root",
            "test cgroup::limits ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.20s",
            "a test may print: test result",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.to_string(), "5 passed, 1 failed, 1 skipped");
        assert_eq!(tally.failures(), ["cgroup::limits"]);
        assert_eq!(tally.skips(), ["disk::grows, needs root"]);
    }

    #[test]
    fn reads_the_padded_names_of_libtest_mimic() {
        let mut tally = Tally::default();
        tally.read("test first_start          ... ignored");
        tally.read("test not: this            ... ignored (needs root)");
        assert_eq!(tally.skips(), ["first_start", "not: this (needs root)"]);
    }

    #[test]
    fn a_step_that_broke_is_a_failure() {
        let mut tally = Tally::default();
        tally.step_failed("building the programs");
        assert_eq!(tally.failed(), 1);
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 0 skipped");
    }
}
