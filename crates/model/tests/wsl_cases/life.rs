//! Section 12: life cycle, namespaces, cgroups, systemd, mounts. All of it needs a system.

use crate::table::Mark::{A, L};
use crate::table::Place::{NotMet, System};
use crate::table::{Case, Row, check, check_case};

fn seen(file: &'static str) -> crate::table::Place<Case> {
    System(file, Vec::new())
}

#[test]
fn section_12_life_cycle() {
    const NO_DRIVES: &str = "a Linux host has no drives to mount, and no programs of Windows to start";
    const NO_SHARE: &str = "files are not served over a network share";
    let rows: [Row<Case>; 22] = [
        ("L01", L, seen("life")),
        ("L02", L, seen("life")),
        ("L04", A, seen("systemd")),
        ("L05", L, seen("systemd")),
        ("L07", L, seen("systemd")),
        ("L08", A, seen("systemd")),
        ("L10", L, seen("systemd")),
        ("L11", A, NotMet(NO_DRIVES)),
        ("L13", L, seen("wsl_rows")),
        ("L14", L, seen("wsl_rows")),
        ("L16", L, seen("wsl_rows")),
        ("L17", A, NotMet("every distribution has the unified hierarchy")),
        ("L19", A, seen("wsl_rows")),
        ("L20", L, seen("wsl_rows")),
        ("L22", A, NotMet(NO_DRIVES)),
        ("L23", L, seen("wsl_rows")),
        ("L25", L, seen("sessions")),
        ("L26", L, seen("sessions")),
        ("L28", A, NotMet(NO_SHARE)),
        ("L29", A, NotMet(NO_SHARE)),
        ("L31", A, NotMet(NO_SHARE)),
        ("L32", A, NotMet(NO_DRIVES)),
    ];
    check(12, (12, 10), &rows, check_case);
}
