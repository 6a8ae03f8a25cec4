//! What the engine image is made of, and what the host takes out of it.

use sampan_model::guest::CopyOut;

use crate::platform::ImageRecipe;

/// Where an image records what it was made of.
pub const MANIFEST: &str = "usr/lib/sampan/engine-image.json";

/// The engine image: Debian's own engine, signed by Debian.
pub const RECIPE: ImageRecipe<'static> = ImageRecipe {
    suite: "stable",
    packages: &[
        "docker.io",
        "containerd",
        "runc",
        "docker-cli",
        "docker-buildx",
        "docker-compose",
        "iptables",
        "ca-certificates",
        "e2fsprogs",
        // What `docker top` runs.
        "procps",
    ],
    manifest: MANIFEST,
};

/// The size the root disk of `docker-desktop` may grow to. It takes only what is used.
pub const ROOT_DISK_BYTES: u64 = 64 << 30;

const BIN: [&str; 5] = ["usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "bin"];
const PLUGINS: [&str; 4] = [
    "usr/libexec/docker/cli-plugins",
    "usr/lib/docker/cli-plugins",
    "usr/local/lib/docker/cli-plugins",
    "usr/local/libexec/docker/cli-plugins",
];
const LIBRARIES: [&str; 9] = [
    "lib64",
    "lib",
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib",
    "usr/local/lib",
];

/// What must be in an engine image, and the Docker CLI with what it needs to run on any host.
pub fn files() -> Vec<CopyOut> {
    let in_folders = |folders: &[&str], name: &str| -> Vec<String> {
        folders.iter().map(|folder| format!("{folder}/{name}")).collect()
    };
    let must = |name: &str| CopyOut { candidates: in_folders(&BIN, name), to: None, required: true };
    let copy = |folders: &[&str], name: &str, to: &str| CopyOut {
        candidates: in_folders(folders, name),
        to: Some(format!("{to}/{name}")),
        required: false,
    };
    let mut files = vec![must("dockerd"), must("containerd"), must("runc")];
    files.push(copy(&BIN, "docker", "bin"));
    files.push(copy(&PLUGINS, "docker-buildx", "plugins"));
    files.push(copy(&PLUGINS, "docker-compose", "plugins"));
    for library in [
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
        "ld-musl-x86_64.so.1",
        "ld-musl-aarch64.so.1",
        "libc.so.6",
        "libresolv.so.2",
        "libpthread.so.0",
        "libdl.so.2",
    ] {
        files.push(copy(&LIBRARIES, library, "lib"));
    }
    files.push(CopyOut {
        candidates: vec![MANIFEST.to_owned()],
        to: Some("engine-image.json".to_owned()),
        required: false,
    });
    files
}
