//! Section 4: errors, usage and exit codes.

use sampan_model::distro::{DistroState, Guid};
use sampan_model::session::Program;
use sampan_model::words::Word;
use sampan_model::wsl::args::{Command, ImportOptions, ManageAction, RunOptions, Source, UsageError, parse};
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::list::{self, Row};
use sampan_model::wsl::service::Target;
use sampan_model::wsl::usage::USAGE;
use sampan_model::wsl::{args::ListOptions, message};

use crate::table::Case::{Parsed, Printed, Refused};
use crate::table::Mark::{A, L};
use crate::table::Place::{Here, NotMet, System};
use crate::table::{check, check_case, coded, os};

const NO_POLICY: &str =
    "there are no group policies on Linux; what the administrator of a machine may do is root's";

const GUIDS: [&str; 3] = [
    "1234567a-1234-5678-1234-567812345678",
    "{1234567a-1234-5678-1234-567812345678}",
    "1234567A-1234-5678-1234-567812345678",
];

fn failure(code: Code, contexts: &[Context]) -> Failure {
    let inner = contexts.iter().fold(Failure::new(code), |failure, context| failure.in_context(*context));
    inner.in_context(Context::Service).in_context(Context::Wsl)
}

fn not_found() -> Failure {
    failure(Code::DistroNotFound, &[])
}

fn not_found_text() -> String {
    coded("There is no distribution with the supplied name.", "Wsl/Service/WSL_E_DISTRO_NOT_FOUND")
}

fn run(target: Target, line: &str) -> Command {
    Command::Run(RunOptions {
        target,
        user: None,
        folder: None,
        program: Program::Line { line: Word::from(line), login: false },
        system: false,
    })
}

fn manage(name: &str, action: ManageAction) -> Command {
    Command::Manage { name: name.into(), action }
}

