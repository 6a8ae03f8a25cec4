//! All cases, one file per topic.

mod bad_images;
mod check;
mod containers;
mod context;
mod crash;
mod damage;
mod disk_full;
mod first_start;
mod interrupted;
mod lifecycle;
mod logs;
mod machines;
mod network;
mod not_root;
mod prerequisites;
mod reset;
mod socket;
mod stale;

use sampan_e2e::case::Case;

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [
        first_start::cases(),
        containers::cases(),
        socket::cases(),
        network::cases(),
        machines::cases(),
        lifecycle::cases(),
        bad_images::cases(),
        crash::cases(),
        interrupted::cases(),
        stale::cases(),
        damage::cases(),
        disk_full::cases(),
        prerequisites::cases(),
        not_root::cases(),
        logs::cases(),
        check::cases(),
        context::cases(),
        reset::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
