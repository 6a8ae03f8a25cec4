//! Much of everything: bytes, clients, time.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};
use sampan_e2e::files;
use sampan_e2e::http::{Door, answers, read_head, unframed};
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::Tool;
use sampan_e2e::waiting;

/// What the proxy may take in addition for a transfer, in KiB: far more than the buffers of a few connections, and far
/// less than what is transferred.
const LITTLE: u64 = 24 << 10;

const CLIENTS: usize = 2000;

pub(super) fn early_answer(_: &Instance, door: &Door) {
    const LENGTH: usize = 4 << 30;
    for path in ["/images/load", "/build"] {
        let mut stream = door.connect();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\nContent-Length: {LENGTH}\r\n\r\n"
        )
        .expect("it is connected");
        let mut writer = stream.try_clone().expect("there are descriptors");
        let (head, sent) = std::thread::scope(|scope| {
            let sender = scope.spawn(move || {
                let piece = vec![b'x'; 1 << 20];
                // Until it is refused: dockerd hangs up on what it does not want.
                (0..LENGTH >> 20).take_while(|_| writer.write_all(&piece).is_ok()).count() << 20
            });
            let head = read_head(&mut stream);
            // Reads to the end, so that nothing but dockerd ends the sending.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            drop(stream);
            (head, sender.join().expect("it only writes"))
        });
        assert!(sent < LENGTH, "{path}: all of it was sent");
        // The classic builder begins its answer before it has looked.
        assert!(
            ["HTTP/1.1 200 ", "HTTP/1.1 400 ", "HTTP/1.1 500 "].iter().any(|start| head.starts_with(start)),
            "{head}"
        );
    }
}

fn allow_many_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit anybody may");
}

pub(super) fn two_thousand(_: &Instance, door: &Door) {
    allow_many_descriptors();
    let mut streams: Vec<_> = (0..CLIENTS).map(|_| door.connect()).collect();
    for stream in &mut streams {
        stream
            .write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            .expect("it is connected");
    }
    for mut stream in streams {
        let mut read = Vec::new();
        stream.read_to_end(&mut read).expect("it ends");
        let answers = answers(&read);
        assert!(
            matches!(&answers[..], [answer] if answer.status == 200 && answer.body == b"OK"),
            "{answers:?}"
        );
    }
}

/// dockerd takes them all; the proxy has more than one asker to serve, and sets a limit to each.
pub(super) fn idle_crowd() {
    const MOST: usize = 2048;
    let instance = Instance::started();
    allow_many_descriptors();
    let ping = |door: &Door| door.ask("GET /_ping HTTP/1.1", b"");
    let (bare, proxy) = (Door::bare(&instance), Door::proxy(&instance));
    let idle: Vec<_> = (0..MOST).map(|_| bare.connect()).collect();
    assert_eq!(ping(&bare).status, 200);
    drop(idle);
    let mut idle: Vec<_> = (0..MOST).map(|_| proxy.connect()).collect();
    let answer = ping(&proxy);
    assert!(
        answer.status == 503 && answer.text().contains("2048 connections to this Docker socket are open"),
        "{answer:?}"
    );
    idle.pop();
    waiting::until("the place of one that has ended is free", || ping(&proxy).status == 200);
    drop(idle);
}

/// The most memory that the proxy has had, in KiB.
#[track_caller]
fn peak(instance: &Instance) -> u64 {
    let api = instance.service_of_init("api").expect("the proxy runs");
    let status =
        String::from_utf8(files::read(Path::new(&format!("/proc/{}/status", api.pid)))).expect("ASCII");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("every process has one");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

pub(super) fn sparse() {
    const LENGTH: u64 = 2 << 30;
    let instance = Instance::started();
    let folder = instance.scratch("sparse");
    let (there, back) = (folder.join("there"), folder.join("back"));
    let file = File::create(&there).expect("there is room");
    file.set_len(LENGTH).expect("a sparse file takes no room");
    for (at, text) in [(0, "start"), (LENGTH / 2 - 3, "middle"), (LENGTH - 3, "end")] {
        file.write_all_at(text.as_bytes(), at).expect("there is room");
    }
    let id = instance.container(&[], "sleep 3600");
    for door in [Door::bare(&instance), Door::proxy(&instance)] {
        let before = peak(&instance);
        let url = door.url();
        let cp = ["-H", &url, "cp"];
        instance.docker_tool(&cp).arg(&there).arg(format!("{id}:/tmp/copy")).run().ok();
        instance.docker_tool(&cp).arg(format!("{id}:/tmp/copy")).arg(&back).run().ok();
        let grown = peak(&instance) - before;
        Tool::new("cmp").arg(&there).arg(&back).run().ok();
        instance.docker(&["exec", &id, "rm", "/tmp/copy"]).ok();
        std::fs::remove_file(&back).expect("it was just compared");
        assert!(grown < LITTLE, "{}: {grown} KiB more", door.name);
    }
}

pub(super) fn slow_reader() {
    const LINES: usize = 1_000_000;
    let instance = Instance::started();
    let line = "0123456789".repeat(10);
    let id = instance.container(&[], &format!("yes {line} | head -n {LINES}"));
    assert_eq!(instance.docker(&["wait", &id]).ok(), "0");
    for door in [Door::bare(&instance), Door::proxy(&instance)] {
        let mut stream = door.connect();
        write!(
            stream,
            "GET /containers/{id}/logs?stdout=1 HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
        )
        .expect("it is connected");
        let head = read_head(&mut stream);
        let before = peak(&instance);
        // Nothing tells when a proxy would have taken all of it; what it would take in this time is too much already.
        waiting::let_pass(std::time::Duration::from_secs(2));
        let grown = peak(&instance) - before;
        let mut read = head.into_bytes();
        stream.read_to_end(&mut read).expect("it ends");
        let length = unframed(&answers(&read)[0].body).len();
        assert_eq!(length, LINES * (line.len() + 1), "{}", door.name);
        assert!(grown < LITTLE, "{}: {grown} KiB more", door.name);
    }
}
