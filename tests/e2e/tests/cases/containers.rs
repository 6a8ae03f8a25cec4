//! What people do with containers all day.

use std::fs;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::random::Sequence;
use sampan_e2e::{files, kernel, shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("containers::build_runs_commands_and_tags", build),
        Case::new("containers::memory_and_cpu_limits_are_real", limits),
        Case::new("containers::a_container_over_its_memory_limit_is_ended", out_of_memory),
        Case::new("containers::exec_runs_inside_and_gives_the_exit_code", exec),
        Case::new("containers::logs_follow_until_the_end", logs_follow),
        Case::new("containers::cp_copies_both_ways_byte_for_byte", cp),
        Case::new("containers::named_volumes_outlive_containers", volume),
        Case::new("containers::containers_of_a_user_network_find_each_other_by_name", user_network),
        Case::new("containers::exit_codes_come_through", exit_codes),
        Case::new("containers::five_megabytes_pass_through_run_i_unchanged", echo),
        Case::new("containers::save_and_load_keep_an_image", save_and_load),
        Case::new("containers::compose_is_there", compose),
        Case::new("containers::an_image_becomes_a_distribution_that_is_no_container", distribution),
    ]
}

fn remove(instance: &Instance, container: &str) {
    instance.docker(&["rm", "-f", "-v", container]).ok();
}

fn build() {
    let instance = shared::main();
    instance.need_busybox();
    let folder = instance.scratch("build");
    files::write(
        &folder.join("Dockerfile"),
        "FROM e2e/busybox\nARG WORD=none\nRUN echo \"made with $WORD\" > /made\nCOPY data /data\n\
         CMD [\"cat\", \"/made\", \"/data\"]\n",
    );
    files::write(&folder.join("data"), "from the build's folder\n");
    instance.docker_tool(&["build", "--build-arg", "WORD=care", "-t", "e2e/built:1"]).arg(&folder).run().ok();
    let said = instance.docker(&["run", "--rm", "e2e/built:1"]).ok();
    assert_eq!(said, "made with care\nfrom the build's folder");
}

fn limits() {
    const MEMORY: &str = "67108864";
    let instance = shared::main();
    let id = instance.container(&["-m", "64m", "--cpus", "0.5"], "sleep 3600");
    assert_eq!(
        instance.inspect(&id, "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}"),
        format!("{MEMORY} 500000000")
    );
    let inside =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    assert_eq!(instance.docker(&["exec", &id, "sh", "-c", inside]).ok(), MEMORY, "seen from inside");

    let folders: Vec<_> = kernel::cgroups(&instance.place().cgroup())
        .iter()
        .flat_map(|ours| kernel::below(ours, &|name| name.contains(&id)))
        .collect();
    let value = |names: &[&str]| -> Option<String> {
        let files = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        files.into_iter().find_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_owned())
    };
    let memory = value(&["memory.limit_in_bytes", "memory.max"]);
    assert_eq!(memory.as_deref(), Some(MEMORY), "below the instance's cgroup, in {folders:?}");
    let cpu = value(&["cpu.cfs_quota_us", "cpu.max"]).expect("the container has a CPU limit");
    assert!(cpu.starts_with("50000"), "half of the period of 100000: {cpu}");
    remove(instance, &id);
}

fn out_of_memory() {
    let instance = shared::main();
    // What is on a tmpfs counts as the container's memory.
    let fill = "dd if=/dev/zero of=/big/file bs=1M count=200";
    let id = instance.container(&["-m", "32m", "--memory-swap", "32m", "--tmpfs", "/big:size=400m"], fill);
    assert_eq!(instance.docker(&["wait", &id]).ok(), "137");
    remove(instance, &id);
}

fn exec() {
    let instance = shared::main();
    let id = instance.container(&["-e", "COLOUR=green"], "sleep 3600");
    assert_eq!(instance.docker(&["exec", &id, "sh", "-c", "echo $COLOUR; hostname"]).ok(), {
        format!("green\n{}", &id[..12])
    });
    instance.docker(&["exec", &id, "sh", "-c", "exit 42"]).expect(42);
    let piped = instance.docker_tool(&["exec", "-i", &id, "cat"]).input("through").run();
    assert_eq!(piped.ok(), "through");
    remove(instance, &id);
}

fn logs_follow() {
    let instance = shared::main();
    let id = instance
        .container(&[], "echo first; while [ ! -e /go ]; do sleep 0.1; done; echo second; echo third >&2");
    let follower = instance.docker_tool(&["logs", "-f", &id]).spawn();
    follower.wait_for_text("first\n");
    assert!(!follower.has_ended());
    instance.docker(&["exec", &id, "touch", "/go"]).ok();
    let output = follower.finish();
    output.expect(0);
    assert_eq!((output.text(), output.errors()), ("first\nsecond\n".to_owned(), "third\n".to_owned()));
    remove(instance, &id);
}

