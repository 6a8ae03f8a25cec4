//! Folders of the host in containers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, kernel, waiting};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("host_paths::sources_are_those_of_the_host", sources),
        Case::new("host_paths::containers_come_back_with_their_files", come_back),
        Case::new("host_paths::what_is_made_later_is_seen_and_nothing_is_mounted_on_the_host", mounts),
        Case::new("host_paths::what_the_instance_is_made_of_may_be_in_a_shared_folder", around),
        Case::new("host_paths::a_folder_is_added_while_all_runs", added),
        Case::new("host_paths::the_folder_that_somebody_works_in_is_found", worked_in),
    ]
}

/// An instance that shares one folder of its own, and that folder.
fn sharing() -> (Instance, PathBuf) {
    let instance = Instance::new();
    let folder = instance.scratch("shared");
    let settings = json!({ "schemaVersion": 1, "filesharingDirectories": [folder] });
    files::write(&instance.place().settings(), settings.to_string());
    instance.start().expect(0);
    instance.need_busybox();
    (instance, folder)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The output of `script` in a container with these options.
fn run(instance: &Instance, options: &[&str], script: &str) -> String {
    let tool =
        instance.docker_tool(&["run", "--rm"]).args(options).args(["e2e/busybox", "/bin/sh", "-c", script]);
    tool.run().ok()
}

fn sources() {
    let (instance, folder) = sharing();
    files::make_folder(&folder.join("project"));
    files::write(&folder.join("project/file"), "of the host");
    files::write(&folder.join("one file"), "single");
    symlink("project", folder.join("link")).expect("a link");
    symlink(folder.join("project"), folder.join("absolute")).expect("a link");

    // At dockerd's own socket the engine's paths work, and the host's do not.
    let bare = format!("unix://{}", instance.engine_file("/run/docker.sock").display());
    let seen = format!("/views/host{}/project:/p", path(&folder));
    let cat = ["e2e/busybox", "cat", "/p/file"];
    assert_eq!(
        instance.docker_tool(&["-H", &bare, "run", "--rm", "-v", &seen]).args(cat).run().ok(),
        "of the host"
    );
    let own = format!("{}:/p", path(&folder.join("one file")));
    let lost =
        instance.docker_tool(&["-H", &bare, "run", "--rm", "-v", &own]).args(["e2e/busybox", "cat", "/p"]);
    lost.run().expect_failure();

    // Both ways, however the source is written.
    for name in ["project", "link", "absolute", "project/../project/", "none/../project"] {
        let bind = format!("{}/{name}:/p", path(&folder));
        assert_eq!(
            run(&instance, &["-v", &bind], "cat /p/file; echo container > /p/new"),
            "of the host",
            "{name}"
        );
        assert_eq!(files::read(&folder.join("project/new")), b"container\n", "{name}");
        fs::remove_file(folder.join("project/new")).expect("it is there");
    }
    let mount = format!("type=bind,source={},target=/p,readonly", path(&folder.join("one file")));
    assert_eq!(run(&instance, &["--mount", &mount], "cat /p; echo x > /p || echo no"), "singleno");
    let device = format!("device={}", path(&folder.join("project")));
    instance.docker(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "folder"]).ok();
    assert_eq!(run(&instance, &["-v", "folder:/p"], "cat /p/file"), "of the host");

    // What is shown is what was said.
    let bind = format!("{}:/p:ro", path(&folder.join("project")));
    let id = instance.container(
        &["--name", "shown", "-v", &bind, "--mount", &mount.replace("target=/p", "target=/m")],
        "sleep 3600",
    );
    assert_eq!(instance.inspect(&id, "{{index .HostConfig.Binds 0}}"), bind);
    for (what, said) in [
        ("container", instance.docker(&["inspect", "shown"]).ok()),
        ("volume", instance.docker(&["volume", "inspect", "folder"]).ok()),
        ("list", instance.docker(&["ps", "--no-trunc", "--format", "{{.Mounts}}"]).ok()),
    ] {
        assert!(said.contains(path(&folder)) && !said.contains("/views"), "{what}: {said}");
    }

    // And what is shown can be asked for.
    let by_folder = |folder: &Path| {
        instance.docker(&["ps", "-q", "--no-trunc", "--filter", &format!("volume={}", path(folder))]).ok()
    };
    assert_eq!(by_folder(&folder.join("project")).trim(), id);
    assert_eq!(by_folder(Path::new("/m")).trim(), id, "a place in the container");
    assert_eq!(by_folder(&folder.join("other")), "");

    // A source that is missing: `-v` makes it, on the host; `--mount` says so.
    let missing = folder.join("made/by docker");
    run(&instance, &["-v", &format!("{}:/p", path(&missing))], "echo x > /p/y");
    assert_eq!(files::read(&missing.join("y")), b"x\n");
    let nothing = folder.join("nothing");
    let refused = instance.docker(&[
        "run",
        "--rm",
        "--mount",
        &format!("type=bind,source={},target=/p", path(&nothing)),
        "e2e/busybox",
    ]);
    refused.expect_failure();
    refused.says(&format!("bind source path does not exist: {}", path(&nothing)));
    assert!(!nothing.exists());

    // What is not shared is no empty folder.
    for source in ["/etc", "/srv/nowhere", "/", path(folder.parent().expect("a parent"))] {
        let refused = instance.docker(&["run", "--rm", "-v", &format!("{source}:/p"), "e2e/busybox"]);
        refused.expect_failure();
        refused.says("mounts denied").says(source);
    }
    symlink("/etc", folder.join("out")).expect("a link");
    let refused =
        instance.docker(&["run", "--rm", "-v", &format!("{}/out:/p", path(&folder)), "e2e/busybox"]);
    refused.expect_failure();
    refused.says("mounts denied");

    // Whoever asks the engine from a container finds it.
    assert_eq!(
        run(
            &instance,
            &["-v", "/var/run/docker.sock:/var/run/docker.sock"],
            "test -S /var/run/docker.sock && echo yes"
        ),
        "yes"
    );
}

