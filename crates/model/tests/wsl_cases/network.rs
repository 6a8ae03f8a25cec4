//! Section 14: ports. All of it needs a system.
//!
//! The network of version 2 is what is called NAT there; that of version 1 is the host's own, as in the mode called mirrored.

use crate::table::Mark::{A, L};
use crate::table::Place::{NotMet, System};
use crate::table::{Case, Place, Row, check, check_case};

#[test]
fn section_14_ports() {
    const NO_RELAY: &str = "a port of version 2 is at the engine's address, not on the loopback of the host";
    let seen = || -> Place<Case> { System("network", Vec::new()) };
    let rows: [Row<Case>; 6] = [
        ("T01", L, NotMet(NO_RELAY)),
        ("T02", L, NotMet(NO_RELAY)),
        ("T04", A, seen()),
        ("T05", A, seen()),
        ("T07", L, seen()),
        ("T08", A, seen()),
    ];
    check(14, (3, 3), &rows, check_case);
}
