//! The docker context: made and selected on request only, and given back.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, shared};
use serde_json::Value;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("context::use_and_restore_keep_the_former_one", former),
        Case::new("context::use_and_restore_without_a_former_one", none),
        Case::new("context::a_damaged_docker_config_is_left_alone", damaged),
    ]
}

/// A home folder of its own for this test, with this `config.json` if any.
struct Home {
    instance: &'static Instance,
    folder: std::path::PathBuf,
}

impl Home {
    fn new(name: &str, config: Option<&str>) -> Self {
        let instance = shared::main();
        let home = Self { instance, folder: instance.scratch(name) };
        if let Some(config) = config {
            files::write(&home.config_path(), config);
        }
        home
    }

    fn config_path(&self) -> std::path::PathBuf {
        self.folder.join(".docker/config.json")
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&files::read(&self.config_path())).expect("config.json is JSON")
    }

    fn sampan(&self, args: &[&str]) -> sampan_e2e::tools::Output {
        self.instance.tool(args).env("HOME", &self.folder).run()
    }

    /// The words of the Docker CLI itself about the context in use: its name and its endpoint.
    fn context_in_use(&self) -> String {
        let show = ["docker", "context", "inspect", "--format", "{{.Name}} {{.Endpoints.docker.Host}}"];
        self.sampan(&[&show[..], &[self.instance.place().docker_context().as_str()]].concat()).ok()
    }
}

fn former() {
    let home = Home::new("context-former", Some("{\n\t\"auths\": {\"example.org\": {}}\n}\n"));
    home.sampan(&["docker", "context", "create", "other", "--docker", "host=unix:///nowhere.sock"]).ok();
    home.sampan(&["docker", "context", "use", "other"]).ok();
    assert_eq!(home.config()["currentContext"], "other");
    let ours = home.instance.place().docker_context();
    for _ in 0..2 {
        home.sampan(&["context", "use"]).ok();
        assert_eq!(home.config()["currentContext"], ours.as_str());
        assert!(home.config()["auths"]["example.org"].is_object(), "what else is in the file stays");
    }
    let socket = home.instance.place().docker_socket();
    assert_eq!(home.context_in_use(), format!("{ours} unix://{}", socket.display()));
    home.sampan(&["context", "restore"]).ok();
    assert_eq!(home.config()["currentContext"], "other");
    assert!(home.config()["auths"]["example.org"].is_object());
}

fn none() {
    let home = Home::new("context-none", None);
    home.sampan(&["status"]).expect(0);
    home.sampan(&["docker", "version"]).ok();
    assert!(
        !home.config_path().exists() || home.config()["currentContext"].is_null(),
        "never selected silently"
    );
    home.sampan(&["context", "use"]).ok();
    assert_eq!(home.config()["currentContext"], home.instance.place().docker_context().as_str());
    home.sampan(&["context", "restore"]).ok();
    let selected = home.config_path().exists().then(|| home.config()["currentContext"].clone());
    assert!(selected.is_none_or(|name| name.is_null() || name == "default" || name == ""));
}

fn damaged() {
    let config = "{\"auths\": ";
    let home = Home::new("context-damaged", Some(config));
    let output = home.sampan(&["context", "use"]);
    output.expect_failure().says(&home.config_path().display().to_string());
    assert_eq!(files::read(&home.config_path()), config.as_bytes());
}
