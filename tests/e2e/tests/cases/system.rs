//! `wsl --system`: the distribution in which the engine runs.

use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::shared;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("system::commands_run_in_the_engine_s_distribution", commands),
        Case::new("system::it_has_a_terminal", terminal),
        Case::new("system::it_is_not_entered_without_the_word_and_not_without_the_engine", refusals),
    ]
}

fn commands() {
    let instance = shared::main();
    for words in
        [&["--system"][..], &["--system", "-d", "docker-desktop"], &["-d", "Docker-Desktop", "--system"]]
    {
        let run = |more: &[&str]| instance.wsl_tool(words).args(more);
        let said =
            run(&["-e", "sh", "-c", "echo $WSL_DISTRO_NAME; id -u; pwd; uname -n; cat /proc/1/comm"]).run();
        assert_eq!(said.ok(), "docker-desktop\n0\n/root\ndocker-desktop\nsampan-guest");
        assert_eq!(said.errors(), "");
        run(&["exit 7"]).run().expect(7);
        run(&["-e", "sh", "-c", "kill -TERM $$"]).run().expect(143);
        let copied = run(&["-e", "sh", "-c", "cat; echo err >&2"]).input("in\n").run();
        assert_eq!((copied.text(), copied.errors()), ("in\n".to_owned(), "err\n".to_owned()));
        // It is the engine's own: what runs there is seen.
        let said =
            run(&["--cd", "/var/lib/docker", "-e", "sh", "-c", "pwd; cat /proc/[0-9]*/comm"]).run().ok();
        assert!(said.starts_with("/var/lib/docker\n") && said.contains("dockerd"), "{said}");
    }
    assert!(instance.engine_runs());
}

fn terminal() {
    let instance = shared::main();
    instance.wsl(&["--version"]).ok();
    let wsl = instance.identity().root.join("bin/wsl");
    let line = format!("stty rows 41 cols 99; {} --system -e sh -c 'tty; stty size; exit 3'", wsl.display());
    let script = instance.identity().tool(Path::new("script"));
    let said = script.args(["-qec", &line, "/dev/null"]).run();
    said.expect(3).says("/dev/pts/").says("41 99");
}

fn refusals() {
    let instance = shared::main();
    for name in ["docker-desktop", "docker-desktop-data"] {
        instance.wsl(&["-d", name, "-e", "true"]).expect(255).says(name).says("E_ACCESSDENIED");
    }
    let data = instance.wsl(&["--system", "-d", "docker-desktop-data"]);
    data.expect(255).says("there is nothing in it to run").says("E_ACCESSDENIED");
    let without = shared::distributions();
    let stopped = without.wsl(&["--system"]);
    stopped.expect(255).says("The engine does not run").says("sampan start");
    without.wsl(&["--system", "-d", "two", "-e", "true"]).expect(255).says("two").says("E_INVALIDARG");
}
