//! Containers that come back by themselves find their files, whatever was killed.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::processes::Process;
use sampan_e2e::{files, roots, waiting};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("integration_durable::containers_come_back_with_their_files_whatever_is_killed", killed)]
}

fn killed() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    let shared = instance.scratch("shared");
    let settings = json!({
        "schemaVersion": 1,
        "filesharingDirectories": [shared],
        "integratedWslDistros": ["d", "e"],
    });
    files::write(&instance.place().settings(), settings.to_string());
    instance.start().expect(0);
    instance.need_busybox();
    for name in ["d", "e"] {
        instance.import(name, &roots::small(), 2);
        instance
            .inside(name, &format!("mkdir -p /srv/w /srv/v && echo {name} | tee /srv/w/file > /srv/v/file"))
            .ok();
    }
    for folder in ["w", "v"] {
        files::write(&shared.join(folder).join("file"), "host\n");
    }

    // A folder, a single file, and a volume that is a folder: of the host, and of both distributions.
    let run = |at: &str, name: &str| {
        format!(
            "docker volume create -o type=none -o o=bind -o device={at}/v vol-{name} > /dev/null && \
             docker run -d --name in-{name} --restart=always -v {at}/w:/w -v {at}/w/file:/f -v vol-{name}:/v \
             e2e/busybox sleep 100000"
        )
    };
    for name in ["d", "e"] {
        instance.inside(name, &run("/srv", name)).ok();
    }
    let at = shared.display();
    instance
        .docker(&[
            "volume",
            "create",
            "-o",
            "type=none",
            "-o",
            "o=bind",
            "-o",
            &format!("device={at}/v"),
            "vol-host",
        ])
        .ok();
    let binds = [format!("{at}/w:/w"), format!("{at}/w/file:/f")];
    instance
        .docker_tool(&["run", "-d", "--name", "in-host", "--restart=always"])
        .args(["-v", &binds[0], "-v", &binds[1], "-v", "vol-host:/v", "e2e/busybox", "sleep", "100000"])
        .run()
        .ok();

    let whole = |when: &str| {
        let mark = when.replace(' ', "-");
        for name in ["d", "e", "host"] {
            let container = format!("in-{name}");
            let look =
                format!("cat /w/file /f /v/file && echo {when} > /w/{mark} && echo {when} > /v/{mark}");
            waiting::until(&format!("{container} is back {when}"), || {
                let said = instance.docker(&["exec", &container, "/bin/sh", "-c", &look]);
                said.code() == Some(0) && said.text().split_whitespace().eq([name; 3])
            });
            if name == "host" {
                assert!(["w", "v"].iter().all(|folder| shared.join(folder).join(&mark).exists()), "{when}");
            }
        }
        // Only now is either distribution used again.
        for name in ["d", "e"] {
            instance.inside(name, &format!("cat /srv/w/{mark} /srv/v/{mark}")).expect(0).says(when);
        }
    };
    whole("at first");
    instance.part("dockerd").expect("it runs").kill_and_wait();
    instance.wait_until_running();
    whole("after the end of dockerd");

    // One of the distributions does not run meanwhile.
    instance.wsl(&["--terminate", "d"]).expect(0);
    instance.service().kill_and_wait();
    instance.hub().kill_and_wait();
    instance.part("dockerd").expect("it runs").kill_and_wait();
    instance.sampan(&["start"]).expect(0);
    whole("after the end of the service and of the hub");

    instance.wsl(&["--terminate", "e"]).expect(0);
    let all = instance.processes();
    all.iter().for_each(Process::kill);
    waiting::until("all has ended", || all.iter().all(|process| !process.is_alive()));
    instance.sampan(&["start"]).expect(0);
    whole("after the end of everything");
}
