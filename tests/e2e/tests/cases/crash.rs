//! `kill -9` of any part: what ran goes on, and what died comes back.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::processes::Process;
use sampan_e2e::waiting;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("crash::containers_outlive_the_service_and_the_next_one_takes_over", service),
        Case::new("crash::dockerd_comes_back", dockerd),
        Case::new("crash::containerd_comes_back", containerd),
        Case::new("crash::the_supervisor_comes_back_and_adopts_the_engine", supervisor),
        Case::new("crash::the_api_relay_comes_back", relay),
        Case::new("crash::the_next_start_mends_a_dead_init", init),
        Case::new("crash::the_next_start_mends_a_dead_hub", hub),
        Case::new("crash::the_next_start_mends_the_death_of_everything", everything),
    ]
}

struct Running {
    instance: Instance,
    container: String,
    started_at: String,
}

/// An instance with a container that would come back by itself.
fn running() -> Running {
    let instance = Instance::started();
    let container = instance.container(&["--restart", "always"], "sleep 36000");
    let started_at = instance.inspect(&container, "{{.State.StartedAt}}");
    Running { instance, container, started_at }
}

impl Running {
    #[track_caller]
    fn assert_container_ran_on(&self) {
        let now = self.instance.inspect(&self.container, "{{.State.Running}} {{.State.StartedAt}}");
        assert_eq!(now, format!("true {}", self.started_at), "the container was not touched");
    }

    #[track_caller]
    fn wait_for_container(&self) {
        waiting::until("the container is up", || {
            let look = ["inspect", "--format", "{{.State.Running}}", &self.container];
            let output = self.instance.docker(&look);
            output.code() == Some(0) && output.text().trim() == "true"
        });
        // After containerd's death dockerd dials it again in its own time; until then it says `connection refused`.
        waiting::until("the container takes commands", || {
            self.instance.docker(&["exec", &self.container, "echo", "alive"]).text().trim() == "alive"
        });
    }
}

fn service() {
    let running = running();
    let instance = &running.instance;
    let (init, hub, dockerd) = (instance.init(), instance.hub(), instance.part("dockerd"));
    let service = instance.service();
    service.kill_and_wait();

    running.assert_container_ran_on();
    instance.sampan(&["status"]).expect(3).says("not running").says("sampan start");

    instance.sampan(&["start"]).ok();
    assert_ne!(instance.service(), service);
    assert_eq!((instance.init(), instance.hub(), instance.part("dockerd")), (init, hub, dockerd));
    let status = instance.status();
    assert_eq!(status.engine.state.word(), "running");
    assert_eq!(status.engine_info.map(|info| info.containers_running), Some(1));
    instance.sampan(&["status"]).expect(0);
    running.assert_container_ran_on();
}

#[track_caller]
fn kill_part(running: &Running, name: &str) {
    let instance = &running.instance;
    let before = instance.part(name).unwrap_or_else(|| panic!("{name} runs"));
    before.kill_and_wait();
    let after = waiting::until_some(&format!("{name} is back"), || instance.part(name));
    assert_ne!(after, before);
    instance.wait_until_running();
    waiting::until("the restart is counted", || instance.status().engine.restarts >= 1);
    running.wait_for_container();
}

fn dockerd() {
    let running = running();
    let init = running.instance.init();
    kill_part(&running, "dockerd");
    assert_eq!(running.instance.init(), init, "nothing but the engine was started again");
}

fn containerd() {
    let running = running();
    kill_part(&running, "containerd");
    let again = running.instance.container(&[], "echo new; sleep 3600");
    assert_eq!(running.instance.inspect(&again, "{{.State.Running}}"), "true");
}

#[track_caller]
fn kill_service_of_init(instance: &Instance, verb: &str) {
    let before = instance.service_of_init(verb).unwrap_or_else(|| panic!("init keeps `{verb}` running"));
    before.kill_and_wait();
    let after = waiting::until_some("init has started it again", || instance.service_of_init(verb));
    assert_ne!(after, before);
}

fn supervisor() {
    let running = running();
    let instance = &running.instance;
    let parts = |i: &Instance| -> [Option<Process>; 2] { [i.part("dockerd"), i.part("containerd")] };
    let before = parts(instance);
    kill_service_of_init(instance, "engine");
    instance.wait_until_running();
    assert_eq!(parts(instance), before, "the engine was adopted");
    running.assert_container_ran_on();

    // It watches what it adopted.
    kill_part(&running, "dockerd");
    instance.sampan(&["stop"]).ok();
    instance.sampan(&["start"]).ok();
    running.wait_for_container();
}

fn relay() {
    let running = running();
    kill_service_of_init(&running.instance, "api");
    // The socket is the launcher's, so that clients wait instead of being refused.
    running.assert_container_ran_on();
}

fn init() {
    let running = running();
    let instance = &running.instance;
    let before = instance.init();
    before.kill_and_wait();
    waiting::until("the status no longer says that the engine runs", || !instance.engine_runs());
    instance.sampan(&["start"]).ok();
    assert_ne!(instance.init(), before);
    instance.wait_until_running();
    running.wait_for_container();
}

fn hub() {
    let running = running();
    let instance = &running.instance;
    let before = instance.hub();
    before.kill_and_wait();
    instance.sampan(&["start"]).ok();
    assert_ne!(instance.hub(), before, "a new hub");
    instance.wait_until_running();
    running.wait_for_container();
}

fn everything() {
    let running = running();
    let instance = &running.instance;
    waiting::until("all is dead", || {
        let processes = instance.processes();
        processes.iter().for_each(Process::kill);
        processes.is_empty()
    });
    let status = instance.sampan(&["status"]);
    status.expect(3);
    assert!(!status.all().contains("takes them over"), "nothing runs that could be taken over: {status}");
    instance.sampan(&["start"]).ok();
    running.wait_for_container();
}
