//! The images that the client's tests expect in the registry `localhost:5000`, made here, and that registry.
//!
//! All of them are made of two Debian packages. Each has a label of its own: images that are equal would be one image
//! with several names, and some tests count.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Engine;
use crate::tools;

/// The name by which a test knows that this container is no one's left over.
const REGISTRY: &str = "registry:2";

/// Builds the images in `folder` and pushes them to a registry that runs in the engine's own network.
pub(super) fn make(engine: &Engine<'_>, folder: &Path) -> Result<()> {
    let [busybox, registry] = ["busybox-static", "docker-registry"].map(|name| unpacked(name, folder));
    let (busybox, registry) = (busybox?, registry?);

    let context = folder.join("registry");
    // The program and what `ldd` names for it, at the same places.
    let script = "mkdir -p \"$1/bin\" \"$1/var/lib/registry\" && cp \"$0/usr/bin/docker-registry\" \"$1/bin/\" && \
                  ldd \"$1/bin/docker-registry\" | grep -o '/[^ ]*' | while read -r file; do cp -L --parents \"$file\" \"$1\"; done";
    shell(script, &registry, &context.join("root"))?;
    write(
        &context.join("root/etc/registry.yml"),
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /var/lib/registry\nhttp:\n  addr: 127.0.0.1:5000\n",
        0o644,
    )?;
    let command = "CMD [\"/bin/docker-registry\", \"serve\", \"/etc/registry.yml\"]";
    build(engine, &context, REGISTRY, "registry", command)?;
    engine.docker(&["run", "--detach", "--restart", "always", "--network", "host", REGISTRY])?;

    for (name, label, files, command) in [
        ("hello-world:linux", "hello-world", "hello", "CMD [\"/hello\"]"),
        ("alpine:latest", "alpine", "", "CMD [\"/bin/sh\"]"),
        ("fussybeaver/uhttpd:latest", "uhttpd", "usr/sbin/run_uhttpd", "CMD [\"/bin/sh\"]"),
    ] {
        let context = folder.join(label);
        let root = context.join("root");
        let script = "mkdir -p \"$1/bin\" \"$1/tmp\" \"$1/etc\" \"$1/www\" && \
                      cp \"$(find \"$0\" -name busybox -type f -perm -1)\" \"$1/bin/busybox\" && \
                      for name in $(\"$1/bin/busybox\" --list); do ln -sf busybox \"$1/bin/$name.new\" && \
                      [ \"$name\" = busybox ] || mv \"$1/bin/$name.new\" \"$1/bin/$name\"; done; rm -f \"$1/bin/busybox.new\"";
        shell(script, &busybox, &root)?;
        write(&root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n", 0o644)?;
        let text = match label {
            // As the image of that name says it.
            "hello-world" => "#!/bin/sh\nprintf '\\nHello from Docker!\\nmade here\\n'\n",
            _ => "#!/bin/sh\nexec /bin/httpd \"$@\"\n",
        };
        // Which a test reads.
        write(&root.join("etc/config/uhttpd"), "config uhttpd main\n", 0o644)?;
        if !files.is_empty() {
            write(&root.join(files), text, 0o755)?;
        }
        let name = format!("localhost:5000/{name}");
        build(engine, &context, &name, label, command)?;
        push(engine, &name)?;
    }
    Ok(())
}

fn build(engine: &Engine<'_>, context: &Path, name: &str, label: &str, command: &str) -> Result<()> {
    let text = format!("FROM scratch\nCOPY root /\nLABEL conformance={label}\n{command}\n");
    write(&context.join("Dockerfile"), &text, 0o644)?;
    engine.docker(&["build", "--quiet", "--tag", name, &context.display().to_string()]).map(drop)
}

/// The registry may take a moment to listen; nothing but trying shows that it does.
fn push(engine: &Engine<'_>, name: &str) -> Result<()> {
    const TRIES: usize = 50;
    for _ in 1..TRIES {
        if engine.docker(&["push", "--quiet", name]).is_ok() {
            return Ok(());
        }
    }
    engine.docker(&["push", "--quiet", name]).map(drop)
}

/// The files of a Debian package.
fn unpacked(name: &str, folder: &Path) -> Result<PathBuf> {
    let place = folder.join("packages").join(name);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    // A fresh machine has no package lists.
    let script = "cd \"$0\" && { apt-get -q -o APT::Sandbox::User=root download \"$1\" || { apt-get -q update && apt-get -q -o APT::Sandbox::User=root download \"$1\"; }; } >/dev/null && \
                  dpkg -x ./*.deb files";
    shell(script, &place, Path::new(name))?;
    Ok(place.join("files"))
}

fn shell(script: &str, first: &Path, second: &Path) -> Result<()> {
    let mut sh = tools::command("sh", Path::new("/"));
    if !tools::succeeds(sh.args(["-euc", script]).arg(first).arg(second))? {
        bail!("cannot make {} of {}", second.display(), first.display());
    }
    Ok(())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    };
    make().with_context(|| format!("cannot write {}", path.display()))
}
