//! Folders of a distribution in containers.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::roots;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("integration_paths::what_dockerd_makes_belongs_to_the_distribution", made_by_dockerd)]
}

/// An instance with a running engine, and the distribution `d`.
fn with_distribution() -> Instance {
    let instance = Instance::started();
    instance.need_busybox();
    instance.import("d", &roots::small(), 2);
    instance
}

fn made_by_dockerd() {
    let instance = with_distribution();
    instance
        .inside(
            "d",
            "mkdir -p /srv/project && echo hello > /srv/project/file && ln -s file /srv/project/link",
        )
        .ok();
    let registry = instance.registry();
    let guid = registry.distributions.iter().find(|entry| entry.name == "d").expect("it is installed").guid;
    // What the proxy makes of a path of the distribution, at dockerd's own socket.
    let bare = format!("unix://{}", instance.engine_file("/run/docker.sock").display());
    let run = |source: &str, script: &str| {
        let bind = format!("/views/{guid}{source}:/p");
        let tool =
            instance.docker_tool(&["-H", &bare, "run", "--rm", "-v", &bind, "e2e/busybox", "/bin/sh", "-c"]);
        tool.args([script]).run().ok()
    };
    // Links in a container's folder work.
    assert_eq!(run("/srv/project", "cat /p/link"), "hello");
    run("/srv/made/deep", "echo x > /p/new");
    let owners =
        instance.inside("d", "stat -c '%n %u:%g %a' /srv/made /srv/made/deep /srv/made/deep/new").ok();
    assert_eq!(owners, "/srv/made 0:0 755\n/srv/made/deep 0:0 755\n/srv/made/deep/new 0:0 644");
}
