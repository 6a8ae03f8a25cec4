//! The project's own tools, run as `cargo xtask COMMAND`.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal: printing is its job"
)]

mod bench;
mod codegen;
mod conformance;
mod debian;
mod gates;
mod lint;
mod tally;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test      lint, then all tests, then one line with the sum
  lint      form, clippy, documentation and the gates
  gates     only the project's own gates (xtask/src/gates)
  codegen   write the generated files that are kept in the repository
  bench     cold start, sessions, import and export beside plain programs, and
            the Docker socket beside dockerd's own (as root; needs `make build`)
            [--runs N] [--image FILE] [--only starts|proxy]
  conformance
            the tests of a Docker client at dockerd's socket and at ours (as
            root; needs `make build`)
            [--image FILE] [--test NAME]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", arguments.as_slice()),
    };
    let outcome = match (command, rest) {
        ("test", []) => test::run(),
        ("lint", []) => lint::run(),
        ("gates", []) => gates::run(),
        ("codegen", []) => codegen::run(),
        ("bench", options) => bench::run(options),
        ("conformance", options) => conformance::run(options),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
