//! The instance that tests share which do not disturb it, and what else lives as long as the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::instance::{FIRST_START, Instance};
use crate::tools::Output;
use crate::{files, images, roots, workspace};

/// The shared instance and what its first start said.
#[derive(Debug)]
pub struct Main {
    /// The instance.
    pub instance: Instance,
    /// What `sampan start` said, from nothing.
    pub first_start: Output,
}

static MAIN: OnceLock<Main> = OnceLock::new();
static DISTRIBUTIONS: OnceLock<Instance> = OnceLock::new();
static DEBIAN: OnceLock<Instance> = OnceLock::new();
static INTEGRATED: OnceLock<Instance> = OnceLock::new();
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The shared instance, its engine running. No test may stop it.
///
/// Its first start is the first start on a fresh machine: it builds the engine image of all other instances, unless one
/// was given.
#[track_caller]
pub fn main() -> &'static Instance {
    let main = started();
    main.first_start.ok();
    &main.instance
}

/// The shared instance with the output of its first start, which may have failed.
pub fn started() -> &'static Main {
    MAIN.get_or_init(|| {
        let instance = Instance::new();
        let first_start = match images::given_engine() {
            Some(image) => instance.start_with(&image),
            None => instance.tool(&["start"]).deadline(FIRST_START).run(),
        };
        if first_start.code() != Some(0) {
            eprintln!("{first_start}\n{}", instance.logs());
        }
        Main { instance, first_start }
    })
}

/// The shared instance without an engine: the distributions `two` and `one`, a small root in either version. Tests may
/// run commands in them and nothing else.
#[track_caller]
pub fn distributions() -> &'static Instance {
    DISTRIBUTIONS.get_or_init(|| {
        let instance = Instance::new();
        instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
        instance.import("two", &roots::small(), 2);
        instance.import("one", &roots::small(), 1);
        instance
    })
}

/// The shared instance whose distribution `deb` is Debian without systemd running. Tests may run commands in it.
#[track_caller]
pub fn debian() -> &'static Instance {
    DEBIAN.get_or_init(|| {
        let instance = Instance::new();
        instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
        instance.import("deb", &roots::debian(), 2);
        instance
    })
}

/// The shared instance whose engine runs beside the distribution `asker`, a small root in which docker works. No test may
/// stop either.
#[track_caller]
pub fn integrated() -> &'static Instance {
    INTEGRATED.get_or_init(|| {
        let instance = Instance::started();
        instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
        instance.import("asker", &roots::small(), 2);
        instance.inside("asker", "docker version").expect(0);
        instance
    })
}

/// A copy of the engine image that the shared instance built.
#[track_caller]
pub fn built_engine() -> PathBuf {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    let main = main();
    COPY.get_or_init(|| {
        let built = cached_images(main);
        assert_eq!(built.len(), 1, "one engine image in the cache, not {built:?}");
        let copy = workspace::scratch().join("engine.tar.zst");
        fs::copy(&built[0], &copy).expect("there is room for a second copy of the engine image");
        copy
    })
    .clone()
}

/// The engine images in the cache of `instance`.
pub fn cached_images(instance: &Instance) -> Vec<PathBuf> {
    let is_image = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("engine-") && name.ends_with(".tar.zst")
    };
    files::entries(&instance.place().cache()).into_iter().filter(is_image).collect()
}

/// Has `folder` removed when all tests have run.
pub fn remove_at_the_end(folder: &Path) {
    FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder.to_owned());
}

/// Takes away what lived as long as the run, and returns what was wrong with that, if anything.
pub fn close() -> Vec<String> {
    let mut problems = MAIN.get().map(|main| main.instance.close()).unwrap_or_default();
    for shared in [&DISTRIBUTIONS, &DEBIAN, &INTEGRATED] {
        problems.extend(shared.get().map(Instance::close).unwrap_or_default());
    }
    for folder in FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let _ = fs::remove_dir_all(folder);
    }
    problems
}
