//! The asker's own paths in dockerd's answers.

use sampan_model::views::VIEWS;
use serde_json::Value;

use super::asker::Asker;
use super::sources::bind_source;

/// The body that the asker gets; none: the one that came.
pub(super) fn in_answer<A: Asker>(body: &[u8], asker: &A) -> Option<Vec<u8>> {
    patch(body, |value| of_value(value, asker))
}

/// The same for the answer to a request that failed: its message may name a path.
pub(super) fn in_refusal<A: Asker>(body: &[u8], asker: &A) -> Option<Vec<u8>> {
    patch(body, |value| value.get_mut("message").is_some_and(|message| of_words(message, asker)))
}

/// `change` says whether it changed anything.
fn patch(body: &[u8], change: impl FnOnce(&mut Value) -> bool) -> Option<Vec<u8>> {
    // Most answers have none, and need not be read.
    memchr::memmem::find(body, VIEWS.as_bytes())?;
    let mut value = serde_json::from_slice(body).ok()?;
    let mut changed = change(&mut value).then(|| value.to_string().into_bytes())?;
    if body.ends_with(b"\n") {
        changed.push(b'\n');
    }
    Some(changed)
}

fn of_value<A: Asker>(value: &mut Value, asker: &A) -> bool {
    match value {
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| of_value(item, asker) | changed),
        Value::Object(members) => members.iter_mut().fold(false, |changed, (key, value)| {
            changed
                | match key.as_str() {
                    "Binds" => each(value, |bind| of_bind(bind, asker)),
                    "Mounts" => each(value, |mount| of_mount(mount, asker)),
                    // Of a volume, or of a log driver.
                    "Options" => of_options(value, asker),
                    "LogConfig" => value.get_mut("Config").is_some_and(|options| of_options(options, asker)),
                    // Why it does not run.
                    "Error" | "Err" => of_words(value, asker),
                    // The user's own words.
                    "Labels" | "Env" | "Cmd" | "Entrypoint" | "Args" => false,
                    _ => of_value(value, asker),
                }
        }),
        _ => false,
    }
}

fn each(list: &mut Value, mut change: impl FnMut(&mut Value) -> bool) -> bool {
    let items = list.as_array_mut().into_iter().flatten();
    items.fold(false, |changed, item| change(item) | changed)
}

fn of_bind<A: Asker>(bind: &mut Value, asker: &A) -> bool {
    let Value::String(text) = bind else { return false };
    let Some(length) = bind_source(text) else { return false };
    let Some(path) = asker.reveal(&text[..length]) else { return false };
    text.replace_range(..length, &path);
    true
}

fn of_mount<A: Asker>(mount: &mut Value, asker: &A) -> bool {
    let source = mount.get_mut("Source").is_some_and(|source| of_path(source, asker));
    let options = mount.pointer_mut("/VolumeOptions/DriverConfig/Options");
    options.is_some_and(|options| of_options(options, asker)) | source
}

/// Paths may be anywhere in them, as in an address or among layers.
fn of_options<A: Asker>(options: &mut Value, asker: &A) -> bool {
    let values = options.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut);
    values.fold(false, |changed, value| of_words(value, asker) | changed)
}

fn of_words<A: Asker>(value: &mut Value, asker: &A) -> bool {
    let Value::String(text) = value else { return false };
    of_text(text, asker)
}

fn of_path<A: Asker>(value: &mut Value, asker: &A) -> bool {
    let Value::String(text) = value else { return false };
    let Some(path) = asker.reveal(text) else { return false };
    *text = path;
    true
}

