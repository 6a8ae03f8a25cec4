//! `docker` as a distribution sees it: the engine's CLI, run by `sampan-docker` where there is no C library.

use sampan_e2e::case::Case;
use sampan_e2e::tools::{Output, Tool};
use sampan_e2e::{files, shared, workspace};

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("docker_inside::the_engine_s_cli_runs_without_a_c_library", without_a_c_library)]
}

fn without_a_c_library() {
    let instance = shared::main();
    let root = instance.scratch("no-libc");
    let cli = root.join("run/sampan/cli");
    for folder in ["usr/bin", "run/sampan/cli", "run/sampan/integration"] {
        files::make_folder(&root.join(folder));
    }
    std::fs::copy(workspace::program("sampan-docker"), root.join("usr/bin/docker"))
        .expect("sampan-docker is built with the other programs");
    let socket = root.join("run/sampan/integration/docker.sock");
    files::write(&socket, "");
    // In mounts of its own, which end with it.
    let script = "mount --bind \"$1\" \"$2\" && mount --bind \"$3\" \"$4\" && root=$5 && shift 5 && \
                  exec env -i HOME=/ PATH=/usr/sbin:/usr/bin chroot \"$root\" /usr/bin/docker \"$@\"";
    let docker = |args: &[&str]| -> Output {
        let shell = ["-m", "--propagation", "slave", "sh", "-c", script, "sh"];
        let own = std::fs::canonicalize(instance.place().cli()).expect("the engine has a CLI");
        let tool = Tool::new("unshare").args(shell).arg(own).arg(&cli);
        tool.arg(instance.place().docker_socket()).arg(&socket).arg(&root).args(args).run()
    };
    let version = docker(&["--version"]);
    version.expect(0);
    assert!(version.text().starts_with("Docker version "), "{version}");
    let talk = docker(&["version", "--format", "{{.Server.Version}}"]);
    talk.expect(0);
    assert_eq!(talk.text(), instance.docker(&["version", "--format", "{{.Server.Version}}"]).text());
    for plugin in ["buildx", "compose"] {
        if instance.place().cli().join(format!("plugins/docker-{plugin}")).exists() {
            let version = docker(&[plugin, "version"]);
            version.expect(0);
            assert!(!version.text().is_empty(), "{version}");
        }
    }
    docker(&["completion", "bash"]).expect(0).says("__start_docker");
    docker(&["__complete", "compose", "up", "--no-st"]).expect(0).says("--no-start");
    docker(&["__complete", "buildx", "cre"]).expect(0).says("create");
    assert_eq!(docker(&["run", "--rm", "no.such.image/at:all"]).code(), Some(125), "docker's own exit code");
}