fn come_back() {
    let (instance, folder) = sharing();
    files::write(&folder.join("file"), "kept");
    let binds = [format!("{}:/folder", path(&folder)), format!("{}:/file", path(&folder.join("file")))];
    let device = format!("device={}", path(&folder));
    instance.docker(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "data"]).ok();
    let options =
        ["--restart=always", "--name", "keeper", "-v", &binds[0], "-v", &binds[1], "-v", "data:/volume"];
    instance.container(&options, "trap exit TERM; while true; do sleep 0.1; done");
    let mut round = 0;
    let mut check = |what: &str| {
        round += 1;
        waiting::until(what, || {
            instance.docker(&["inspect", "--format", "{{.State.Running}}", "keeper"]).text() == "true\n"
        });
        let script = format!("cat /file /folder/file /volume/file; echo {round} > /folder/round");
        assert_eq!(instance.docker(&["exec", "keeper", "sh", "-c", &script]).ok(), "keptkeptkept", "{what}");
        assert_eq!(files::read(&folder.join("round")), format!("{round}\n").as_bytes(), "{what}");
    };
    check("at first");
    instance.part("dockerd").expect("it runs").kill_and_wait();
    instance.wait_until_running();
    check("after the death of dockerd");
    instance.sampan(&["restart"]).expect(0);
    check("after a restart");
    instance.sampan(&["stop"]).expect(0);
    instance.start().expect(0);
    check("after a stop and a start");
}

fn mounts() {
    let (instance, folder) = sharing();
    let id = instance.container(&["-v", &format!("{}:/p:rslave", path(&folder))], "sleep 3600");
    files::make_folder(&folder.join("later"));
    assert_eq!(instance.docker(&["exec", &id, "ls", "/p"]).ok(), "later");
    // Nothing of the container's or the engine's is seen on the host.
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!table.lines().any(|line| line.contains("/views/")), "{table}");
}

fn around() {
    let instance = Instance::new();
    let root = instance.identity().root.clone();
    let settings = json!({ "schemaVersion": 1, "filesharingDirectories": [root] });
    files::write(&instance.place().settings(), settings.to_string());
    instance.start().expect(0);
    let of_its_own = kernel::mounts(&instance.hub().pid.to_string());
    let within: Vec<_> = of_its_own.iter().filter(|mount| mount.at.starts_with("/views/host")).collect();
    // The hub does not see itself in what it shows: that would hold disks for ever.
    assert_eq!(within.len(), 1, "{within:?}");
    assert_eq!(within[0].at, Path::new("/views/host").join(root.strip_prefix("/").expect("absolute")));
}

