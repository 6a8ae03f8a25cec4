//! No room: a clean word, nothing half made, and the next try works.

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::disk::FullDisk;
use sampan_e2e::instance::{FIRST_START, Instance};
use sampan_e2e::{files, images, shared};
use sampan_model::document;
use sampan_model::registry::Registry;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("disk_full::while_the_engine_is_imported", import),
        Case::skippable("disk_full::while_the_engine_image_is_built", build),
    ]
}

const DISK_FULL: i32 = 8;

/// Requires that nothing is registered and no disk attached.
#[track_caller]
fn assert_nothing_registered(instance: &Instance) {
    let path = instance.place().registry();
    if path.exists() {
        let text = String::from_utf8_lossy(&files::read(&path)).into_owned();
        let registry: Registry = document::parse(&text).expect("a full disk must not damage the registry");
        assert!(registry.distributions.is_empty(), "{registry:?}");
    }
    let loops = sampan_e2e::traces::loops(instance.identity());
    assert!(loops.is_empty(), "{loops:?}");
}

fn import() {
    let instance = Instance::new();
    let disk = FullDisk::below(&instance, 150);
    let output = instance.start();
    output.expect(DISK_FULL);
    output.says(&instance.identity().state_base().display().to_string());
    assert_nothing_registered(&instance);

    disk.make_room();
    instance.start().ok();
    instance.need_busybox();
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
    let registry = instance.registry();
    assert!(registry.unfinished.is_empty(), "{registry:?}");
    assert_eq!(files::names(&instance.place().distros()).len(), 2, "nothing is left of the first try");
}

fn build() -> Result<(), Skip> {
    if images::given_engine().is_some() {
        return Err(Skip(format!("{} is set, so none is built", images::ENGINE_VARIABLE)));
    }
    let instance = Instance::new();
    let disk = FullDisk::below(&instance, 100);
    let output = instance.tool(&["start"]).deadline(FIRST_START).run();
    output.expect(DISK_FULL);
    assert_nothing_registered(&instance);
    assert!(shared::cached_images(&instance).is_empty(), "half an image must not be taken for one");

    disk.make_room();
    instance.start().ok();
    assert!(instance.engine_runs());
    Ok(())
}
