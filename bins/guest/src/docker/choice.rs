//! Whether docker would talk to the engine that it takes for its own when nobody says anything else.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sampan_model::docker_cli;

/// Whether the environment and docker's settings choose no engine. Where that can't be told they do: docker itself knows.
pub(crate) fn is_default(args: &[OsString]) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = docker_cli::config_folder(args)
        .or_else(|| set("DOCKER_CONFIG"))
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")));
    set("DOCKER_HOST").is_none()
        && is_default_context(set("DOCKER_CONTEXT").as_deref())
        && folder.is_some_and(|folder| names_no_context(&folder))
}

fn is_default_context(name: Option<&OsStr>) -> bool {
    name.is_none_or(|name| name.is_empty() || name == "default")
}

/// Whether docker's settings in a folder say that no other context is in use.
fn names_no_context(folder: &Path) -> bool {
    let text = match fs::read(folder.join("config.json")) {
        Ok(text) => text,
        Err(error) => return error.kind() == ErrorKind::NotFound,
    };
    let Ok(serde_json::Value::Object(settings)) = serde_json::from_slice(&text) else { return false };
    match settings.get("currentContext") {
        None => true,
        Some(context) => context.as_str().is_some_and(|name| is_default_context(Some(OsStr::new(name)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_choose_a_context() {
        let folder = tempfile::tempdir().unwrap();
        let says = |text: &str| {
            sampan_sys::fs::write_atomic(&folder.path().join("config.json"), text.as_bytes(), 0o600).unwrap();
            names_no_context(folder.path())
        };
        assert!(names_no_context(folder.path()), "no settings at all");
        assert!(says("{}"));
        assert!(says(r#"{"auths":{},"currentContext":""}"#));
        assert!(says(r#"{"currentContext":"default"}"#));
        for other in [r#"{"currentContext":"two"}"#, r#"{"currentContext":7}"#, "[]", "{", ""] {
            assert!(!says(other), "{other}");
        }
    }

    #[test]
    fn a_context_may_be_the_default_one() {
        assert!(is_default_context(None));
        assert!(is_default_context(Some(OsStr::new("default"))));
        assert!(!is_default_context(Some(OsStr::new("two"))));
    }
}
