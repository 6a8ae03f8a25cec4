use serde_json::{Value, json};

use super::*;

/// Sees everything below `/ok`.
struct Tree;

impl Asker for Tree {
    async fn translate(&self, path: &str) -> Result<String, Denied> {
        match path.strip_prefix("/ok") {
            Some(rest) => Ok(format!("/views/t{rest}")),
            None => Err(Denied { status: StatusCode::FORBIDDEN, message: format!("{path} is not shared") }),
        }
    }

    fn reveal(&self, path: &str) -> Option<String> {
        path.strip_prefix("/views/t").map(|rest| format!("/ok{rest}"))
    }
}

async fn sent(kind: Body, body: &Value) -> Result<Option<Value>, Denied> {
    let body = translate(kind, body.to_string().as_bytes(), &Tree).await?;
    Ok(body.map(|body| serde_json::from_slice(&body).unwrap()))
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
        json!({ "HostConfig": { "mounts": [{ "tYPE": "bind", "ſource": "/etc", "Target": "/x" }] } }),
        json!({ "HostConfig": { "Mounts": [{ "Type": "volume", "volumeoptions": { "driverconfig": {
            "options": { "o": "rbind", "device": "/etc" } } } }] } }),
        // Of clients of Docker before 1.9.
        json!({ "Image": "i", "Binds": ["/etc:/x"] }),
        json!({ "Image": "i", "mounts": [{ "Type": "bind", "Source": "/etc", "Target": "/x" }] }),
        json!({ "HostConfig": { "LogConfig": { "Type": "syslog", "Config": {
            "syslog-address": "unixgram:///etc" } } } }),
    ] {
        let denied = sent(Body::Container, &body).await.unwrap_err();
        assert_eq!(
            (denied.status, denied.to_string()),
            (StatusCode::FORBIDDEN, "/etc is not shared".to_owned())
        );
    }
}

