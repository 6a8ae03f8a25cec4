//! Section 13: `wsl --mount` and `--unmount`.

use sampan_model::wsl::args::Command;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::service::Mount;

use crate::table::Case::{Parsed, Printed};
use crate::table::Mark::{A, L};
use crate::table::Place::System;
use crate::table::{check, check_case, coded};

fn plain() -> Mount {
    Mount { disk: "D".into(), ..Mount::default() }
}

fn first() -> Mount {
    Mount { partition: Some(1), ..plain() }
}

#[test]
fn section_13_mount_and_unmount() {
    let served = |code, context| {
        Failure::new(code).in_context(context).in_context(Context::Service).in_context(Context::Wsl)
    };
    let e2e = |cases| System("mounting", cases);
    let parsed = |words: &'static [&'static str], options| e2e(vec![Parsed(words, Command::Mount(options))]);
    let named = |name: &str| Mount { name: Some(name.into()), ..first() };
    let rows = [
        ("M01", A, parsed(&["--mount", "D", "--bare"], Mount { bare: true, ..plain() })),
        ("M02", L, parsed(&["--mount", "D", "--partition", "1"], first())),
        (
            "M04",
            L,
            parsed(
                &["--mount", "D", "--partition", "1", "--options", "data=ordered"],
                Mount { options: Some("data=ordered".into()), ..first() },
            ),
        ),
        (
            "M05",
            L,
            // The case takes another second type: not every kernel has this one.
            parsed(
                &["--mount", "D", "--partition", "2", "--type", "vfat"],
                Mount { partition: Some(2), fstype: Some("vfat".into()), ..plain() },
            ),
        ),
        ("M07", L, e2e(Vec::new())),
        (
            "M08",
            L,
            parsed(&["--mount", "D", "--type", "ext4"], Mount { fstype: Some("ext4".into()), ..plain() }),
        ),
        ("M10", A, e2e(Vec::new())),
        ("M11", A, e2e(Vec::new())),
        ("M13", L, parsed(&["--mount", "D", "--name", "N", "--partition", "1"], named("N"))),
        (
            "M14",
            L,
            e2e(vec![
                Parsed(&["--mount", "D", "--name", "", "-p", "1"], Command::Mount(named(""))),
                Parsed(&["--mount", "D", "--name", "foo/bar", "-p", "1"], Command::Mount(named("foo/bar"))),
                Printed(
                    served(Code::InvalidMountName, Context::MountDisk),
                    coded(
                        "The mount name cannot be empty, '.', '..', or contain '/'. \
                         Please retry with a valid mount name.",
                        "Wsl/Service/MountDisk/WSL_E_VM_MODE_INVALID_MOUNT_NAME",
                    ),
                ),
            ]),
        ),
        ("M16", L, e2e(Vec::new())),
        (
            "M17",
            L,
            parsed(&["--mount", "D", "--options", "sync"], Mount { options: Some("sync".into()), ..plain() }),
        ),
        (
            "M19",
            L,
            e2e(vec![Parsed(&["--unmount", "./a b"], Command::Unmount { disk: Some("./a b".into()) })]),
        ),
        ("M20", L, e2e(Vec::new())),
        ("M22", L, e2e(Vec::new())),
        ("M23", A, e2e(Vec::new())),
        (
            "M25",
            L,
            e2e(vec![Printed(
                served(Code::Wsl2Needed, Context::AttachDisk),
                coded(
                    "This operation is only supported by WSL2.",
                    "Wsl/Service/AttachDisk/WSL_E_WSL2_NEEDED",
                ),
            )]),
        ),
    ];
    check(13, (13, 4), &rows, check_case);
}
