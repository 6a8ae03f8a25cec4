//! Section 15: layout of listings, and errors derived from the client's source.
//!
//! In the expected lines of `-l -v` and `-l -o` a middle dot stands for a blank.

use sampan_model::distro::DistroState;
use sampan_model::session::{Folder, Program};
use sampan_model::words::Word;
use sampan_model::wsl::args::{Command, ListOptions, RunOptions, parse};
use sampan_model::wsl::list::{self, Row};
use sampan_model::wsl::service::Target;
use sampan_model::wsl::{message, usage::USAGE};

use crate::table::Case::{Parsed, Refused};
use crate::table::Mark::{A, L};
use crate::table::Place::{Here, NotMet, System};
use crate::table::{Case, check, check_case, coded, os};

/// A check of its own, or one of those that all sections have.
enum Check {
    Shape(Case),
    Text(fn() -> String, &'static str),
    Test(fn()),
}

fn row(name: &str, state: DistroState, version: u8, default: bool) -> Row {
    Row { name: name.into(), state, version, default }
}

/// What `wsl` with these words prints for these distributions.
fn listing(words: &[&str], rows: &[Row]) -> String {
    match parse(&os(words)) {
        Ok(Command::List(options)) => {
            list::listing(options, rows).unwrap_or_else(|empty| format!("{empty}\n"))
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

/// Line `number` of `-l -v`, for the four distributions of the specification.
fn specified(number: usize) -> String {
    use DistroState::Running;
    let rows = [
        row("docker-desktop", Running, 2, false),
        row("CentOS7", Running, 2, false),
        row("docker-desktop-data", Running, 2, true),
        row("CentOS8", Running, 1, false),
    ];
    let text = listing(&["-l", "-v"], &rows);
    assert_eq!(text.lines().count(), 5);
    assert!(text.ends_with('\n') && !text.contains('\r'));
    dotted(text.lines().nth(number - 1).expect("one line for each row"))
}

fn dotted(line: &str) -> String {
    line.replace(' ', "·")
}

fn stopped(name: &str, default: bool) -> Row {
    row(name, DistroState::Stopped, 2, default)
}

fn online() -> String {
    list::online(&[("distro1".into(), "distro1Name".into())])
}

#[test]
fn section_15_layout() {
    let rows = [
        ("Q01", L, Here(Check::Text(|| specified(1), "··NAME···················STATE···········VERSION"))),
        ("Q02", L, Here(Check::Text(|| specified(2), "*·docker-desktop-data····Running·········2"))),
        ("Q03", L, Here(Check::Text(|| specified(3), "··docker-desktop·········Running·········2"))),
        ("Q04", L, Here(Check::Text(|| specified(4), "··CentOS7················Running·········2"))),
        ("Q05", L, Here(Check::Text(|| specified(5), "··CentOS8················Running·········1"))),
        (
            "Q07",
            L,
            Here(Check::Text(
                || dotted(&listing(&["-l", "-v"], &[stopped("a", true)])),
                "··NAME····STATE···········VERSION\n*·a·······Stopped·········2\n",
            )),
        ),
        (
            "Q08",
            L,
            Here(Check::Text(
                || dotted(&listing(&["-l", "-v"], &[stopped("a", false), stopped("b", false)])),
                "··NAME····STATE···········VERSION\n··a·······Stopped·········2\n··b·······Stopped·········2\n",
            )),
        ),
        ("Q10", L, Here(Check::Test(state_words))),
        (
            "Q11",
            L,
            Here(Check::Text(
                || dotted(&listing(&["-l", "-v", "--running"], &[stopped("a", false)])),
                "··NAME····STATE···········VERSION\n··a·······Stopped·········2\n",
            )),
        ),
        ("Q13", L, Here(Check::Test(exclusive_options))),
        (
            "Q14",
            L,
            Here(Check::Text(
                || listing(&["-l"], &[stopped("Debian", false), stopped("Ubuntu", true)]),
                "Windows Subsystem for Linux Distributions:\nUbuntu (Default)\nDebian\n",
            )),
        ),
        (
            "Q16",
            L,
            Here(Check::Text(
                || listing(&["-l", "-q"], &[stopped("Debian", false), stopped("Ubuntu", true)]),
                "Ubuntu\nDebian\n",
            )),
        ),
        ("Q17", L, Here(Check::Text(|| listing(&["-l", "-q"], &[]), ""))),
        ("Q19", L, Here(Check::Text(|| listing(&["-l", "--running", "-q"], &[stopped("a", true)]), ""))),
        (
            "Q20",
            L,
            Here(Check::Text(
                || online().lines().map(dotted_table).collect(),
                "The following is a list of valid distributions that can be installed.\n\
                 Install using 'wsl --install <Distro>'.\n\
                 \n\
                 NAME·······FRIENDLY·NAME\n\
                 distro1····distro1Name\n",
            )),
        ),
        (
            "Q22",
            L,
            Here(Check::Text(
                || message::status(Some("Ubuntu"), 2),
                "Default Distribution: Ubuntu\nDefault Version: 2\n",
            )),
        ),
        ("Q23", L, Here(Check::Text(|| message::status(None, 2), "Default Version: 2\n"))),
        ("Q25", L, NotMet("`2abc` and `2.5` are refused: whoever types them means something else than 2")),
        (
            "Q26",
            L,
            Here(Check::Shape(Refused(
                &["--set-version", "X"],
                coded("A version number could not be parsed. ", "Wsl/ERROR_VERSION_PARSE_ERROR"),
            ))),
        ),
        (
            "Q28",
            L,
            Here(Check::Shape(Refused(
                &["-d", "A", "-d", "B"],
                "The distribution name has already been set.\n".into(),
            ))),
        ),
        (
            "Q29",
            L,
            Here(Check::Shape(Refused(
                &["--bogus"],
                "Invalid command line argument: --bogus\n\
                 Please use 'wsl --help' to get a list of supported arguments.\n"
                    .into(),
            ))),
        ),
        (
            "Q31",
            A,
            NotMet(
                "every path is taken; a relative one is one of the host and begins in the caller's folder",
            ),
        ),
        (
            "Q32",
            L,
            Here(Check::Shape(Refused(
                &["--shell-type", "foo"],
                coded(
                    "The parameter is incorrect. \n'foo' is no shell type; use standard, login or none.",
                    "Wsl/E_INVALIDARG",
                ),
            ))),
        ),
        ("Q34", L, System("wsl_errors", Vec::new())),
        ("Q35", L, System("wsl_rows", Vec::new())),
        (
            "Q37",
            L,
            Here(Check::Shape(Refused(&["--export", "D", "f", "--format", "tar.gz", "--vhd"], USAGE.into()))),
        ),
    ];
    check(15, (25, 1), &rows, |id, case| match case {
        Check::Shape(case) => check_case(id, case),
        Check::Text(text, expected) => assert_eq!(text(), *expected, "{id}"),
        Check::Test(test) => test(),
    });
}

/// Dots in the table only, which begins with its heading.
fn dotted_table(line: &str) -> String {
    let in_table = line.starts_with("NAME") || line.starts_with("distro1");
    format!("{}\n", if in_table { dotted(line) } else { line.to_owned() })
}

/// What the registry says is an enum here, so there is no "anything else".
fn state_words() {
    use DistroState as S;
    let states = [S::Stopped, S::Running, S::Installing, S::Uninstalling, S::Converting, S::Exporting];
    let rows: Vec<Row> = states.iter().map(|state| row("a", *state, 2, false)).collect();
    let text = listing(&["-l", "-v"], &rows);
    let words: Vec<&str> =
        text.lines().skip(1).map(|line| line.split_whitespace().nth(1).expect("a state")).collect();
    assert_eq!(words, ["Stopped", "Running", "Installing", "Uninstalling", "Converting", "Exporting"]);
}

fn exclusive_options() {
    for words in
        [&["-l", "-v", "-q"][..], &["-l", "--all", "--running"], &["-l", "-v", "-o"], &["-l", "--all", "-o"]]
    {
        check_case("Q13", &Refused(words, USAGE.into()));
    }
    let online = ListOptions { online: true, quiet: true, ..ListOptions::default() };
    check_case("Q13", &Parsed(&["-l", "-q", "-o"], Command::List(online)));
}

#[test]
fn q25_only_whole_words_are_versions() {
    for word in ["2abc", "2.5"] {
        let text = parse(&os(&["--set-default-version", word])).unwrap_err().render();
        assert_eq!(text, coded("A version number could not be parsed. ", "Wsl/ERROR_VERSION_PARSE_ERROR"));
    }
}

#[test]
fn q31_a_relative_folder() {
    let expected = Command::Run(RunOptions {
        target: Target::Default,
        user: None,
        folder: Some(Folder::Host { path: Word::from("relative") }),
        program: Program::Shell { login: true },
        system: false,
    });
    check_case("Q31", &Parsed(&["--cd", "relative"], expected));
}
