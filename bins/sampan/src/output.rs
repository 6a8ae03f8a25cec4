//! Standard output: the result, for people or for programs, and nothing else.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::cli::Format;
use crate::exit::{Kind, Problem};

/// Writes `text` as it is.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes one JSON document.
pub(crate) fn json<T: Serialize>(value: &T) -> io::Result<()> {
    let mut line = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    line.push('\n');
    text(&line)
}

/// Writes a line to standard error. That nobody reads it must not end the program.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints why the command failed and gives its exit code.
pub(crate) fn problem(format: Format, problem: &Problem) -> ExitCode {
    if problem.kind != Kind::OutputClosed {
        match format {
            Format::Pretty => note(&sentence(problem)),
            // The exit code tells the failure when standard output can't.
            Format::Json => drop(json(&json!({ "error": problem }))),
        }
    }
    problem.kind.exit().into()
}

/// Rows of names and values, the values one below the other.
pub(crate) fn table<N: AsRef<str>, V: AsRef<str>>(rows: &[(N, V)]) -> String {
    let width = rows.iter().map(|(name, _)| name.as_ref().chars().count()).max().unwrap_or(0) + 4;
    let mut table = String::new();
    for (name, value) in rows {
        let line = format!("{:<width$}{}", name.as_ref(), value.as_ref());
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// Lines of cells, which stand in columns.
pub(crate) fn columns<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0) + 4;
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

fn sentence(problem: &Problem) -> String {
    let mut lines = format!("sampan: {}", problem.message);
    if let Some(hint) = &problem.hint {
        let _ = write!(lines, "\nTo mend it: {hint}");
    }
    if !problem.log.is_empty() {
        lines.push_str("\nLast lines of its log:");
        for line in &problem.log {
            let _ = write!(lines, "\n    {line}");
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_a_column() {
        assert_eq!(
            table(&[("Name", "Value"), ("Engine version", "26.1"), ("x", "")]),
            "\
Name              Value
Engine version    26.1
x
"
        );
    }

    #[test]
    fn a_problem_is_a_sentence_its_remedy_and_its_log() {
        let problem =
            Problem::failed("dockerd ended with 1").hint("do this").log(vec!["a".into(), "b".into()]);
        assert_eq!(
            sentence(&problem),
            "sampan: dockerd ended with 1\nTo mend it: do this\nLast lines of its log:\n    a\n    b"
        );
    }
}
