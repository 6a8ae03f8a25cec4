//! What the machine lacks is said, with what to type.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sampan_e2e::case::Case;
use sampan_e2e::files;
use sampan_e2e::instance::{FIRST_START, Instance};
use sampan_e2e::netns::Netns;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("prerequisites::without_mmdebstrap_it_names_the_package_and_engine_image", no_mmdebstrap),
        Case::new("prerequisites::without_a_mirror_it_names_engine_image", no_mirror),
        Case::new("prerequisites::with_an_engine_image_mmdebstrap_is_not_needed", not_needed),
    ]
}

const PREREQUISITE: i32 = 6;

/// A folder with a link to every program of the machine but `missing`.
fn path_without(instance: &Instance, missing: &str) -> PathBuf {
    let folder = instance.scratch("path");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    for source in std::env::split_paths(&path).chain(usual) {
        for program in files::entries(&source) {
            let name = program.file_name().unwrap_or(OsStr::new(""));
            if name != missing {
                // The first in the path wins, as in a real one.
                let _ = symlink(&program, folder.join(name));
            }
        }
    }
    assert!(!folder.join(missing).exists() && folder.join("mke2fs").exists());
    folder
}

fn instance_without_mmdebstrap() -> Instance {
    let instance = Instance::new();
    let path = path_without(&instance, "mmdebstrap");
    instance.with_path(path)
}

fn no_mmdebstrap() {
    let instance = instance_without_mmdebstrap();
    let output = instance.tool(&["start"]).deadline(FIRST_START).run();
    output.expect(PREREQUISITE).says("mmdebstrap").says("--engine-image").says("apt");
    assert!(files::names(&instance.place().distros()).is_empty());
    let check = instance.sampan(&["check", "--format", "json"]).json();
    let rows = check.get("checks").unwrap_or(&check).as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["name"].as_str().is_some_and(|name| name.contains("mmdebstrap")));
    let row = row.expect("mmdebstrap is tested");
    assert_ne!(row["outcome"], "pass", "{row}");
    assert!(row["remedy"].as_str().is_some_and(|remedy| remedy.contains("apt")), "{row}");
}

fn not_needed() {
    let instance = instance_without_mmdebstrap();
    instance.start().ok();
    assert!(Path::new(&instance.place().docker_socket()).exists());
}

fn no_mirror() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::on(&machine);
    let output = instance.tool(&["start"]).deadline(FIRST_START).run();
    output.expect(PREREQUISITE).says("--engine-image");
    assert!(files::names(&instance.place().distros()).is_empty());
    assert!(files::names(&instance.place().cache()).iter().all(|name| !name.ends_with(".tar.zst")));
    instance.start().ok();
}
