//! Where the programs under test are, and where tests may put files.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::files;

/// The folder of the programs: `SAMPAN_BIN_DIR`, or where cargo put them, above the test program.
///
/// # Panics
/// When there are none.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(folder) = env::var_os("SAMPAN_BIN_DIR") {
            return PathBuf::from(folder);
        }
        let me = env::current_exe().expect("a running program has a path");
        me.ancestors()
            .skip(1)
            .find(|folder| folder.join("sampan").is_file() && folder.join("sampand").is_file())
            .map(Path::to_owned)
            .expect("the programs are not built: run `cargo xtask test`, or `cargo build` and this again")
    })
}

/// The folder of the source.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The path of the program `name`.
pub fn program(name: &str) -> PathBuf {
    programs().join(name)
}

/// The folder for everything that tests make: `target/e2e`, on a real disk.
pub fn scratch() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let me = env::current_exe().expect("a running program has a path");
        let target = me
            .ancestors()
            .filter(|folder| folder.join("CACHEDIR.TAG").is_file())
            .last()
            .expect("cargo marks its target folder with CACHEDIR.TAG");
        let folder = target.join("e2e");
        files::make_folder(&folder);
        folder
    })
}
