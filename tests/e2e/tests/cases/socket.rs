//! The Docker API for programs of the host.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use sampan_e2e::case::Case;
use sampan_e2e::http::{read_head, unframed};
use sampan_e2e::{shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("socket::docker_sock_is_for_root_and_the_group_only", modes),
        Case::new("socket::docker_clients_reach_the_engine_by_its_path", by_path),
        Case::new("socket::a_half_closed_attach_still_gets_the_answer", half_close),
        Case::new("socket::many_clients_at_once_are_served", many),
    ]
}

fn modes() {
    let instance = shared::main();
    for (socket, mode) in [(instance.place().docker_socket(), 0o660), (instance.place().api_socket(), 0o660)]
    {
        let data = std::fs::metadata(&socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        assert!(data.file_type().is_socket(), "{}", socket.display());
        assert_eq!(data.uid(), 0, "{}", socket.display());
        assert_eq!(data.mode() & 0o777 & !mode, 0, "{} has mode {:o}", socket.display(), data.mode());
    }
    let docker = std::fs::metadata(instance.place().docker_socket()).expect("it was there just now");
    assert_eq!(docker.mode() & 0o777, 0o660);
}

fn by_path() {
    let instance = shared::main();
    let url = format!("unix://{}", instance.place().docker_socket().display());
    let version = instance.docker(&["-H", &url, "version", "--format", "{{.Server.Version}}"]).ok();
    assert_eq!(Some(version), instance.status().engine_info.map(|info| info.version));
    assert!(get(&instance.place().docker_socket(), "/_ping").ends_with("\r\n\r\nOK"));
}

fn get(socket: &Path, path: &str) -> String {
    let mut stream = connect(socket);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
        .expect("it is connected");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer ends when the engine closes");
    answer
}

fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("the engine runs");
    stream.set_read_timeout(Some(waiting::LONG)).expect("a deadline can be set");
    stream
}

fn half_close() {
    let instance = shared::main();
    instance.need_busybox();
    let id = instance.docker(&["create", "-i", "e2e/busybox", "sh", "-c", "wc -c; echo end"]).ok();

    let mut stream = connect(&instance.place().docker_socket());
    write!(
        stream,
        "POST /containers/{id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: docker\r\n\
         Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
    )
    .expect("it is connected");
    let head = read_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    instance.docker(&["start", &id]).ok();
    stream.write_all(&vec![0; 100_000]).expect("the container reads");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).expect("the container's end closes the stream");
    assert_eq!(String::from_utf8_lossy(&unframed(&raw)), "100000\nend\n");
    instance.docker(&["rm", "-f", &id]).ok();
}

fn many() {
    let instance = shared::main();
    let socket = instance.place().docker_socket();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..40)
            .map(|_| scope.spawn(|| (0..5).all(|_| get(&socket, "/version").starts_with("HTTP/1.1 200"))))
            .collect();
        for worker in workers {
            assert!(worker.join().expect("the thread says why it fails"));
        }
    });
    // Clients that hang up at once must not harm the next one.
    for _ in 0..50 {
        drop(connect(&socket));
    }
    let answered = waiting::holds_within(Duration::from_mins(1), || get(&socket, "/_ping").ends_with("OK"));
    assert!(answered);
}
