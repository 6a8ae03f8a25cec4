//! Section E: errors, usage, exit codes.

use sampan_model::distro::Guid;
use sampan_model::session::End;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::{Format, Manage, Reply, Request, Target};
use sampan_model::wsl::usage::USAGE;

use super::{INVALID, NOT_FOUND, Row, VERSION, section, service};
use crate::commands::wsl::tests::distribution;

#[test]
fn e_errors_usage_and_exit_codes() {
    let guid = |request: &Request| {
        let id: Guid = "0a0b0c0d-0102-4304-8506-0708090a0b0c".parse().unwrap();
        matches!(request, Request::Session { target, .. } if *target == Target::Id { id })
    };
    let ended = || Reply::Ended { end: End::Exited { code: 0 } };
    let manifest =
        || Failure::manifest_not_fetched("http://x/y.json", Code::CannotConnect, Code::CannotConnect.text());
    let unreachable = "Failed to fetch the distribution list from 'http://x/y.json'. \
                       A connection with the server could not be established \n";
    let rows = vec![
        Row::fails(
            "E01",
            &["-d", "DoesNotExist", "echo", "foo"],
            |request| matches!(request, Request::Session { target: Target::Name { name }, .. } if name == "DoesNotExist"),
            service(Code::DistroNotFound),
            NOT_FOUND,
        ),
        Row::fails(
            "E02",
            &["--export", "DoesNotExist", "FileName"],
            |request| matches!(request, Request::Export { format: Format::Tar, .. }),
            service(Code::DistroNotFound),
            NOT_FOUND,
        ),
        Row::fails(
            "E04",
            &["--manage", "nonexistent", "--set-default-user", "root"],
            |request| matches!(request, Request::Manage { action: Manage::SetDefaultUser { .. }, .. }),
            service(Code::DistroNotFound),
            NOT_FOUND,
        ),
        Row::refused("E05", &["--distribution-id", "InvalidGuid"], INVALID),
        Row::succeeds(
            "E07",
            &["--distribution-id", "0a0b0c0d-0102-4304-8506-0708090a0b0c", "echo"],
            guid,
            ended(),
            "",
        ),
        Row::succeeds(
            "E07",
            &["--distribution-id", "{0a0b0c0d-0102-4304-8506-0708090a0b0c}", "echo"],
            guid,
            ended(),
            "",
        ),
        Row::succeeds(
            "E07",
            &["--distribution-id", "0A0B0C0D-0102-4304-8506-0708090A0B0C", "echo"],
            guid,
            ended(),
            "",
        ),
        Row::refused(
            "E08",
            &["--import", "a", "b", "c"],
            "The system cannot find the file specified. \nError code: Wsl/ERROR_FILE_NOT_FOUND\n",
        ),
        Row::refused("E10", &["--set-default-version", "3"], VERSION),
        Row::refused(
            "E11",
            &["--manage", "test_distro", "--resize", "foo"],
            "Invalid size: foo\nError code: Wsl/E_INVALIDARG\n",
        ),
        Row::refused("E13", &["--manage", "--move", "."], USAGE),
        Row::refused(
            "E14",
            &["--install", "--distribution", "debian", "--no-distribution"],
            "Arguments --no-distribution and --distribution can't be specified at same time.\n\
             Error code: Wsl/E_INVALIDARG\n",
        ),
        Row::refused(
            "E16",
            &["--install", "foo", "--fixed-vhd"],
            "Argument --fixed-vhd requires the --vhd-size argument.\nError code: Wsl/E_INVALIDARG\n",
        ),
        Row::fails(
            "E17",
            &["--install", "-d", "DoesNotExist"],
            |request| matches!(request, Request::Install(_)),
            Failure::not_in_manifest("DoesNotExist").in_context(Context::InstallDistro),
            "Invalid distribution name: 'DoesNotExist'.\n\
             To get a list of valid distributions, use 'wsl --list --online'.\n\
             Error code: Wsl/InstallDistro/WSL_E_DISTRO_NOT_FOUND\n",
        ),
        Row::fails(
            "E19",
            &["--install", "-d", "ubuntu"],
            |request| matches!(request, Request::Install(_)),
            manifest().in_context(Context::InstallDistro),
            &format!("{unreachable}Error code: Wsl/InstallDistro/WININET_E_CANNOT_CONNECT\n"),
        ),
        Row::fails(
            "E20",
            &["--list", "--online"],
            |request| *request == Request::Online,
            manifest(),
            &format!("{unreachable}Error code: Wsl/WININET_E_CANNOT_CONNECT\n"),
        ),
        Row::refused(
            "E22",
            &["--mount", "DoesNotExist"],
            "Failed to attach disk 'DoesNotExist' to WSL2: The system cannot find the file specified. \n\
             Error code: Wsl/Service/AttachDisk/MountDisk/HCS/ERROR_FILE_NOT_FOUND\n",
        ),
        Row::fails(
            "E23",
            &["--unmount", "DoesNotExist"],
            |request| {
                matches!(request, Request::Unmount { disk: Some(disk) }
                    if disk.is_absolute() && disk.ends_with("DoesNotExist"))
            },
            service(Code::FileNotFound).in_context(Context::DetachDisk),
            "The system cannot find the file specified. \n\
             Error code: Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND\n",
        ),
        Row::fails(
            "E25",
            &["-d", "X"],
            |request| matches!(request, Request::Session { .. }),
            Failure::disk_not_attached("/x/ext4.img", Code::PathNotFound)
                .in_context(Context::Service)
                .in_context(Context::CreateInstance),
            "Failed to attach disk '/x/ext4.img' to WSL2: The system cannot find the path specified. \n\
             Error code: Wsl/Service/CreateInstance/MountDisk/HCS/ERROR_PATH_NOT_FOUND\n",
        ),
        Row::fails(
            "E28",
            &["--manage", "test_distro", "--resize", "10GB"],
            |request| {
                matches!(request, Request::Manage { action: Manage::Resize { bytes: 10_737_418_240 }, .. })
            },
            service(Code::Wsl2Needed),
            "This operation is only supported by WSL2.\nError code: Wsl/Service/WSL_E_WSL2_NEEDED\n",
        ),
        Row::succeeds(
            "E34",
            &["--list"],
            |request| *request == Request::List,
            Reply::Distributions { distributions: vec![distribution("test_distro", true)] },
            "Windows Subsystem for Linux Distributions:\ntest_distro (Default)\n",
        ),
        Row {
            code: 255,
            ..Row::succeeds(
                "E35",
                &["--list", "--running"],
                |request| *request == Request::List,
                Reply::Distributions { distributions: vec![distribution("test_distro", true)] },
                "There are no running distributions.\n",
            )
        },
    ];
    let policy = "there are no policies of an administrator";
    section(
        "E",
        rows,
        &[
            ("E31", "the text is printed, but asking for it is no failure: the exit code is 0"),
            ("E37", policy),
            ("E38", policy),
            ("E40", policy),
            ("E41", policy),
            ("E44", policy),
        ],
    );
}
