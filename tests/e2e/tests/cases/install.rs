//! `wsl --install` and `wsl --list --online`: from files, and from lists on a server of the test's own.

mod archives;
mod debian;
mod downloads;
mod first_run;
mod lists;

use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::{Output, Tool};
use sampan_e2e::{files, roots};
use sampan_model::registry::Entry;
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    [archives::cases(), lists::cases(), downloads::cases(), first_run::cases(), debian::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// The small root with `conf` as its `/etc/wsl-distribution.conf`.
fn image(instance: &Instance, name: &str, conf: &str) -> PathBuf {
    let folder = instance.scratch("images");
    let tree = folder.join("tree");
    files::make_folder(&tree);
    Tool::new("tar").arg("-xpf").arg(roots::small()).arg("-C").arg(&tree).run().ok();
    files::write(&tree.join("etc/wsl-distribution.conf"), conf);
    roots::pack(&tree, &folder.join(name))
}

fn sha256(path: &Path) -> String {
    let line = Tool::new("sha256sum").arg(path).run().ok();
    line.split_whitespace().next().expect("the sum is first").to_owned()
}

/// An entry of a list, for either processor.
fn version(name: &str, friendly_name: &str, url: &str, sha256: &str) -> Value {
    let archive = json!({ "Url": url, "Sha256": sha256 });
    json!({ "Name": name, "FriendlyName": friendly_name, "Default": false, "Amd64Url": archive, "Arm64Url": archive })
}

fn default(mut version: Value) -> Value {
    version["Default"] = json!(true);
    version
}

fn flavor(name: &str, versions: &[Value]) -> Value {
    json!({ "ModernDistributions": { name: versions } })
}

/// Has the instance take its lists from `main` and `own`.
fn set_lists(instance: &Instance, main: &str, own: Option<&str>) {
    let mut settings = json!({ "schemaVersion": 1, "distributionListUrl": main });
    if let Some(own) = own {
        settings["distributionListUrlAppend"] = json!(own);
    }
    files::write(&instance.place().settings(), settings.to_string());
}

/// A file with a list; its address.
fn list_file(instance: &Instance, name: &str, list: &Value) -> String {
    let path = instance.scratch("lists").join(name);
    files::write(&path, list.to_string());
    format!("file://{}", path.display())
}

fn install(instance: &Instance, words: &[&str]) -> Output {
    instance.wsl_tool(&["--install", "--no-launch"]).args(words).run()
}

#[track_caller]
fn assert_fails(output: &Output, lines: &str, code: &str) {
    output.expect(255);
    let text = output.text();
    let last = text.lines().last().unwrap_or_default();
    assert!(text.starts_with(lines), "it should begin with {lines:?}: {output}");
    assert_eq!(last, format!("Error code: {code}"), "{output}");
}

fn entry(instance: &Instance, name: &str) -> Entry {
    instance.registry().find(name).cloned().unwrap_or_else(|| panic!("{name} is installed"))
}

/// Nothing is installed, and there is no file of an installation anywhere.
#[track_caller]
fn assert_nothing(instance: &Instance, installed: &[&str]) {
    assert_eq!(instance.wsl(&["-l", "-q", "--all"]).ok().lines().collect::<Vec<_>>(), installed);
    let place = instance.place();
    assert_eq!(files::names(&place.cache()), Vec::<String>::new());
    assert_eq!(files::names(&place.distros()).len(), installed.len());
}