#[test]
fn section_4_errors_usage_and_exit_codes() {
    let id: Guid = GUIDS[0].parse().unwrap();
    let by_id = |guid: &'static [&'static str; 5]| Parsed(guid, run(Target::Id { id }, "echo -n OK"));
    let rows = [
        (
            "E01",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["-d", "DoesNotExist", "echo", "foo"],
                        run(Target::Name { name: "DoesNotExist".into() }, "echo foo"),
                    ),
                    Printed(not_found(), not_found_text()),
                ],
            ),
        ),
        ("E02", L, System("wsl_errors", vec![Printed(not_found(), not_found_text())])),
        (
            "E04",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["--manage", "nonexistent", "--set-default-user", "root"],
                        manage("nonexistent", ManageAction::SetDefaultUser("root".into())),
                    ),
                    Printed(not_found(), not_found_text()),
                ],
            ),
        ),
        (
            "E05",
            L,
            Here(Refused(
                &["--distribution-id", "InvalidGuid"],
                coded("The parameter is incorrect. ", "Wsl/E_INVALIDARG"),
            )),
        ),
        (
            "E07",
            L,
            System(
                "life",
                vec![
                    by_id(&["--distribution-id", GUIDS[0], "echo", "-n", "OK"]),
                    by_id(&["--distribution-id", GUIDS[1], "echo", "-n", "OK"]),
                    by_id(&["--distribution-id", GUIDS[2], "echo", "-n", "OK"]),
                ],
            ),
        ),
        (
            "E08",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["--import", "a", "b", "c"],
                        Command::Import(ImportOptions {
                            name: "a".into(),
                            location: "b".into(),
                            source: Source::File("c".into()),
                            version: None,
                            vhd: false,
                        }),
                    ),
                    Printed(
                        Failure::new(Code::FileNotFound).in_context(Context::Wsl),
                        coded("The system cannot find the file specified. ", "Wsl/ERROR_FILE_NOT_FOUND"),
                    ),
                ],
            ),
        ),
        (
            "E10",
            L,
            Here(Refused(
                &["--set-default-version", "3"],
                coded("A version number could not be parsed. ", "Wsl/ERROR_VERSION_PARSE_ERROR"),
            )),
        ),
        (
            "E11",
            L,
            Here(Refused(
                &["--manage", "test_distro", "--resize", "foo"],
                coded("Invalid size: foo", "Wsl/E_INVALIDARG"),
            )),
        ),
        ("E13", L, Here(Refused(&["--manage", "--move", "."], USAGE.into()))),
        (
            "E14",
            L,
            Here(Refused(
                &["--install", "--distribution", "debian", "--no-distribution"],
                coded(
                    "Arguments --no-distribution and --distribution can't be specified at same time.",
                    "Wsl/E_INVALIDARG",
                ),
            )),
        ),
        (
            "E16",
            L,
            Here(Refused(
                &["--install", "foo", "--fixed-vhd"],
                coded("Argument --fixed-vhd requires the --vhd-size argument.", "Wsl/E_INVALIDARG"),
            )),
        ),
        (
            "E17",
            L,
            System(
                "install",
                vec![Printed(
                    Failure::not_in_manifest("DoesNotExist")
                        .in_context(Context::InstallDistro)
                        .in_context(Context::Wsl),
                    coded(
                        "Invalid distribution name: 'DoesNotExist'.\n\
                         To get a list of valid distributions, use 'wsl --list --online'.",
                        "Wsl/InstallDistro/WSL_E_DISTRO_NOT_FOUND",
                    ),
                )],
            ),
        ),
        (
            "E19",
            A,
            System(
                "install",
                vec![Printed(
                    manifest_not_fetched().in_context(Context::InstallDistro).in_context(Context::Wsl),
                    coded(MANIFEST_NOT_FETCHED, "Wsl/InstallDistro/WININET_E_CANNOT_CONNECT"),
                )],
            ),
        ),
        (
            "E20",
            A,
            System(
                "install",
                vec![Printed(
                    manifest_not_fetched().in_context(Context::Wsl),
                    coded(MANIFEST_NOT_FETCHED, "Wsl/WININET_E_CANNOT_CONNECT"),
                )],
            ),
        ),
        (
            "E22",
            A,
            System(
                "mounting",
                vec![Printed(
                    Failure::disk_not_attached("DoesNotExist", Code::FileNotFound)
                        .in_context(Context::AttachDisk)
                        .in_context(Context::Service)
                        .in_context(Context::Wsl),
                    coded(
                        "Failed to attach disk 'DoesNotExist' to WSL2: The system cannot find the file specified. ",
                        "Wsl/Service/AttachDisk/MountDisk/HCS/ERROR_FILE_NOT_FOUND",
                    ),
                )],
            ),
        ),
        (
            "E23",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["--unmount", "DoesNotExist"],
                        Command::Unmount { disk: Some("DoesNotExist".into()) },
                    ),
                    Printed(
                        failure(Code::FileNotFound, &[Context::DetachDisk]),
                        coded(
                            "The system cannot find the file specified. ",
                            "Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND",
                        ),
                    ),
                ],
            ),
        ),
        (
            "E25",
            A,
            System(
                "wsl_rows",
                vec![Printed(
                    Failure::disk_not_attached("/does/not/exist/ext4.img", Code::PathNotFound)
                        .in_context(Context::CreateInstance)
                        .in_context(Context::Service)
                        .in_context(Context::Wsl),
                    coded(
                        "Failed to attach disk '/does/not/exist/ext4.img' to WSL2: \
                         The system cannot find the path specified. ",
                        "Wsl/Service/CreateInstance/MountDisk/HCS/ERROR_PATH_NOT_FOUND",
                    ),
                )],
            ),
        ),
        (
            "E28",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["--manage", "test_distro", "--resize", "10GB"],
                        manage("test_distro", ManageAction::Resize(10 << 30)),
                    ),
                    Printed(
                        failure(Code::Wsl2Needed, &[]),
                        coded("This operation is only supported by WSL2.", "Wsl/Service/WSL_E_WSL2_NEEDED"),
                    ),
                ],
            ),
        ),
        (
            "E31",
            L,
            NotMet("the usage text is printed, but with exit code 0: who asks for help has not failed"),
        ),
        ("E34", L, System("wsl_rows", Vec::new())),
        ("E35", L, System("wsl_errors", Vec::new())),
        ("E37", A, NotMet(NO_POLICY)),
        ("E38", A, NotMet(NO_POLICY)),
        ("E40", A, NotMet(NO_POLICY)),
        ("E41", A, NotMet(NO_POLICY)),
        ("E44", A, NotMet(NO_POLICY)),
    ];
    check(4, (17, 9), &rows, check_case);
}

const MANIFEST_NOT_FETCHED: &str = "Failed to fetch the distribution list from 'http://127.0.0.1:1/list.json'. \
                                    A connection with the server could not be established ";

fn manifest_not_fetched() -> Failure {
    Failure::manifest_not_fetched(
        "http://127.0.0.1:1/list.json",
        Code::CannotConnect,
        Code::CannotConnect.text(),
    )
}

#[test]
fn e31_help_is_no_failure() {
    assert_eq!(parse(&os(&["--help"])), Ok(Command::Help));
}

#[test]
fn e34_and_e35_texts_of_a_listing() {
    let row =
        |name: &str, default| Row { name: name.into(), state: DistroState::Stopped, version: 2, default };
    let rows = [row("other", false), row("test_distro", true)];
    let text = list::listing(ListOptions::default(), &rows).unwrap();
    assert_eq!(text.lines().filter(|line| *line == "test_distro (Default)").count(), 1);
    let running = ListOptions { running: true, ..ListOptions::default() };
    let empty = list::listing(running, &rows).unwrap_err();
    assert_eq!(format!("{empty}\n"), message::NONE_RUNNING);
}

/// The two refusals whose message is the usage text print nothing else.
#[test]
fn usage_is_printed_once_and_alone() {
    assert_eq!(UsageError::Usage.render(), USAGE);
    assert_eq!(Failure::new(Code::InvalidUsage).in_context(Context::Wsl).render(), USAGE);
}
