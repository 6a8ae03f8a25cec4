//! `docker` in distributions with the C library of Debian, with another one, and with none.

use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::roots;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("integration_roots::debian", debian),
        Case::new("integration_roots::another_c_library", musl),
        Case::new("integration_roots::no_c_library", none),
    ]
}

/// Where shells look for completions, and what each finds there.
const COMPLETIONS: [(&str, &str); 4] = [
    ("/usr/share/bash-completion/completions/docker", "__start_docker"),
    ("/usr/share/zsh/vendor-completions/_docker", "#compdef docker"),
    ("/usr/share/zsh/site-functions/_docker", "#compdef docker"),
    ("/usr/share/fish/vendor_completions.d/docker.fish", "complete -c docker"),
];

/// An instance whose engine runs, and the distribution `d` of `root`, in which docker is off.
fn instance(root: &Path) -> Instance {
    let instance = Instance::started();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.need_busybox();
    instance.sampan(&["integration", "default", "off"]).ok();
    instance.import("d", root, 2);
    instance
}

/// Docker, its plugins, containers and completions, from the moment it is turned on until it is turned off. `through`:
/// words that a command begins with.
fn works(instance: &Instance, through: &str) {
    let folders = COMPLETIONS.map(|(path, _)| path.rsplit_once('/').expect("a path").0).join(" ");
    instance.inside("d", &format!("mkdir -p {folders}")).expect(0);
    instance.sampan(&["integration", "enable", "d"]).expect(0).says("docker works in d.");
    let docker = |words: &str| instance.inside("d", &format!("{through} docker {words}"));
    let version = instance.docker(&["version", "--format", "{{.Server.Version}}"]).ok();
    assert_eq!(docker("version --format '{{.Server.Version}}'").ok(), version);
    docker("compose version").expect(0).says("Docker Compose version");
    docker("buildx version").expect(0).says("buildx");
    assert_eq!(docker("run --rm e2e/busybox echo hello").ok(), "hello");
    // By a shell of its default user too.
    assert_eq!(instance.wsl(&["-d", "d", "docker run --rm e2e/busybox echo hello"]).ok(), "hello");
    let project = "mkdir -p /srv/p && cd /srv/p && \
        printf 'services: {a: {image: e2e/busybox, command: echo composed, volumes: [\".:/p\"]}}' > compose.yaml && ";
    instance
        .inside("d", &format!("{project} {through} docker compose run --rm a"))
        .expect(0)
        .says("composed");
    let image = "printf 'FROM e2e/busybox\\nCOPY compose.yaml /here\\n' > Dockerfile && ";
    let build = format!(
        "cd /srv/p && {image} {through} docker build -q -t e2e/of-d . && {through} docker rmi e2e/of-d"
    );
    instance.inside("d", &build).expect(0);

    for (path, words) in COMPLETIONS {
        instance.inside("d", &format!("cat {path}")).expect(0).says(words);
    }
    instance.sampan(&["integration", "disable", "d"]).expect(0);
    for (path, _) in COMPLETIONS {
        instance.inside("d", &format!("test ! -e {path}")).expect(0);
    }
    instance.inside("d", &format!("ls -d {folders}")).expect(0);
    instance.inside("d", "test ! -e /usr/bin/docker && ! grep docker /etc/group").expect(0);
}

fn debian() {
    let instance = instance(&roots::debian());
    instance
        .inside("d", "test -e /lib64/ld-linux-x86-64.so.2 || test -e /lib/ld-linux-aarch64.so.1")
        .expect(0);
    works(&instance, "");
}

fn musl() {
    let instance = instance(&roots::musl());
    assert_eq!(instance.inside("d", "through-musl echo it runs").ok(), "it runs");
    let library = "mkdir -p /aside && mv /lib/ld-musl-* /aside/; through-musl true";
    instance.inside("d", library).expect(127);
    instance.inside("d", "mv /aside/ld-musl-* /lib/; ls /lib64 /lib/ld-linux*").expect_failure();
    works(&instance, "through-musl");
}

fn none() {
    let instance = instance(&roots::small());
    instance
        .inside("d", "find / -xdev -name 'ld-*' -o -xdev -name 'libc.*' | grep -v /proc/ | grep .")
        .expect(1);
    works(&instance, "");
}
