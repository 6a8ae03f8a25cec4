//! Connections that stop being HTTP.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use sampan_e2e::http::{Door, read_head, unframed};
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, waiting};
use serde_json::{Value, json};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Sends a request with a JSON body, and reads the head of the answer.
#[track_caller]
fn open(door: &Door, path: &str, headers: &str, body: &str) -> (UnixStream, String) {
    let mut stream = door.connect();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: docker\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is connected");
    let head = read_head(&mut stream);
    (stream, head)
}

/// Reads until `text` has come.
#[track_caller]
fn read_until(stream: &mut UnixStream, text: &str) -> Vec<u8> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(text.as_bytes()) {
        if let Err(error) = stream.read_exact(&mut byte) {
            panic!("{error} after {:?}, before {text:?}", String::from_utf8_lossy(&read));
        }
        read.push(byte[0]);
    }
    read
}

fn read_rest(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("it ends");
    rest
}

pub(super) fn attach(instance: &Instance, door: &Door) {
    attached(instance, door, UPGRADE, "HTTP/1.1 101 ");
}

pub(super) fn old_attach(instance: &Instance, door: &Door) {
    attached(instance, door, "", "HTTP/1.1 200 ");
}

fn attached(instance: &Instance, door: &Door, headers: &str, status: &str) {
    let id = instance.docker(&["create", "-i", "e2e/busybox", "sh", "-c", "wc -c; sleep 1; echo late"]).ok();
    let path = format!("/v1.40/containers/{id}/attach?stream=1&stdin=1&stdout=1");
    let (mut stream, head) = open(door, &path, headers, "");
    assert!(head.starts_with(status), "{head}");
    instance.docker(&["start", &id]).ok();
    stream.write_all(&vec![b'x'; 300_000]).expect("the container reads");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(String::from_utf8_lossy(&unframed(&read_rest(&mut stream))), "300000\nlate\n");
    instance.docker(&["rm", "-f", &id]).ok();
}

pub(super) fn terminal(instance: &Instance, door: &Door) {
    let id = instance.docker(&["create", "-i", "-t", "e2e/busybox", "cat"]).ok();
    let (mut stream, head) =
        open(door, &format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1"), UPGRADE, "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    instance.docker(&["start", &id]).ok();
    for word in ["one", "two"] {
        stream.write_all(format!("{word}\n").as_bytes()).expect("the container reads");
        // Once by the terminal, and once by `cat`.
        let came = read_until(&mut stream, &format!("{word}\r\n{word}\r\n"));
        assert_eq!(came.len(), 2 * (word.len() + 2), "no frames: {came:?}");
    }
    stream.write_all(b"\x04").expect("the container reads");
    assert_eq!(read_rest(&mut stream), b"");
    instance.docker(&["rm", "-f", &id]).ok();
}

/// The number of a new `exec` of `script`.
#[track_caller]
fn exec(door: &Door, container: &str, script: &str) -> String {
    let asked = json!({ "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Cmd": ["sh", "-c", script] });
    let head = format!("POST /containers/{container}/exec HTTP/1.1\r\nContent-Type: application/json");
    let answer = door.ask(&head, asked.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
    answer["Id"].as_str().expect("an id").to_owned()
}

pub(super) fn silent_reader(instance: &Instance, door: &Door) {
    let id = instance.container(&[], "sleep 3600");
    for (headers, status) in [(UPGRADE, "HTTP/1.1 101 "), ("", "HTTP/1.1 200 ")] {
        let exec = exec(door, &id, "echo out; exec >/dev/null 2>&1; cat > /tmp/got; touch /tmp/done");
        let (mut stream, head) = open(door, &format!("/exec/{exec}/start"), headers, "{\"Detach\":false}");
        assert!(head.starts_with(status), "{head}");
        assert_eq!(unframed(&read_until(&mut stream, "out\n")), b"out\n");
        stream.write_all(&vec![b'x'; 300_000]).expect("the command reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(read_rest(&mut stream), b"");
        let size =
            ["exec", &id, "sh", "-c", "while [ ! -e /tmp/done ]; do sleep 0.1; done; wc -c < /tmp/got"];
        assert_eq!(instance.docker(&size).ok(), "300000");
        instance.docker(&["exec", &id, "rm", "/tmp/got", "/tmp/done"]).ok();
    }
    instance.docker(&["rm", "-f", &id]).ok();
}

pub(super) fn logs(instance: &Instance, door: &Door) {
    let id = instance
        .container(&[], "echo first; while [ ! -e /go ]; do sleep 0.1; done; echo second; sleep 3600");
    let mut stream = door.connect();
    write!(stream, "GET /containers/{id}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: docker\r\n\r\n")
        .expect("it is connected");
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    read_until(&mut stream, "first\n");
    instance.docker(&["exec", &id, "touch", "/go"]).ok();
    read_until(&mut stream, "second\n");
    // That the client has left is heard as far as dockerd: it holds no descriptor of the log any more.
    let dockerd = instance.part("dockerd").expect("the engine runs");
    let descriptors = || {
        let fds = files::entries(format!("/proc/{}/fd", dockerd.pid).as_ref());
        let is_log = |fd: &std::path::PathBuf| {
            std::fs::read_link(fd)
                .is_ok_and(|file| file.to_string_lossy().ends_with(&format!("{id}-json.log")))
        };
        fds.into_iter().filter(is_log).count()
    };
    let with_us = descriptors();
    drop(stream);
    waiting::until("dockerd closes the log that nobody reads", || descriptors() < with_us);
    instance.docker(&["rm", "-f", &id]).ok();
}

pub(super) fn build(instance: &Instance, door: &Door) {
    let folder = instance.scratch("streams-build");
    files::write(
        &folder.join("Dockerfile"),
        "FROM e2e/busybox\nARG WAY\nCOPY data /data\nRUN wc -c < /data > /size; echo $WAY >> /size\n",
    );
    files::write(&folder.join("data"), vec![b'x'; 3 << 20]);
    for kit in ["0", "1"] {
        let tag = format!("e2e/built-{}-{kit}", door.name);
        let way = format!("WAY={}{kit}", door.name);
        let build = ["-H", &door.url(), "build", "-t", &tag, "--build-arg", &way];
        instance.docker_tool(&build).arg(&folder).env("DOCKER_BUILDKIT", kit).run().expect(0);
        let said = instance.docker(&["run", "--rm", &tag, "cat", "/size"]).ok();
        assert_eq!(said, format!("3145728\n{}{kit}", door.name));
        instance.docker(&["rmi", &tag]).ok();
    }
}

pub(super) fn session(_: &Instance, door: &Door) {
    let uuid =
        format!("X-Docker-Expose-Session-Uuid: e2e-{0}\r\nX-Docker-Expose-Session-Name: e2e\r\n", door.name);
    let h2c = "Connection: Upgrade\r\nUpgrade: h2c\r\n";
    let (mut stream, head) = open(door, "/session", &format!("{h2c}{uuid}"), "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // On a session it is dockerd that asks.
    read_until(&mut stream, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let (mut stream, head) = open(door, "/grpc", h2c, "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("it is connected");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).expect("dockerd answers");
    assert_eq!(frame[3], 4, "SETTINGS is the first frame: {frame:?}");
}
