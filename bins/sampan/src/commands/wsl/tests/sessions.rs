//! Sessions without a terminal.

use sampan_model::session::{End, Folder, Program, SessionSpec};
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Reply, Request, Target};

use super::fake::{Fake, Run, Said, failed};

fn ended(end: End) -> Vec<Reply> {
    vec![Reply::Ended { end }]
}

fn spec(said: &Said) -> &SessionSpec {
    match &said.heard[..] {
        [Request::Session { spec, .. }] => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_exit_code_is_the_command_s() {
    for (end, code) in
        [(End::Exited { code: 0 }, 0), (End::Exited { code: 7 }, 7), (End::Killed { signal: 9 }, 137)]
    {
        assert_eq!(Run::new(&["-e", "x"]).with(Fake::answering(ended(end))).code, code);
    }
}

#[test]
fn the_streams_are_the_caller_s_own() {
    let copy = Fake::reading(0, ended(End::Exited { code: 0 }));
    assert_eq!(Run::new(&["cat"]).input("typed").with(copy).read, "typed");
    let output = Fake::writing(1, "out", ended(End::Exited { code: 0 }));
    assert_eq!(Run::new(&["x"]).with(output).out, "out");
    let errors = Fake::writing(2, "err", ended(End::Exited { code: 0 }));
    assert_eq!(Run::new(&["x"]).with(errors).err, "err");
}

#[test]
fn what_to_run_and_as_whom() {
    let words = ["-d", "Debian", "-u", "ann", "--system", "echo", "a b"];
    let said = Run::new(&words).with(Fake::answering(ended(End::Exited { code: 0 })));
    let [Request::Session { target, system, spec }] = &said.heard[..] else { panic!("{:?}", said.heard) };
    assert_eq!((target, system), (&Target::Name { name: "Debian".to_owned() }, &true));
    assert_eq!(spec.user.as_deref(), Some("ann"));
    assert_eq!(spec.program, Program::Line { line: "echo 'a b'".into(), login: false });
    assert_eq!((spec.terminal, spec.first_run), (None, false));
}

#[test]
fn the_session_begins_where_the_caller_is_or_where_it_says() {
    let host = |path: &str| Folder::Host { path: path.into() };
    for (words, folder) in [
        (&["pwd"][..], host("/here")),
        (&["--cd", "below", "pwd"], host("/here/below")),
        (&["--cd", "..", "pwd"], host("/here/..")),
        (&["--cd", "/x", "pwd"], Folder::Inside { path: "/x".into() }),
        (&["--cd", "~", "pwd"], Folder::Home),
        (&["~"], Folder::Home),
    ] {
        let said = Run::new(words).with(Fake::answering(ended(End::Exited { code: 0 })));
        assert_eq!((&spec(&said).folder, said.err.as_str()), (&folder, ""), "{words:?}");
    }
    // What is the host's is not in the system's distribution.
    for (words, folder) in [
        (&["--system", "pwd"][..], Folder::Home),
        (&["--system", "--cd", "/x", "pwd"], Folder::Inside { path: "/x".into() }),
    ] {
        let said = Run::new(words).with(Fake::answering(ended(End::Exited { code: 0 })));
        assert_eq!(spec(&said).folder, folder, "{words:?}");
    }
    for (words, warned) in [(&["pwd"][..], true), (&["--cd", "below", "pwd"], true), (&["~", "pwd"], false)] {
        let said = Run::new(words).without_folder().with(Fake::answering(ended(End::Exited { code: 0 })));
        assert_eq!(spec(&said).folder, Folder::Home, "{words:?}");
        assert_eq!(said.err.contains("wsl: The current folder is gone"), warned, "{words:?}");
    }
}

/// Rows H32, H34, H37 and H38, up to the door: what is sent. Paths are translated inside.
#[test]
fn h32_to_h38_variables_that_wslenv_names_go_along() {
    let said = Run::new(&["x"])
        .variable("WSLENV", "a/u:c/w:p/pl:Empty/u")
        .variable("a", "b")
        .variable("c", "d")
        .variable("p", "/x:/y")
        .variable("Empty", "")
        .variable("TERM", "xterm")
        .variable("SECRET", "s")
        .with(Fake::answering(ended(End::Exited { code: 0 })));
    let variables: Vec<_> = spec(&said)
        .environment
        .iter()
        .map(|variable| (variable.name.display(), variable.value.display(), variable.paths))
        .collect();
    let row = |name: &str, value: &str, paths| (name.to_owned(), value.to_owned(), paths);
    assert_eq!(
        variables,
        [
            row("WSLENV", "a/u:c/w:p/pl:Empty/u", false),
            row("a", "b", false),
            row("p", "/x:/y", true),
            row("Empty", "", false)
        ]
    );
}

#[test]
fn warnings_of_the_start_do_not_mix_with_the_output() {
    let mut replies = vec![Reply::Warning { message: "Unknown key 'a.b' in /etc/wsl.conf:2".to_owned() }];
    replies.extend(ended(End::Exited { code: 0 }));
    let said = Run::new(&["x"]).with(Fake::answering(replies));
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "wsl: Unknown key 'a.b' in /etc/wsl.conf:2\n"));
}

#[test]
fn a_distribution_that_ends_first_is_told_beside_the_output() {
    let said = Run::new(&["x"]).with(Fake::answering(vec![]));
    assert_eq!((said.out.as_str(), said.code), ("", 255));
    assert_eq!(
        said.err,
        "wsl: The session was cut off: the distribution ended, or the leader of the session was killed.\n"
    );
}

#[test]
fn a_session_that_does_not_begin_is_a_failure() {
    let failure =
        Failure::new(Code::UserNotFound).in_context(Context::Service).in_context(Context::CreateInstance);
    let said = Run::new(&["-u", "nobody-here", "x"]).with(Fake::answering(failed(failure)));
    assert_eq!(said.out, "User not found.\nError code: Wsl/Service/CreateInstance/WSL_E_USER_NOT_FOUND\n");
    assert_eq!(said.code, 255);
}

#[test]
fn a_long_command_line_arrives_whole() {
    let long = "x".repeat(1 << 20);
    let said = Run::new(&["-e", "echo", &long]).with(Fake::answering(ended(End::Exited { code: 0 })));
    assert_eq!(spec(&said).program, Program::Exec { words: vec!["echo".into(), long.as_str().into()] });
    let too_long = "x".repeat(5 << 20);
    let said = Run::new(&["-e", "echo", &too_long]).with(Fake::answering(vec![]));
    assert!(said.out.starts_with("The command line is too long.\n") && said.code == 255, "{}", said.out);
}