fn cp() {
    let instance = shared::main();
    let folder = instance.scratch("cp");
    let content = Sequence::announced("cp").bytes(300_000);
    files::write(&folder.join("there"), &content);
    let id = instance.container(&[], "sleep 3600");
    instance.docker_tool(&["cp"]).arg(folder.join("there")).arg(format!("{id}:/tmp/copy")).run().ok();
    assert_eq!(instance.docker(&["exec", &id, "wc", "-c", "/tmp/copy"]).ok(), "300000 /tmp/copy");
    instance.docker_tool(&["cp"]).arg(format!("{id}:/tmp/copy")).arg(folder.join("back")).run().ok();
    assert!(files::read(&folder.join("back")) == content, "the copy of the copy differs");
    remove(instance, &id);
}

fn volume() {
    let instance = shared::main();
    instance.need_busybox();
    instance.docker(&["volume", "create", "e2e-volume"]).ok();
    let run = |script: &str| {
        instance.docker(&["run", "--rm", "-v", "e2e-volume:/data", "e2e/busybox", "sh", "-c", script]).ok()
    };
    run("echo kept > /data/file");
    assert_eq!(run("cat /data/file"), "kept");
    assert!(instance.docker(&["volume", "ls", "-q"]).ok().lines().any(|name| name == "e2e-volume"));
    instance.docker(&["volume", "rm", "e2e-volume"]).ok();
}

fn user_network() {
    let instance = shared::main();
    instance.docker(&["network", "create", "e2e-network"]).ok();
    let server = instance.container(
        &["--network", "e2e-network", "--name", "e2e-server", "--network-alias", "alias"],
        "mkdir /www; echo served > /www/index.html; exec httpd -f -p 8080 -h /www",
    );
    let ask = |host: &str| {
        let url = format!("http://{host}:8080/index.html");
        instance.docker(&["run", "--rm", "--network", "e2e-network", "e2e/busybox", "wget", "-qO-", &url])
    };
    waiting::until("the server listens", || ask("e2e-server").code() == Some(0));
    assert_eq!(ask("e2e-server").ok(), "served");
    assert_eq!(ask("alias").ok(), "served");
    remove(instance, &server);
    instance.docker(&["network", "rm", "e2e-network"]).ok();
}

fn exit_codes() {
    let instance = shared::main();
    instance.need_busybox();
    instance.docker(&["run", "--rm", "e2e/busybox", "sh", "-c", "exit 7"]).expect(7);
    instance.docker(&["run", "--rm", "e2e/busybox", "/no/such/program"]).expect(127);
    instance.docker(&["run", "--no-such-option"]).expect(125);
}

fn echo() {
    let instance = shared::main();
    instance.need_busybox();
    let content = Sequence::announced("echo").bytes(5 << 20);
    let output =
        instance.docker_tool(&["run", "--rm", "-i", "e2e/busybox", "cat"]).input(content.clone()).run();
    assert_eq!(output.code(), Some(0), "{}", output.errors());
    assert_eq!(output.bytes().len(), content.len(), "bytes that came back");
    assert!(output.bytes() == content, "what came back differs from what was sent");
}

fn save_and_load() {
    let instance = shared::main();
    instance.need_busybox();
    instance.docker(&["tag", "e2e/busybox", "e2e/saved"]).ok();
    let file = instance.scratch("save").join("image.tar");
    instance.docker_tool(&["save", "e2e/saved", "-o"]).arg(&file).run().ok();
    instance.docker(&["rmi", "e2e/saved"]).ok();
    instance.docker_tool(&["load", "-i"]).arg(&file).run().expect(0).says("e2e/saved");
}

fn compose() {
    let instance = shared::main();
    instance.need_busybox();
    let folder = instance.scratch("compose");
    files::write(
        &folder.join("compose.yaml"),
        "services:\n  one:\n    image: e2e/busybox\n    command: [\"sleep\", \"3600\"]\n",
    );
    let compose = |args: &[&str]| {
        instance
            .docker_tool(&["compose", "-p", "e2ecompose", "-f"])
            .arg(folder.join("compose.yaml"))
            .args(args)
    };
    compose(&["up", "-d"]).run().ok();
    assert_eq!(compose(&["ps", "--services", "--status", "running"]).run().ok(), "one");
    compose(&["down", "-t", "1"]).run().ok();
}

fn distribution() {
    let instance = Instance::started();
    instance.need_busybox();
    instance.sampan(&["distro", "from-image", "e2e/busybox", "--name", "box"]).expect(0).says("wsl -d box");
    assert_eq!(instance.inside("box", "ls -A / | grep -c dockerenv; ls /bin/sh").text(), "0\n/bin/sh\n");
    assert_eq!(instance.docker(&["ps", "-aq"]).ok(), "", "the container it was made of is gone");
}
