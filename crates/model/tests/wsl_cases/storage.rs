//! Section 5: import, export, install, move, resize, sparse, default user.

use sampan_model::wsl::args::{
    Command, ExportOptions, ImportOptions, InstallOptions, ManageAction, Sink, Source,
};
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::message;
use sampan_model::wsl::service::{Format, Install};

use crate::table::Case::{Parsed, Printed};
use crate::table::Mark::{A, L};
use crate::table::Place::System;
use crate::table::{check, check_case, coded};

fn served(failure: Failure) -> Failure {
    failure.in_context(Context::Service).in_context(Context::Wsl)
}

fn registering(failure: Failure) -> Failure {
    served(failure.in_context(Context::RegisterDistro))
}

fn export(file: &str, format: Format) -> Command {
    Command::Export(ExportOptions { name: "test_distro".into(), sink: Sink::File(file.into()), format })
}

fn import(name: &str, location: &str, file: &str) -> ImportOptions {
    ImportOptions {
        name: name.into(),
        location: location.into(),
        source: Source::File(file.into()),
        version: None,
        vhd: false,
    }
}

fn manage(action: ManageAction) -> Command {
    Command::Manage { name: "D".into(), action }
}

#[test]
fn section_5_storage() {
    let wsl2_needed = |path| coded("This operation is only supported by WSL2.", path);
    let no_distribution = || {
        Printed(
            registering(Failure::new(Code::NotALinuxDistro)),
            coded(
                "The imported file is not a valid Linux distribution.",
                "Wsl/Service/RegisterDistro/WSL_E_NOT_A_LINUX_DISTRO",
            ),
        )
    };
    let corrupted = "The distribution failed to start because its virtual disk is corrupted.";
    let in_use = "The supplied install location is already in use.";
    let rows = [
        (
            "I01",
            L,
            System("life", vec![Parsed(&["--export", "test_distro", "x.tar"], export("x.tar", Format::Tar))]),
        ),
        (
            "I02",
            L,
            System(
                "life",
                vec![Parsed(
                    &["--export", "test_distro", "x.tar", "--format", "tar.gz"],
                    export("x.tar", Format::TarGz),
                )],
            ),
        ),
        (
            "I04",
            A,
            System(
                "storage",
                vec![Parsed(
                    &["--export", "test_distro", "x.vhdx", "--format", "vhd"],
                    export("x.vhdx", Format::Vhd),
                )],
            ),
        ),
        (
            "I05",
            L,
            System(
                "wsl_errors",
                vec![Printed(
                    served(Failure::new(Code::Wsl2Needed)),
                    wsl2_needed("Wsl/Service/WSL_E_WSL2_NEEDED"),
                )],
            ),
        ),
        (
            "I07",
            A,
            System(
                "storage",
                vec![Printed(
                    served(Failure::wrong_extension(".vhd")),
                    coded(
                        "The specified file must have the .vhd file extension.",
                        "Wsl/Service/WSL_E_EXPORT_FAILED",
                    ),
                )],
            ),
        ),
        (
            "I08",
            A,
            System(
                "storage",
                vec![Parsed(
                    &["--import", "N", "dir", "x.vhd", "--vhd"],
                    Command::Import(ImportOptions { vhd: true, ..import("N", "dir", "x.vhd") }),
                )],
            ),
        ),
        (
            "I10",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["--import", "dummy", "dir", "x.tar", "--version", "2"],
                        Command::Import(ImportOptions {
                            version: Some(2),
                            ..import("dummy", "dir", "x.tar")
                        }),
                    ),
                    Printed(
                        registering(Failure::disk_not_created("/dir/ext4.img", Code::FileExists)),
                        coded(
                            "Failed to create disk '/dir/ext4.img': The file exists. ",
                            "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS",
                        ),
                    ),
                ],
            ),
        ),
        (
            "I11",
            L,
            System(
                "wsl_errors",
                vec![Printed(
                    registering(Failure::new(Code::FileExists)),
                    coded("The file exists. ", "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS"),
                )],
            ),
        ),
        (
            "I13",
            L,
            System(
                "wsl_errors",
                vec![
                    Parsed(
                        &["--import", "dummy", "dir", "ext4.vhdx", "--vhd", "--version", "1"],
                        Command::Import(ImportOptions {
                            vhd: true,
                            version: Some(1),
                            ..import("dummy", "dir", "ext4.vhdx")
                        }),
                    ),
                    Printed(
                        registering(Failure::new(Code::Wsl2Needed)),
                        wsl2_needed("Wsl/Service/RegisterDistro/WSL_E_WSL2_NEEDED"),
                    ),
                ],
            ),
        ),
        (
            "I14",
            L,
            System(
                "wsl_errors",
                vec![Printed(
                    registering(Failure::location_in_use()),
                    coded(in_use, "Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS"),
                )],
            ),
        ),
        (
            "I16",
            A,
            System(
                "wsl_errors",
                vec![Printed(
                    registering(Failure::new(Code::ImportFailed)),
                    coded(
                        "Importing the distribution failed.",
                        "Wsl/Service/RegisterDistro/WSL_E_IMPORT_FAILED",
                    ),
                )],
            ),
        ),
        ("I17", L, System("wsl_errors", vec![no_distribution()])),
        (
            "I19",
            A,
            System(
                "storage",
                vec![
                    Parsed(
                        &["--import-in-place", "broken", "empty.img"],
                        Command::ImportInPlace { name: "broken".into(), disk: "empty.img".into() },
                    ),
                    no_distribution(),
                ],
            ),
        ),
        (
            "I20",
            L,
            System(
                "install",
                vec![Parsed(
                    &[
                        "--install",
                        "--from-file",
                        "-",
                        "--name",
                        "empty-distro",
                        "--no-launch",
                        "--version",
                        "2",
                    ],
                    Command::Install(InstallOptions {
                        install: Install {
                            name: Some("empty-distro".into()),
                            version: Some(2),
                            ..Install::default()
                        },
                        source: Some(Source::Stdin),
                        no_launch: true,
                        ..InstallOptions::default()
                    }),
                )],
            ),
        ),
        (
            "I22",
            A,
            System(
                "storage",
                vec![Printed(
                    registering(Failure::new(Code::DiskCorrupted)),
                    coded(corrupted, "Wsl/Service/RegisterDistro/WSL_E_DISK_CORRUPTED"),
                )],
            ),
        ),
        (
            "I23",
            A,
            System(
                "storage",
                vec![Printed(
                    registering(Failure::disk_not_attached("/x.img", Code::SharingViolation)),
                    coded(
                        "Failed to attach disk '/x.img' to WSL2: The process cannot access the file because it is \
                         being used by another process. ",
                        "Wsl/Service/RegisterDistro/MountDisk/HCS/ERROR_SHARING_VIOLATION",
                    ),
                )],
            ),
        ),
        (
            "I25",
            A,
            System(
                "wsl_rows",
                vec![Printed(
                    served(Failure::new(Code::DiskCorrupted)),
                    coded(corrupted, "Wsl/Service/WSL_E_DISK_CORRUPTED"),
                )],
            ),
        ),
        (
            "I26",
            L,
            System(
                "install",
                vec![Parsed(
                    &["--install", "--no-launch", "--from-file", "F", "--name", "test-format"],
                    Command::Install(InstallOptions {
                        install: Install { name: Some("test-format".into()), ..Install::default() },
                        source: Some(Source::File("F".into())),
                        no_launch: true,
                        ..InstallOptions::default()
                    }),
                )],
            ),
        ),
        (
            "I28",
            L,
            System(
                "life",
                vec![Parsed(
                    &["--manage", "D", "--move", "/srv/d"],
                    manage(ManageAction::Move("/srv/d".into())),
                )],
            ),
        ),
        (
            "I29",
            L,
            System(
                "wsl_rows",
                vec![Printed(
                    served(Failure::location_in_use().in_context(Context::MoveDistro)),
                    coded(in_use, "Wsl/Service/MoveDistro/ERROR_FILE_EXISTS"),
                )],
            ),
        ),
        ("I31", A, System("storage", Vec::new())),
        (
            "I32",
            A,
            System(
                "life",
                vec![Parsed(
                    &["--manage", "D", "--resize", "1500G"],
                    manage(ManageAction::Resize(1500 << 30)),
                )],
            ),
        ),
        (
            "I34",
            L,
            System(
                "storage",
                vec![Printed(
                    served(Failure::disk_not_resized()),
                    coded("Failed to resize disk.", "Wsl/Service/E_FAIL"),
                )],
            ),
        ),
        (
            "I35",
            L,
            System(
                "wsl_errors",
                vec![Printed(
                    served(Failure::new(Code::DistroNotStopped)),
                    coded(
                        "The operation could not be completed because the VHD is currently in use. \
                         To force WSL to stop use: wsl --shutdown",
                        "Wsl/Service/WSL_E_DISTRO_NOT_STOPPED",
                    ),
                )],
            ),
        ),
        (
            "I37",
            L,
            System(
                "wsl_rows",
                vec![
                    Parsed(
                        &["--manage", "D", "--set-sparse", "false"],
                        manage(ManageAction::SetSparse(false)),
                    ),
                    Printed(
                        served(Failure::new(Code::IllegalStateChange)),
                        coded(
                            "An install, uninstall, or conversion is in progress for this distribution.",
                            "Wsl/Service/E_ILLEGAL_STATE_CHANGE",
                        ),
                    ),
                ],
            ),
        ),
        (
            "I38",
            L,
            System(
                "wsl_rows",
                vec![Parsed(
                    &["--manage", "D", "--set-default-user", "root"],
                    manage(ManageAction::SetDefaultUser("root".into())),
                )],
            ),
        ),
        ("I40", L, System("wsl_rows", Vec::new())),
        (
            "I44",
            A,
            System(
                "versions",
                vec![Parsed(
                    &["--set-version", "D", "1"],
                    Command::SetVersion { name: "D".into(), version: 1 },
                )],
            ),
        ),
    ];
    check(5, (17, 11), &rows, check_case);
}

/// The text that ends most of these commands has a blank at its end, as Windows' own has.
#[test]
fn the_text_of_success() {
    assert_eq!(message::SUCCESS, "The operation completed successfully. \n");
}
