//! Section I: import, export, and changing what is there.

use sampan_model::session::End;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::message::{CONVERSION_INFO, SUCCESS};
use sampan_model::wsl::service::{Format, Manage, Reply, Request};

use super::{DONE, Row, section, service};

#[test]
fn i_import_export_and_manage() {
    let manage = |request: &Request| matches!(request, Request::Manage { .. });
    let export = |request: &Request| matches!(request, Request::Export { .. });
    let import = |request: &Request| matches!(request, Request::Import { .. });
    let move_to =
        |code: Code| Failure::new(code).in_context(Context::Service).in_context(Context::MoveDistro);
    let wsl2_needed = "This operation is only supported by WSL2.\n";
    let register = || service(Code::Wsl2Needed).in_context(Context::RegisterDistro);
    let locked = "An install, uninstall, or conversion is in progress for this distribution.\n\
                  Error code: Wsl/Service/E_ILLEGAL_STATE_CHANGE\n";
    let rows = vec![
        Row::succeeds("I01", &["--export", "test_distro", "x.tar"], export, DONE, SUCCESS),
        Row::succeeds(
            "I02",
            &["--export", "test_distro", "x.tar", "--format", "tar.gz"],
            |request| matches!(request, Request::Export { format: Format::TarGz, .. }),
            DONE,
            SUCCESS,
        ),
        Row::succeeds(
            "I04",
            &["--export", "test_distro", "x.vhdx", "--format", "vhd"],
            |request| matches!(request, Request::Export { format: Format::Vhd, file, .. } if file == "x.vhdx"),
            DONE,
            SUCCESS,
        ),
        Row::fails(
            "I05",
            &["--export", "test_distro", "x.vhdx", "--vhd"],
            export,
            service(Code::Wsl2Needed),
            &format!("{wsl2_needed}Error code: Wsl/Service/WSL_E_WSL2_NEEDED\n"),
        ),
        Row::fails(
            "I07",
            &["--export", "D", "x.vhdx", "--format", "vhd"],
            export,
            Failure::wrong_extension(".vhd").in_context(Context::Service),
            "The specified file must have the .vhd file extension.\n\
             Error code: Wsl/Service/WSL_E_EXPORT_FAILED\n",
        ),
        Row::fails(
            "I13",
            &["--import", "dummy", "dir", "/dev/null", "--vhd", "--version", "1"],
            |request| matches!(request, Request::Import { vhd: true, version: Some(1), .. }),
            register(),
            &format!("{wsl2_needed}Error code: Wsl/Service/RegisterDistro/WSL_E_WSL2_NEEDED\n"),
        ),
        Row::fails(
            "I14",
            &["--import", "other", "dir", "/dev/null"],
            import,
            Failure::location_in_use().in_context(Context::Service).in_context(Context::RegisterDistro),
            "The supplied install location is already in use.\n\
             Error code: Wsl/Service/RegisterDistro/ERROR_FILE_EXISTS\n",
        ),
        Row::fails(
            "I17",
            &["--import", "broken", ".", "/dev/null"],
            import,
            service(Code::NotALinuxDistro).in_context(Context::RegisterDistro),
            "The imported file is not a valid Linux distribution.\n\
             Error code: Wsl/Service/RegisterDistro/WSL_E_NOT_A_LINUX_DISTRO\n",
        ),
        Row::succeeds("I28", &["--manage", "N", "--move", "/srv/n"], manage, DONE, SUCCESS),
        Row::fails(
            "I29",
            &["--manage", "N", "--move", "x"],
            |request| {
                matches!(request, Request::Manage { action: Manage::Move { folder }, .. }
                    if folder.is_absolute() && folder.ends_with("x"))
            },
            move_to(Code::FileExists).with_message("The supplied install location is already in use."),
            "The supplied install location is already in use.\n\
             Error code: Wsl/Service/MoveDistro/ERROR_FILE_EXISTS\n",
        ),
        Row::succeeds(
            "I32",
            &["--manage", "N", "--resize", "1500G"],
            |request| matches!(request, Request::Manage { action: Manage::Resize { bytes }, .. } if *bytes == 1500 << 30),
            DONE,
            SUCCESS,
        ),
        Row::fails(
            "I34",
            &["--manage", "N", "--resize", "1M"],
            manage,
            Failure::disk_not_resized().in_context(Context::Service),
            "Failed to resize disk.\nError code: Wsl/Service/E_FAIL\n",
        ),
        Row::fails(
            "I35",
            &["--manage", "N", "--resize", "1500GB"],
            manage,
            service(Code::DistroNotStopped),
            "The operation could not be completed because the VHD is currently in use. \
             To force WSL to stop use: wsl --shutdown\nError code: Wsl/Service/WSL_E_DISTRO_NOT_STOPPED\n",
        ),
        Row::fails(
            "I37",
            &["--manage", "N", "--resize", "2GB"],
            manage,
            service(Code::IllegalStateChange),
            locked,
        ),
        Row::fails(
            "I37",
            &["--manage", "N", "--set-sparse", "false"],
            |request| matches!(request, Request::Manage { action: Manage::SetSparse { sparse: false }, .. }),
            service(Code::IllegalStateChange),
            locked,
        ),
        Row::fails(
            "I37",
            &["--manage", "N", "--move", "X"],
            manage,
            service(Code::IllegalStateChange),
            locked,
        ),
        Row::succeeds("I38", &["--manage", "D", "--set-default-user", "root"], manage, DONE, SUCCESS),
        Row {
            code: 1,
            ..Row::succeeds(
                "I40",
                &["--manage", "D", "--set-default-user", "Nonexistent"],
                manage,
                Reply::Ended { end: End::Exited { code: 1 } },
                "",
            )
        },
        Row::succeeds(
            "I44",
            &["--set-version", "D", "1"],
            |request| matches!(request, Request::SetVersion { version: 1, .. }),
            DONE,
            SUCCESS,
        ),
        Row::succeeds(
            "I44",
            &["--set-version", "D", "2"],
            |request| matches!(request, Request::SetVersion { version: 2, .. }),
            DONE,
            format!("{CONVERSION_INFO}{SUCCESS}"),
        ),
        Row::fails(
            "I25",
            &["--export", "broken", "x.tar"],
            export,
            service(Code::DiskCorrupted),
            "The distribution failed to start because its virtual disk is corrupted.\n\
             Error code: Wsl/Service/WSL_E_DISK_CORRUPTED\n",
        ),
    ];
    section("I", rows, &[]);
}
