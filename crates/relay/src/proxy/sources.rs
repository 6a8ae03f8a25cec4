//! The sources of mounts in requests: paths of the asker's that must become dockerd's.

use hyper::StatusCode;
use serde_json::Value;

use super::asker::{Asker, Denied};
use super::endpoint::Body;
use super::json::{self, members};

/// The most paths in one request. Each may cost a question to a distribution.
const MOST: usize = 1024;

/// The body that dockerd gets; none: the one that came.
pub(super) async fn translate<A: Asker>(
    kind: Body,
    body: &[u8],
    asker: &A,
) -> Result<Option<Vec<u8>>, Denied> {
    if body.is_empty() {
        return Ok(None); // dockerd says what it thinks of that
    }
    let mut value = json::parse(body).map_err(|error| bad(format!("invalid JSON: {error}")))?;
    let mut sources = Vec::new();
    match kind {
        Body::Container => {
            for config in members(&mut value, "HostConfig") {
                of_host_config(config, &mut sources);
            }
        }
        Body::Service => {
            for template in members(&mut value, "TaskTemplate") {
                for spec in members(template, "ContainerSpec") {
                    members(spec, "Mounts").for_each(|mounts| of_mounts(mounts, &mut sources));
                }
            }
        }
        Body::Volume => {
            members(&mut value, "DriverOpts").for_each(|options| of_volume(options, &mut sources));
        }
    }
    if sources.is_empty() {
        return Ok(None);
    }
    if sources.len() > MOST {
        return Err(bad(format!("too many mounts: {} are more than {MOST}", sources.len())));
    }
    for source in sources {
        source.translate(asker).await?;
    }
    Ok(Some(value.to_string().into_bytes()))
}

/// A string in a body that begins with a path.
struct Source<'a> {
    text: &'a mut String,
    /// Length of the path; what follows stays.
    length: usize,
}

impl Source<'_> {
    async fn translate<A: Asker>(self, asker: &A) -> Result<(), Denied> {
        let (path, rest) = self.text.split_at(self.length);
        *self.text = asker.translate(path).await? + rest;
        Ok(())
    }
}

fn of_host_config<'a>(config: &'a mut Value, found: &mut Vec<Source<'a>>) {
    let Some(config) = config.as_object_mut() else { return };
    for (key, value) in config {
        if json::is_same(key, "Binds") {
            for bind in value.as_array_mut().into_iter().flatten() {
                if let Value::String(text) = bind
                    && let Some(length) = bind_source(text)
                {
                    found.push(Source { text, length });
                }
            }
        } else if json::is_same(key, "Mounts") {
            of_mounts(value, found);
        }
    }
}

/// The length of the source in `source:target[:mode]`; none: there is none, or it is a volume's name.
pub(super) fn bind_source(bind: &str) -> Option<usize> {
    bind.find(':').filter(|_| bind.starts_with('/'))
}

fn of_mounts<'a>(mounts: &'a mut Value, found: &mut Vec<Source<'a>>) {
    for mount in mounts.as_array_mut().into_iter().flatten() {
        let is_bind = members(mount, "Type").any(|kind| kind == "bind");
        let Some(mount) = mount.as_object_mut() else { continue };
        for (key, value) in mount {
            if json::is_same(key, "Source") && is_bind {
                of_path(value, found);
            } else if json::is_same(key, "VolumeOptions") {
                for driver in members(value, "DriverConfig") {
                    members(driver, "Options").for_each(|options| of_volume(options, found));
                }
            }
        }
    }
}

/// The options of the driver `local`: with `o=bind` it mounts a folder. They are a map, whose keys mind case.
fn of_volume<'a>(options: &'a mut Value, found: &mut Vec<Source<'a>>) {
    let flags = options.get("o").and_then(Value::as_str).unwrap_or_default();
    if flags.split(',').any(|flag| matches!(flag, "bind" | "rbind"))
        && let Some(device) = options.get_mut("device")
    {
        of_path(device, found);
    }
}

fn of_path<'a>(value: &'a mut Value, found: &mut Vec<Source<'a>>) {
    if let Value::String(text) = value
        && text.starts_with('/')
    {
        let length = text.len();
        found.push(Source { text, length });
    }
}

