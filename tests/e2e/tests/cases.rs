//! All cases, one file per topic.

mod bad_days;
mod bad_images;
mod called_off;
mod check;
mod containers;
mod context;
mod crash;
mod damage;
mod disk_full;
mod docker_inside;
mod docker_proxy;
mod first_start;
mod hardening;
mod host_paths;
mod hostile_tars;
mod install;
mod integration_changes;
mod integration_durable;
mod integration_harm;
mod integration_journal;
mod integration_layers;
mod integration_obstacles;
mod integration_paths;
mod integration_roots;
mod integration_socket;
mod integration_switch;
mod interrupted;
mod life;
mod lifecycle;
mod logs;
mod machines;
mod mount_places;
mod mounting;
mod names;
mod network;
mod not_root;
mod ports;
mod prerequisites;
mod private_network;
mod proxies;
mod repair;
mod reset;
mod sessions;
mod socket;
mod stale;
mod storage;
mod streams;
mod system;
mod systemd;
mod versions;
mod wsl_errors;
mod wsl_rows;

use sampan_e2e::case::Case;

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    [
        first_start::cases(),
        containers::cases(),
        docker_inside::cases(),
        docker_proxy::cases(),
        host_paths::cases(),
        integration_paths::cases(),
        integration_socket::cases(),
        integration_switch::cases(),
        socket::cases(),
        streams::cases(),
        names::cases(),
        network::cases(),
        ports::cases(),
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
        wsl_errors::cases(),
        wsl_rows::cases(),
        versions::cases(),
        system::cases(),
        systemd::cases(),
        sessions::cases(),
        life::cases(),
        install::cases(),
        integration_changes::cases(),
        integration_durable::cases(),
        integration_harm::cases(),
        integration_journal::cases(),
        integration_obstacles::cases(),
        integration_roots::cases(),
        integration_layers::cases(),
        hardening::cases(),
        storage::cases(),
        bad_days::cases(),
        hostile_tars::cases(),
        mounting::cases(),
        mount_places::cases(),
        private_network::cases(),
        proxies::cases(),
        repair::cases(),
        called_off::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
