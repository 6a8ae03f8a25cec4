//! Where the time of a start went.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sampan_model::engine::{Mark, Stage};
use serde::Serialize;

/// One row of the time line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// The stage.
    pub(crate) stage: Stage,
    /// When it began, counted from the start of this program.
    pub(crate) offset_ms: f64,
    /// How long it took: until the next stage began, or the end.
    pub(crate) duration_ms: f64,
}

/// Now, in microseconds of `CLOCK_MONOTONIC`: the clock that service and guests use too.
pub(crate) fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1000
}

/// The rows of `marks` that lie between `began_us` and `ended_us`, in order of time.
pub(crate) fn rows(marks: &[Mark], began_us: u64, ended_us: u64) -> Vec<Row> {
    let mut marks: Vec<&Mark> =
        marks.iter().filter(|mark| (began_us..=ended_us).contains(&mark.at_us)).collect();
    marks.sort_by_key(|mark| mark.at_us);
    let ends = marks.iter().skip(1).map(|mark| mark.at_us).chain([ended_us]);
    let row = |(mark, end): (&&Mark, u64)| Row {
        stage: mark.stage,
        offset_ms: ms(mark.at_us - began_us),
        duration_ms: ms(end - mark.at_us),
    };
    marks.iter().zip(ends).map(row).collect()
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.stage.message().len()).max().unwrap_or(0).max("Stage".len()) + 2;
    let mut table = format!("{:<width$}{:>12}{:>12}\n", "Stage", "at", "took");
    for row in rows {
        let line =
            format!("{:<width$}{:>9.1} ms{:>9.1} ms\n", row.stage.message(), row.offset_ms, row.duration_ms);
        table.push_str(&line);
    }
    table
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_lasts_until_the_next() {
        let mark = |stage, at_us| Mark { stage, at_us };
        let marks = [mark(Stage::Hub, 3_000), mark(Stage::Service, 1_000), mark(Stage::Dockerd, 10)];
        let rows = rows(&marks, 1_000, 10_500);
        let found: Vec<(Stage, f64, f64)> =
            rows.iter().map(|row| (row.stage, row.offset_ms, row.duration_ms)).collect();
        assert_eq!(found, [(Stage::Service, 0.0, 2.0), (Stage::Hub, 2.0, 7.5)]);
        assert_eq!(
            table(&rows),
            "\
Stage                           at        took
starting the service        0.0 ms      2.0 ms
starting the hub            2.0 ms      7.5 ms
"
        );
    }
}