fn bad(message: String) -> Denied {
    Denied { status: StatusCode::BAD_REQUEST, message }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Sees everything below `/ok`.
    struct Tree;

    impl Asker for Tree {
        async fn translate(&self, path: &str) -> Result<String, Denied> {
            match path.strip_prefix("/ok") {
                Some(rest) => Ok(format!("/views/t{rest}")),
                None => {
                    Err(Denied { status: StatusCode::FORBIDDEN, message: format!("{path} is not shared") })
                }
            }
        }

        fn reveal(&self, path: &str) -> Option<String> {
            path.strip_prefix("/views/t").map(|rest| format!("/ok{rest}"))
        }
    }

    async fn sent(kind: Body, body: &Value) -> Result<Option<Value>, Denied> {
        let body = translate(kind, body.to_string().as_bytes(), &Tree).await?;
        Ok(body.map(|body| json::parse(&body).unwrap()))
    }

    #[tokio::test]
    async fn sources_of_a_container() {
        let asked = json!({ "Image": "i", "HostConfig": { "Memory": 9_223_372_036_854_775_807_i64, "Binds": [
            "/ok/a:/a", "/ok/b b/ü:/b:ro,z", "volume:/v", "/only-a-target", "./x:/x", 7
        ], "Mounts": [
            { "Type": "bind", "Source": "/ok/m:n", "Target": "/m" },
            { "Type": "volume", "Source": "name", "Target": "/n", "VolumeOptions": { "DriverConfig": {
                "Name": "local", "Options": { "type": "none", "o": "rw,bind", "device": "/ok/d" } } } },
            { "Type": "volume", "Target": "/nfs", "VolumeOptions": { "DriverConfig": {
                "Options": { "type": "nfs", "o": "addr=1.2.3.4", "device": ":/x" } } } },
            { "Type": "tmpfs", "Target": "/t" }
        ] } });
        let mut expected = asked.clone();
        expected["HostConfig"]["Binds"][0] = "/views/t/a:/a".into();
        expected["HostConfig"]["Binds"][1] = "/views/t/b b/ü:/b:ro,z".into();
        expected["HostConfig"]["Mounts"][0]["Source"] = "/views/t/m:n".into();
        expected["HostConfig"]["Mounts"][1]["VolumeOptions"]["DriverConfig"]["Options"]["device"] =
            "/views/t/d".into();
        let got = sent(Body::Container, &asked).await.unwrap().unwrap();
        assert_eq!(got.to_string(), expected.to_string());
    }

    #[tokio::test]
    async fn sources_of_services_and_volumes() {
        let asked = json!({ "TaskTemplate": { "ContainerSpec": { "Mounts": [
            { "Type": "bind", "Source": "/ok", "Target": "/m" } ] } } });
        let got = sent(Body::Service, &asked).await.unwrap().unwrap();
        assert_eq!(got["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["Source"], "/views/t");
        let asked = json!({ "Name": "v", "DriverOpts": { "o": "bind", "type": "none", "device": "/ok/d" } });
        let got = sent(Body::Volume, &asked).await.unwrap().unwrap();
        assert_eq!(got["DriverOpts"]["device"], "/views/t/d");
        let asked = json!({ "DriverOpts": { "o": "size=1", "type": "tmpfs", "device": "tmpfs" } });
        assert_eq!(sent(Body::Volume, &asked).await.unwrap(), None);
    }

    #[tokio::test]
    async fn no_spelling_that_dockerd_reads_gets_past() {
        for body in [
            json!({ "hostconfig": { "BINDS": ["/etc:/x"] } }),
            json!({ "HoſtConfig": { "Bindſ": ["/etc:/x"] } }),
            json!({ "HostConfig": { "Binds": [] }, "HOSTCONFIG": { "binds": ["/etc:/x"] } }),
            json!({ "HostConfig": { "mounts": [{ "tYPE": "bind", "ſource": "/etc", "Target": "/x" }] } }),
            json!({ "HostConfig": { "Mounts": [
                { "Type": "volume", "type": "bind", "Source": "a", "source": "/etc", "Target": "/x" }] } }),
            json!({ "HostConfig": { "Mounts": [{ "Type": "volume", "volumeoptions": { "driverconfig": {
                "options": { "o": "rbind", "device": "/etc" } } } }] } }),
        ] {
            let denied = sent(Body::Container, &body).await.unwrap_err();
            assert_eq!(
                (denied.status, denied.to_string()),
                (StatusCode::FORBIDDEN, "/etc is not shared".to_owned())
            );
        }
    }

    #[tokio::test]
    async fn a_body_without_paths_is_sent_as_it_came() {
        for (kind, body) in [
            (Body::Container, "{ \"Image\" : \"i\", \"HostConfig\":{\"Binds\":null,\"Mounts\":[]}}"),
            (Body::Container, ""),
            (Body::Container, "[]"),
            (Body::Volume, "{\"DriverOpts\":null}"),
            (Body::Service, "{\"TaskTemplate\":7}"),
        ] {
            assert_eq!(translate(kind, body.as_bytes(), &Tree).await.unwrap(), None, "{body}");
        }
    }

    #[tokio::test]
    async fn bad_bodies_and_far_too_many_mounts_are_refused() {
        for body in ["{", "{} {}", "{\"HostConfig\":{},\"HostConfig\":{\"Binds\":[\"/etc:/x\"]}}", "\u{0}"] {
            let denied = translate(Body::Container, body.as_bytes(), &Tree).await.unwrap_err();
            assert_eq!(denied.status, StatusCode::BAD_REQUEST, "{body}");
        }
        let many = json!({ "HostConfig": { "Binds": vec!["/ok/x:/x"; MOST + 1] } });
        let denied = sent(Body::Container, &many).await.unwrap_err();
        assert!(denied.message.contains("too many mounts"), "{denied}");
    }
}