fn of_text<A: Asker>(text: &mut String, asker: &A) -> bool {
    let mut changed = false;
    let mut from = 0;
    while let Some(at) = text[from..].find(VIEWS).map(|at| from + at) {
        if let Some(shown) = asker.reveal(&text[at..]) {
            text.replace_range(at.., &shown);
            changed = true;
            from = at + 1;
        } else {
            from = at + VIEWS.len();
        }
        if !text.is_char_boundary(from) {
            break;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use sampan_model::views;
    use serde_json::json;

    use super::super::asker::Denied;
    use super::*;

    struct Host;

    impl Asker for Host {
        async fn translate(&self, path: &str) -> Result<String, Denied> {
            Ok(views::seen("host", path))
        }

        fn reveal(&self, path: &str) -> Option<String> {
            views::shown("host", path).map(str::to_owned)
        }
    }

    fn shown(answer: &Value) -> Option<Value> {
        in_answer(answer.to_string().as_bytes(), &Host).map(|body| serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn sources_in_an_inspection() {
        let answer = json!({ "Id": "0a", "HostConfig": { "Binds": ["/views/host/a:/a:ro", "v:/v"], "Mounts": [
            { "Type": "bind", "Source": "/views/host/m" },
            { "Type": "volume", "VolumeOptions": { "DriverConfig": { "Options": { "device": "/views/host/d" } } } }
        ] }, "Mounts": [{ "Type": "bind", "Source": "/views/host/a" }, { "Source": "/views/other/a" }],
        "Config": { "Labels": { "path": "/views/host/l" }, "Env": ["P=/views/host/e"] }, "Args": ["/views/host/x"] });
        let mut expected = answer.clone();
        expected["HostConfig"]["Binds"][0] = "/a:/a:ro".into();
        expected["HostConfig"]["Mounts"][0]["Source"] = "/m".into();
        expected["HostConfig"]["Mounts"][1]["VolumeOptions"]["DriverConfig"]["Options"]["device"] =
            "/d".into();
        expected["Mounts"][0]["Source"] = "/a".into();
        assert_eq!(shown(&answer).unwrap().to_string(), expected.to_string());
    }

    #[test]
    fn lists_volumes_and_services() {
        let answer = json!([{ "Mounts": [{ "Source": "/views/host/a b" }] }, { "Mounts": [] }]);
        assert_eq!(shown(&answer).unwrap()[0]["Mounts"][0]["Source"], "/a b");
        let answer = json!({ "Volumes": [{ "Options": { "device": "/views/host/d", "o": "bind" } }] });
        assert_eq!(shown(&answer).unwrap()["Volumes"][0]["Options"]["device"], "/d");
        let answer = json!({ "Options": { "type": "overlay", "o": "lowerdir=/views/host/a:/views/host/b" } });
        assert_eq!(shown(&answer).unwrap()["Options"]["o"], "lowerdir=/a:/b");
        let answer = json!({ "State": { "Error": "mounting \"/views/host/a\": not there" }, "HostConfig": { "LogConfig": {
            "Type": "syslog", "Config": { "syslog-address": "unix:///views/host/s", "tag": "t" } } } });
        let got = shown(&answer).unwrap();
        assert_eq!(got["State"]["Error"], "mounting \"/a\": not there");
        assert_eq!(got["HostConfig"]["LogConfig"]["Config"]["syslog-address"], "unix:///s");
        let answer = json!([{ "Spec": { "TaskTemplate": { "ContainerSpec": { "Mounts": [
            { "Source": "/views/host/s" }] } } }, "PreviousSpec": { "TaskTemplate": { "ContainerSpec": { "Mounts": [
            { "Source": "/views/host/p" }] } } } }]);
        let text = shown(&answer).unwrap().to_string();
        assert!(text.contains("\"/s\"") && text.contains("\"/p\"") && !text.contains("/views"), "{text}");
    }

    #[test]
    fn what_shows_nothing_of_the_askers_is_not_touched() {
        for answer in [
            json!({ "Mounts": [{ "Source": "/srv/a" }] }),
            json!({ "Mounts": [{ "Source": "/views/other/a" }] }),
            json!({ "Labels": { "a": "/views/host/a" } }),
        ] {
            assert_eq!(shown(&answer), None, "{answer}");
        }
        assert_eq!(in_answer(b"no json /views/host", &Host), None);
    }

    #[test]
    fn paths_in_messages() {
        let body = b"{\"message\":\"no /views/host/home/u: not in /views/other/x, /views/host/t\"}\n";
        let expected = "{\"message\":\"no /home/u: not in /views/other/x, /t\"}\n";
        assert_eq!(in_refusal(body, &Host).unwrap(), expected.as_bytes());
        assert_eq!(in_refusal("{\"message\":\"/viewsü\"}".as_bytes(), &Host), None);
        assert_eq!(in_refusal(b"{\"message\":7,\"x\":\"/views/host/a\"}", &Host), None);
    }
}