fn added() {
    let (instance, folder) = sharing();
    let id = instance.container(&["-v", &format!("{}:/p", path(&folder))], "sleep 3600");
    let outer = instance.scratch("outer");
    files::make_folder(&outer.join("inner"));
    files::write(&outer.join("inner/file"), "within");
    files::write(&outer.join("file"), "around");
    let bind = |folder: &Path| format!("{}:/p", path(folder));
    let refused = instance.docker(&["run", "--rm", "-v", &bind(&outer), "e2e/busybox", "true"]);
    refused.expect_failure();
    refused.says("filesharingDirectories").says("sampan start");

    // First one in it, then the one around it: each is there at once, and what ran goes on.
    for (also, content) in [(outer.join("inner"), "within"), (outer.clone(), "around")] {
        let settings = json!({ "schemaVersion": 1, "filesharingDirectories": [folder, also] });
        files::write(&instance.place().settings(), settings.to_string());
        instance.sampan(&["start"]).ok();
        assert_eq!(run(&instance, &["-v", &bind(&also)], "cat /p/file"), content);
    }
    assert_eq!(instance.inspect(&id, "{{.State.Running}}"), "true");
    files::write(&folder.join("new"), "seen");
    assert_eq!(instance.docker(&["exec", &id, "cat", "/p/new"]).ok(), "seen");

    // One that was deleted and made anew is not the one that containers saw.
    fs::remove_dir_all(&outer).expect("it is there");
    files::make_folder(&outer);
    files::write(&outer.join("file"), "anew");
    instance.sampan(&["start"]).ok();
    assert_eq!(run(&instance, &["-v", &bind(&outer)], "cat /p/file"), "anew");
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!table.contains("/views/"), "{table}");
}

fn worked_in() {
    let (instance, _) = sharing();
    let project = instance.scratch("project");
    for folder in ["src", ".git"] {
        files::make_folder(&project.join(folder));
    }
    files::write(&project.join("file"), "worked on");
    let bind = format!("{}:/p", path(&project));
    let from = |folder: &Path, arguments: &[&str]| instance.tool(arguments).folder(folder).run();
    let cat = ["docker", "run", "--rm", "-v", &bind, "e2e/busybox", "cat", "/p/file"];

    // Who works elsewhere has not got it.
    let refused = from(Path::new("/etc"), &cat);
    refused.expect_failure();
    refused.says("mounts denied");

    // The tree is git's, from wherever in it; it is said once.
    let told = format!("{} is shared with containers from now on", path(&project));
    let first = from(&project.join("src"), &cat);
    assert_eq!(first.ok(), "worked on");
    first.says(&told);
    let second = from(&project, &cat);
    assert_eq!(second.ok(), "worked on");
    assert!(!second.errors().contains("shared"), "{second}");

    // Also from where git is told not to look: then it is the folder.
    let apart = instance.scratch("apart");
    for folder in ["src", ".git"] {
        files::make_folder(&apart.join(folder));
    }
    let ceiling = instance.tool(&["start"]).folder(&apart.join("src")).env("GIT_CEILING_DIRECTORIES", &apart);
    ceiling.run().expect(0).says(&format!("{} is shared", path(&apart.join("src"))));

    // It is there for whatever comes back by itself, wherever the engine is started from.
    let id = instance.container(&["--restart=always", "-v", &bind], "sleep 3600");
    instance.sampan(&["stop"]).expect(0);
    let started = from(Path::new("/"), &["start"]);
    started.expect(0);
    assert!(!started.errors().contains("shared"), "{started}");
    waiting::until("the container is back", || instance.inspect(&id, "{{.State.Running}}") == "true");
    assert_eq!(instance.docker(&["exec", &id, "cat", "/p/file"]).ok(), "worked on");

    // A list that is damaged costs the trees, and nothing else; it stays as it is.
    let list = instance.place().working_trees();
    files::write(&list, "{\"schemaVer");
    let warned = from(&project, &["restart"]);
    warned.expect(0).says("working-trees.json").says("damaged");
    assert_eq!(files::read(&list), b"{\"schemaVer");
}
