//! Section Q: the layout of listings, and what is refused.

use sampan_model::wsl::service::{Reply, Request};
use sampan_model::wsl::usage::USAGE;

use super::{Row, VERSION, section};
use crate::commands::wsl::tests::distribution;

#[test]
fn q_layout() {
    let list = |request: &Request| *request == Request::List;
    let two = || Reply::Distributions {
        distributions: vec![distribution("Debian", false), distribution("Ubuntu", true)],
    };
    let none = || Reply::Distributions { distributions: Vec::new() };
    let bogus = "Invalid command line argument: --bogus\n\
                 Please use 'wsl --help' to get a list of supported arguments.\n";
    let refused = |id, words, text: &str| Row::refused(id, words, text);
    let rows = vec![
        Row::succeeds(
            "Q11",
            &["-l", "-v", "--running"],
            list,
            Reply::Distributions { distributions: vec![distribution("a", true)] },
            "··NAME····STATE···········VERSION\n*·a·······Stopped·········2\n".replace('·', " "),
        ),
        refused("Q13", &["-l", "-v", "-q"], USAGE),
        refused("Q13", &["-l", "--all", "--running"], USAGE),
        refused("Q13", &["-l", "-v", "-o"], USAGE),
        refused("Q13", &["-l", "--all", "-o"], USAGE),
        Row::succeeds(
            "Q14",
            &["-l"],
            list,
            two(),
            "Windows Subsystem for Linux Distributions:\nUbuntu (Default)\nDebian\n",
        ),
        Row::succeeds("Q16", &["-l", "-q"], list, two(), "Ubuntu\nDebian\n"),
        Row::succeeds("Q17", &["-l", "-q"], list, none(), ""),
        Row::succeeds("Q19", &["-l", "--running", "-q"], list, two(), ""),
        Row::succeeds(
            "Q20",
            &["-l", "-o"],
            |request| *request == Request::Online,
            Reply::Online { rows: vec![("distro1".to_owned(), "distro1Name".to_owned())] },
            "The following is a list of valid distributions that can be installed.\n\
             Install using 'wsl --install <Distro>'.\n\n\
             NAME·······FRIENDLY·NAME\ndistro1····distro1Name\n"
                .replace('·', " "),
        ),
        Row::succeeds(
            "Q22",
            &["--status"],
            |request| *request == Request::Status,
            Reply::Status { default: Some("Ubuntu".to_owned()), version: 2 },
            "Default Distribution: Ubuntu\nDefault Version: 2\n",
        ),
        Row::succeeds(
            "Q23",
            &["--status"],
            |request| *request == Request::Status,
            Reply::Status { default: None, version: 2 },
            "Default Version: 2\n",
        ),
        refused("Q26", &["--set-version", "X"], VERSION),
        refused("Q28", &["-d", "A", "-d", "B"], "The distribution name has already been set.\n"),
        refused("Q29", &["--bogus"], bogus),
        refused(
            "Q32",
            &["--shell-type", "foo"],
            "The parameter is incorrect. \n'foo' is no shell type; use standard, login or none.\n\
             Error code: Wsl/E_INVALIDARG\n",
        ),
        refused(
            "Q34",
            &["--import", "D", "dir/sub/deep", "f"],
            "The system cannot find the path specified. \nError code: Wsl/ERROR_PATH_NOT_FOUND\n",
        ),
        refused(
            "Q35",
            &["--import", "D", "newdir", "missing.tar"],
            "The system cannot find the file specified. \nError code: Wsl/ERROR_FILE_NOT_FOUND\n",
        ),
        refused("Q37", &["--export", "D", "f", "--format", "tar.gz", "--vhd"], USAGE),
    ];
    section(
        "Q",
        rows,
        &[
            ("Q25", "only whole words are versions: `2abc` is refused, on purpose"),
            ("Q31", "a relative --cd is a folder of the host, from the caller's own"),
        ],
    );
}