/// dockerd's decoder reads such members into one and the same, one after the other.
#[tokio::test]
async fn what_dockerd_puts_together_is_refused() {
    for (kind, body) in [
        (Body::Container, json!({ "HostConfig": { "Binds": [] }, "HOSTCONFIG": { "binds": ["/etc:/x"] } })),
        (
            Body::Container,
            json!({ "HostConfig": { "Mounts": [{ "Type": "bind", "Target": "/x" }],
            "mounts": [{ "Source": "/etc" }] } }),
        ),
        (
            Body::Container,
            json!({ "HostConfig": { "Mounts": [
            { "Type": "volume", "type": "bind", "Source": "a", "source": "/etc", "Target": "/x" }] } }),
        ),
        (
            Body::Container,
            json!({ "HostConfig": { "Mounts": [{ "Type": "volume", "VolumeOptions": {
            "DriverConfig": { "Options": { "type": "none", "o": "bind" }, "options": { "device": "/etc" } } } }] } }),
        ),
        (
            Body::Volume,
            json!({ "DriverOpts": { "type": "none", "o": "bind" }, "driveropts": { "device": "/etc" } }),
        ),
        (
            Body::Service,
            json!({ "TaskTemplate": { "ContainerSpec": { "Mounts": [{ "Type": "bind" }] },
            "containerspec": { "Mounts": [{ "Source": "/etc" }] } } }),
        ),
    ] {
        let denied = sent(kind, &body).await.unwrap_err();
        assert_eq!(denied.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(denied.message.contains("is there twice"), "{denied}");
    }
}

#[tokio::test]
async fn volumes_that_would_show_what_is_the_engine_s_are_refused() {
    for options in [
        json!({ "type": "none", "o": "bind", "device": "views/t/x" }),
        json!({ "type": "none", "o": "bind", "device": "./../views/t/x" }),
        json!({ "type": "overlay", "device": "overlay", "o": "lowerdir=/etc:/ok" }),
        json!({ "type": "overlay", "device": "overlay", "o": "lowerdir=etc:/ok" }),
        json!({ "type": "overlay", "device": "overlay", "o": "lowerdir+=/etc" }),
        json!({ "type": "devtmpfs", "device": "x" }),
        json!({ "type": "proc", "device": "x" }),
        json!({ "type": "9p", "o": "trans=unix", "device": "/etc" }),
        json!({ "type": "ext4", "device": "/views/t/node" }),
    ] {
        let mount = json!({ "HostConfig": { "Mounts": [{ "Type": "volume", "VolumeOptions": { "DriverConfig": {
            "Options": options } } }] } });
        for (kind, body) in [
            (Body::Volume, json!({ "DriverOpts": options })),
            (Body::Volume, json!({ "Driver": "local", "DriverOpts": options })),
            (Body::Container, mount),
        ] {
            assert!(sent(kind, &body).await.is_err(), "{body}");
        }
    }
    for options in [
        json!({ "type": "nfs", "o": "addr=1.2.3.4,rw", "device": ":/x" }),
        json!({ "type": "cifs", "o": "username=u", "device": "//1.2.3.4/x" }),
        json!({ "type": "ext4", "device": "/dev/disk/by-label/x" }),
        json!({ "size": "1g" }),
        json!({}),
    ] {
        assert_eq!(sent(Body::Volume, &json!({ "DriverOpts": options })).await.unwrap(), None, "{options}");
    }
    let plugin = json!({ "Driver": "somebody/sshfs", "DriverOpts": { "o": "bind", "device": "/etc" } });
    assert_eq!(sent(Body::Volume, &plugin).await.unwrap(), None);
    let layers = json!({ "DriverOpts": { "type": "overlay", "device": "overlay",
        "o": "lowerdir=/ok/a:/ok/b,upperdir=/ok/u,workdir=/ok/w" } });
    let got = sent(Body::Volume, &layers).await.unwrap().unwrap();
    assert_eq!(
        got["DriverOpts"]["o"],
        "lowerdir=/views/t/a:/views/t/b,upperdir=/views/t/u,workdir=/views/t/w"
    );
    let layers = json!({ "DriverOpts": { "type": "overlay", "o": "lowerdir=/ok/a,upperdir=/ok/b:c" } });
    assert_eq!(sent(Body::Volume, &layers).await.unwrap_err().status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn files_of_log_drivers() {
    let config = json!({ "syslog-address": "unix:///ok/s", "syslog-tls-ca-cert": "/ok/c", "tag": "/etc" });
    let body = json!({ "HostConfig": { "LogConfig": { "Config": config } } });
    let got = sent(Body::Container, &body).await.unwrap().unwrap();
    assert_eq!(
        got["HostConfig"]["LogConfig"]["Config"],
        json!({ "syslog-address": "unix:///views/t/s", "syslog-tls-ca-cert": "/views/t/c", "tag": "/etc" })
    );
    let service =
        json!({ "TaskTemplate": { "LogDriver": { "Options": { "fluentd-address": "unix:///ok/s" } } } });
    let got = sent(Body::Service, &service).await.unwrap().unwrap();
    assert_eq!(got["TaskTemplate"]["LogDriver"]["Options"]["fluentd-address"], "unix:///views/t/s");
    for config in [
        json!({ "syslog-address": "unix:///%65tc" }),
        json!({ "syslog-address": "UNIX://h/etc" }),
        json!({ "syslog-tls-key": "etc/key" }),
    ] {
        let body = json!({ "HostConfig": { "LogConfig": { "Config": config } } });
        assert_eq!(sent(Body::Container, &body).await.unwrap_err().status, StatusCode::BAD_REQUEST, "{body}");
    }
    let body =
        json!({ "HostConfig": { "LogConfig": { "Config": { "syslog-address": "tcp://1.2.3.4:5" } } } });
    assert_eq!(sent(Body::Container, &body).await.unwrap(), None);
}

#[tokio::test]
async fn all_else_stays_to_the_byte() {
    let body = r#" { "A" :1.0e999, "Labels":{"a":"ü","a":2}, "HostConfig" : {"Mounts":[{"Source":"/ok/b","Type" :"bind"}] ,"Binds":["v:/v", "\/ok/a:/x"]},"Z":[ ]}
"#;
    let got = translate(Body::Container, body.as_bytes(), &Tree).await.unwrap().unwrap();
    let expected =
        body.replace(r#""/ok/b""#, r#""/views/t/b""#).replace(r#""\/ok/a:/x""#, r#""/views/t/a:/x""#);
    assert_eq!(String::from_utf8(got).unwrap(), expected);
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
