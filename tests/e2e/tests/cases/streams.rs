//! The proxy in front of a Docker socket is no more than a part of the way to dockerd.
//!
//! Each check runs at dockerd's own socket first, where it says what dockerd does, and then at the proxy's: the host's and
//! that of a distribution.

mod bad_input;
mod bulk;
mod upgrades;

use sampan_e2e::case::Case;
use sampan_e2e::http::Door;
use sampan_e2e::instance::Instance;
use sampan_e2e::shared;

/// A distribution of the shared instance.
const ASKER: &str = "asker";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        at_all("streams::an_attached_container_reads_to_the_end_and_then_answers", upgrades::attach),
        at_all("streams::an_old_client_attaches_without_asking_for_an_upgrade", upgrades::old_attach),
        at_all("streams::a_terminal_is_a_raw_stream_that_echoes", upgrades::terminal),
        at_all("streams::a_command_that_says_no_more_still_reads", upgrades::silent_reader),
        at_all("streams::logs_arrive_line_by_line_until_the_client_leaves", upgrades::logs),
        at_all("streams::both_builders_build", upgrades::build),
        at_all("streams::a_session_speaks_http2_from_the_engines_side", upgrades::session),
        at_all("streams::the_answer_to_a_bad_upload_comes_while_it_is_sent", bulk::early_answer),
        at_all("streams::two_thousand_clients_at_once_are_answered", bulk::two_thousand),
        Case::new("streams::idle_clients_take_what_is_theirs_and_no_more", bulk::idle_crowd),
        Case::new("streams::two_sparse_gigabytes_are_copied_both_ways_in_little_memory", bulk::sparse),
        Case::new("streams::a_slow_reader_costs_little_memory", bulk::slow_reader),
        Case::new("streams::what_is_no_proper_request_gets_what_dockerd_answers_or_an_error", bad_input::all),
        Case::new("streams::no_request_within_a_request_gets_past_the_rules", bad_input::smuggled),
    ]
}

fn at_all(name: &'static str, check: fn(&Instance, &Door)) -> Case {
    Case::skippable(name, move || {
        let instance = shared::integrated();
        instance.need_busybox();
        for door in [Door::bare(instance), Door::proxy(instance), Door::distribution(instance, ASKER)] {
            eprintln!("{name}: at the socket {}", door.name);
            check(instance, &door);
        }
        Ok(())
    })
}
