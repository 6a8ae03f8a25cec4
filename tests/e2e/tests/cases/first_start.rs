//! A new user types one command and has an engine.

use std::os::unix::fs::MetadataExt;

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::{files, images, shared, workspace};
use sampan_model::distro::{DATA, DistroState, ENGINE, Guid};
use sampan_model::wsl::list;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::skippable("first_start::builds_the_engine_image_from_packages_and_runs", builds),
        Case::new("first_start::status_tells_everything_as_json", status),
        Case::new("first_start::status_for_people_names_state_and_socket", status_for_people),
        Case::new("first_start::wsl_lists_both_distributions_in_its_exact_layout", wsl_list),
        Case::new("first_start::a_container_of_an_image_built_here_runs", hello),
        Case::new("first_start::version_lists_the_packages_of_the_engine", version),
        Case::new("first_start::a_second_start_says_that_it_runs", second_start),
        Case::new("first_start::nothing_is_mounted_in_the_host_s_namespace", no_mounts),
        Case::new("first_start::docs_internals_names_every_file_of_the_state_folder", documented),
        Case::new("first_start::the_data_disk_is_sparse", sparse),
    ]
}

fn builds() -> Result<(), Skip> {
    if images::given_engine().is_some() {
        return Err(Skip(format!("{} is set, so none is built", images::ENGINE_VARIABLE)));
    }
    let main = shared::started();
    main.first_start.ok();
    assert_eq!(shared::cached_images(&main.instance).len(), 1, "the built image is in the cache");
    assert!(main.instance.engine_runs());
    Ok(())
}

fn status() {
    let instance = shared::main();
    let output = instance.sampan(&["status", "--format", "json"]);
    output.expect(0);
    let status = instance.status();
    assert_eq!(status.instance, instance.place().name());
    assert_eq!(status.engine.state.word(), "running");
    assert_eq!(status.docker_socket, instance.place().docker_socket());
    assert_eq!(status.state_dir, instance.place().state());
    let info = status.engine_info.expect("a running engine says what it is");
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()), "{info:?}");
    for name in [ENGINE, DATA] {
        let distro = status.distributions.iter().find(|distro| distro.name == name);
        let distro = distro.unwrap_or_else(|| panic!("{name} is missing: {output}"));
        assert_eq!((distro.state, distro.version), (DistroState::Running, 2), "{name}");
        let disk = status.disks.iter().find(|disk| disk.distribution == name);
        let disk = disk.unwrap_or_else(|| panic!("the disk of {name} is missing: {output}"));
        assert!(disk.path.is_file() && disk.size_bytes >= disk.allocated_bytes, "{disk:?}");
    }
    assert!(status.subnet.is_some_and(|subnet| subnet.ends_with("/24")));
}

fn status_for_people() {
    let instance = shared::main();
    let output = instance.sampan(&["status"]);
    output.expect(0);
    output.says("running").says(&instance.place().docker_socket().display().to_string());
}

fn wsl_list() {
    let instance = shared::main();
    let rows: Vec<list::Row> = instance
        .status()
        .distributions
        .into_iter()
        .map(|d| list::Row { name: d.name, state: d.state, version: d.version, default: d.default })
        .collect();
    let output = instance.wsl(&["-l", "-v"]);
    output.expect(0);
    assert_eq!(output.text(), list::verbose(&rows));
    let text = output.text();
    assert!(text.starts_with("  NAME                   STATE           VERSION\n"), "{text}");
    for name in [ENGINE, DATA] {
        let line = format!(" {name:<23}Running         2\n");
        assert!(text.contains(&line), "no line `{line}` in:\n{text}");
    }
    assert_eq!(instance.wsl(&["--list", "--verbose"]).text(), text, "the long form says the same");
}

fn hello() {
    let instance = shared::main();
    let folder = instance.scratch("hello");
    files::write(
        &folder.join("Dockerfile"),
        "FROM scratch\nCOPY sampan-hello /hello\nENTRYPOINT [\"/hello\"]\n",
    );
    std::fs::copy(workspace::program("sampan-hello"), folder.join("sampan-hello"))
        .expect("sampan-hello is built with the other programs");
    instance.docker_tool(&["build", "-t", "e2e/hello"]).arg(&folder).run().ok();
    let output = instance.docker(&["run", "--rm", "e2e/hello"]);
    output.expect(0);
    assert!(output.text().starts_with("Hello from a container.\n"), "{output}");
}

fn version() {
    let instance = shared::main();
    let version = instance.sampan(&["version", "--format", "json"]);
    version.expect(0);
    let json = version.json();
    assert_eq!(json["client"], env!("CARGO_PKG_VERSION"), "{version}");
    assert_eq!(json["service"]["version"], env!("CARGO_PKG_VERSION"), "{version}");
    let packages = json["service"]["engineImage"]["packages"].as_array().cloned().unwrap_or_default();
    let text = instance.sampan(&["version"]);
    text.expect(0).says(env!("CARGO_PKG_VERSION"));
    for name in ["docker.io", "containerd", "runc", "iptables", "ca-certificates", "e2fsprogs", "procps"] {
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap_or_else(|| panic!("{name} is missing: {version}"));
        let number = package["version"].as_str().unwrap_or_default();
        assert!(!number.is_empty(), "{package}");
        text.says(name).says(number);
    }
}

fn second_start() {
    let instance = shared::main();
    let before = instance.init();
    let output = instance.sampan(&["start"]);
    output.expect(0).says_one_of(&["already", "runs", "running"]);
    assert_eq!(instance.init(), before, "nothing was started again");
}

fn no_mounts() {
    let instance = shared::main();
    let folder = instance.identity().root.display().to_string();
    let run = instance.identity().run_base.display().to_string();
    let found: Vec<String> = sampan_e2e::kernel::mounts("self")
        .into_iter()
        .map(|mount| mount.line)
        .filter(|line| line.contains(&folder) || line.contains(&run))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn sparse() {
    let instance = shared::main();
    let disk = instance.disk(&instance.data_guid());
    let data = std::fs::metadata(&disk).expect("the disk of docker-desktop-data is there");
    assert!(data.blocks() * 512 < data.size() / 4, "{} takes {} blocks", disk.display(), data.blocks());
    assert_eq!(data.mode() & 0o077, 0, "{} is nobody else's business", disk.display());
}

/// `docs/internals.md` lists the state folder, one path per row in the first column.
fn documented() {
    let instance = shared::main();
    let text = std::fs::read_to_string(workspace::root().join("docs/internals.md")).expect("it is there");
    let rows: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let state = instance.place().state().to_owned();
    let mut unknown = Vec::new();
    let mut folders = vec![state.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the tests are root").flatten() {
            let path = entry.path();
            let parts = path.strip_prefix(&state).expect("it is below").iter().map(|part| {
                let part = part.to_string_lossy();
                if part.parse::<Guid>().is_ok() { "<guid>".into() } else { part }
            });
            let mut name = parts.collect::<Vec<_>>().join("/");
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                name.push('/');
            }
            // A folder without a row of its own is there for the files in it, which have theirs.
            let known = rows.iter().any(|row| *row == name || name.ends_with('/') && row.starts_with(&name));
            if !known {
                unknown.push(name);
            }
        }
    }
    assert!(unknown.is_empty(), "docs/internals.md does not name {unknown:?}");
}
