//! `kill -9` during the first start, at any moment: the next start completes.

use std::time::{Duration, Instant};

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::instance::{FIRST_START, Instance};
use sampan_e2e::processes::Process;
use sampan_e2e::random::Sequence;
use sampan_e2e::tools::Job;
use sampan_e2e::{files, images, shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("interrupted::a_killed_service_leaves_nothing_that_the_next_start_can_t_finish", service),
        Case::new("interrupted::so_does_the_death_of_every_process", everything),
        Case::skippable("interrupted::and_a_death_while_the_engine_image_is_built", image),
    ]
}

const MOMENTS: u32 = 6;

fn service() {
    at_random_moments("interrupted service", |instance, start| {
        instance.processes().iter().filter(|process| process.name() == "sampand").for_each(Process::kill);
        // Whoever waits for a dead service is told, not left waiting.
        let output = start.finish();
        assert!(output.code().is_some(), "it waits for ever: {output}");
    });
}

fn everything() {
    at_random_moments("interrupted everything", |instance, start| {
        kill_all(instance);
        drop(start);
    });
}

fn kill_all(instance: &Instance) {
    waiting::until("all is dead", || {
        let processes = instance.processes();
        processes.iter().for_each(Process::kill);
        processes.is_empty()
    });
}

/// Spreads the moments over a whole start: one in each part of it, at random inside the part.
fn at_random_moments(what: &str, kill: fn(&Instance, Job)) {
    let image = images::engine();
    let begin = Instant::now();
    drop(Instance::started());
    let whole = begin.elapsed();

    let mut sequence = Sequence::announced(what);
    for part in 0..MOMENTS {
        let length = whole / MOMENTS;
        let inside = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let moment = length * part + Duration::from_micros(sequence.below(inside));
        eprintln!("{what}: killed after {} ms", moment.as_millis());

        let instance = Instance::new();
        let start = instance.start_tool(&image).spawn();
        waiting::let_pass(moment);
        kill(&instance, start);
        assert_completes(&instance);
    }
}

#[track_caller]
fn assert_completes(instance: &Instance) {
    instance.start().ok();
    instance.wait_until_running();
    let registry = instance.registry();
    assert!(registry.unfinished.is_empty(), "{registry:?}");
    let mut known: Vec<String> = registry.known().iter().map(ToString::to_string).collect();
    known.sort();
    assert_eq!(files::names(&instance.place().distros()), known, "storage and registry agree");
    let loops = sampan_e2e::traces::loops(instance.identity());
    assert_eq!(loops.len(), 2, "one loop device per disk: {loops:?}");
    instance.need_busybox();
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
}

fn image() -> Result<(), Skip> {
    if images::given_engine().is_some() {
        return Err(Skip(format!("{} is set, so none is built", images::ENGINE_VARIABLE)));
    }
    let mut sequence = Sequence::announced("interrupted image");
    let instance = Instance::new();
    for _ in 0..2 {
        let moment = Duration::from_millis(500 + sequence.below(10_000));
        eprintln!("interrupted image: killed after {} ms", moment.as_millis());
        let start = instance.tool(&["start"]).spawn();
        waiting::let_pass(moment);
        kill_all(&instance);
        drop(start);
        assert!(shared::cached_images(&instance).is_empty(), "half an image must not be taken for one");
    }
    instance.tool(&["start"]).deadline(FIRST_START).run().ok();
    assert_eq!(shared::cached_images(&instance).len(), 1);
    assert_eq!(files::names(&instance.place().cache()).len(), 1, "the attempts were cleared away");
    assert!(files::names(&instance.identity().temporary()).is_empty(), "also those in TMPDIR");
    Ok(())
}
