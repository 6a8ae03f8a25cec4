//! Section 2: which command runs.
//!
//! The inputs are what stands behind `wsl.exe ` as one string. A shell splits them here, so a line for the distribution's
//! shell is one word, and behind `--exec` stand the words that Windows makes of the string. The default user is root.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command as Program;

use sampan_model::session::{Folder, Program as Session};
use sampan_model::words::Word;
use sampan_model::wsl::args::{Command, RunOptions, parse};

use crate::table::Mark::{A, L};
use crate::table::{Place, check, os};

/// Words, and what the command that they mean prints.
struct Case {
    words: Vec<OsString>,
    prints: Vec<u8>,
}

fn shell(line: &str, prints: &str) -> Place<Case> {
    Place::Here(Case { words: os(&[line]), prints: prints.into() })
}

fn exec(words: &[&str], prints: &str) -> Place<Case> {
    let words = [&["--exec"], words].concat();
    Place::Here(Case { words: os(&words), prints: prints.into() })
}

#[test]
fn section_2_which_command_runs() {
    let long = "x".repeat(4096);
    let rows = [
        ("C01", A, shell(r#"echo -n \""#, r#"""#)),
        ("C02", A, shell(r"echo -n \'", "'")),
        ("C04", A, shell("echo -n $USER", "root")),
        ("C05", A, shell(r#"echo -n "$USER""#, "root")),
        ("C07", A, shell(r#"echo -n '\"$USER\"'"#, r#"\"$USER\""#)),
        ("C08", A, shell("echo -n '$USER'", "$USER")),
        ("C10", A, shell(r#"echo -n a "" b"#, "a  b")),
        ("C11", A, shell(r#"echo -n a b """#, "a b ")),
        ("C13", A, exec(&["echo", "-n", "a"], "a")),
        ("C14", A, exec(&["echo", "-n", "$USER"], "$USER")),
        ("C16", A, exec(&["echo", "-n", r#"a"b"#], r#"a"b"#)),
        ("C17", A, exec(&["echo", "-n", r#"""#], r#"""#)),
        ("C19", A, exec(&["echo", "foo", "", "bar"], "foo  bar\n")),
        ("C20", L, Place::Here(Case { words: os(&["echo", "LOW!"]), prints: "LOW!\n".into() })),
        ("C22", L, Place::System("sessions", Vec::new())),
        ("C23", L, Place::Here(Case { words: os(&["/bin/true", &long]), prints: Vec::new() })),
        ("C25", L, Place::System("sessions", Vec::new())),
        ("C26", L, Place::System("sessions", Vec::new())),
    ];
    check(2, (5, 13), &rows, |id, case| assert_eq!(printed(id, &case.words), case.prints, "{id}"));
}

#[test]
fn c22_a_folder_and_a_user() {
    let expected = Command::Run(RunOptions {
        target: sampan_model::wsl::service::Target::Default,
        user: Some("root".into()),
        folder: Some(Folder::Home),
        program: Session::Line { line: Word::from("pwd"), login: false },
        system: false,
    });
    assert_eq!(parse(&os(&["--cd", "~", "--user", "root", "pwd"])), Ok(expected));
}

/// Several words are a program and its arguments: each arrives as it is, whatever a shell would do with it.
#[test]
fn words_keep_their_meaning() {
    let hostile = [
        "a b",
        "",
        "'",
        "\"",
        "\\",
        "\\n",
        "$USER",
        "`id`",
        "$(id)",
        "*",
        "?",
        "[a]",
        "~",
        "#",
        "!",
        ";",
        "&",
        "|",
        "<",
        ">",
        "(",
        ")",
        "{a,b}",
        "a\nb",
        "\t",
        "-n",
        "--",
        "=",
        "=ls",
        "é",
        "it's \"it\"",
        "trailing\\",
    ];
    let words: Vec<&str> = ["printf", "<%s>"].into_iter().chain(hostile).collect();
    let expected: String = hostile.iter().flat_map(|word| ["<", word, ">"]).collect();
    assert_eq!(printed("words", &os(&words)), expected.as_bytes());
}

#[test]
fn every_byte_arrives() {
    let all: Vec<Vec<u8>> = (1..=u8::MAX).map(|byte| vec![b'a', byte, b'b']).collect();
    let bytes = all.iter().cloned().map(OsString::from_vec);
    let words: Vec<OsString> = os(&["printf", "<%s>"]).into_iter().chain(bytes).collect();
    let expected: Vec<u8> = all.iter().flat_map(|word| [b"<", word.as_slice(), b">"].concat()).collect();
    assert_eq!(printed("bytes", &words), expected);
}

/// Runs what `words` mean, with `sh` as the user's shell.
#[expect(
    clippy::disallowed_methods,
    reason = "what a shell makes of the line is the question; sh answers at once"
)]
fn printed(id: &str, words: &[OsString]) -> Vec<u8> {
    let Ok(Command::Run(options)) = parse(words) else {
        panic!("{id}: no command");
    };
    let mut program = match options.program {
        Session::Line { line, login: false } => {
            let mut shell = Program::new("sh");
            shell.arg("-c").arg(line.into_os_string());
            shell
        }
        Session::Exec { words } => {
            let mut words = words.into_iter().map(Word::into_os_string);
            let mut program = Program::new(words.next().expect("a program"));
            program.args(words);
            program
        }
        other => panic!("{id}: {other:?}"),
    };
    let output = program.env("USER", "root").output().expect("the program starts");
    assert!(output.status.success(), "{id}: {output:?}");
    output.stdout
}
