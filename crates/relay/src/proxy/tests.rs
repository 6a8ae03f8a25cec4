//! Whole connections, against an engine whose words are written here.

use hyper::StatusCode;
use sampan_model::views;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

/// What must come, comes long before.
const LONG: Duration = Duration::from_secs(20);

/// Sees everything below `/home`, where `moved` is a link to `/home` itself.
struct Host;

impl Asker for Host {
    async fn translate(&self, path: &str) -> Result<String, Denied> {
        if let Some(path) = path.strip_prefix("/home/moved") {
            return Ok(views::seen("host", &format!("/home{path}")));
        }
        if path.starts_with("/home") {
            return Ok(views::seen("host", path));
        }
        let message = format!("mounts denied: {path} is not shared");
        Err(Denied { status: StatusCode::FORBIDDEN, message })
    }

    fn reveal(&self, path: &str) -> Option<String> {
        views::shown("host", path).map(str::to_owned)
    }
}

struct Door {
    folder: TempDir,
}

impl Door {
    fn open(patience: Duration) -> Self {
        Self::with_room(room::MOST, patience)
    }

    fn with_room(most: usize, patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("front")).unwrap();
        let state = Arc::new(|| "starting".to_owned());
        let upstream = Upstream { socket: folder.path().join("engine"), patience, state };
        tokio::spawn(serve_in(Room::new(most), listener, upstream, Host));
        Self { folder }
    }

    async fn client(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("front")).await.unwrap()
    }

    fn engine(&self) -> Engine {
        Engine(UnixListener::bind(self.folder.path().join("engine")).unwrap())
    }
}

struct Engine(UnixListener);

impl Engine {
    async fn accept(&self) -> UnixStream {
        timeout(LONG, self.0.accept()).await.expect("the proxy connects").unwrap().0
    }

    /// Answers each request of each connection with its own first line.
    fn echo(self) {
        tokio::spawn(async move {
            loop {
                let mut stream = self.accept().await;
                tokio::spawn(async move {
                    while let Some(head) = head(&mut stream).await {
                        let line = head.lines().next().unwrap().to_owned();
                        let answer =
                            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
    }
}

/// Up to the empty line; none at the end.
async fn head(stream: &mut UnixStream) -> Option<String> {
    until(stream, "\r\n\r\n").await
}

async fn until(stream: &mut UnixStream, end: &str) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        match timeout(LONG, stream.read_u8()).await.expect("something comes") {
            Ok(byte) => read.push(byte),
            Err(_) if read.is_empty() => return None,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&read)),
        }
    }
    Some(String::from_utf8(read).unwrap())
}

async fn rest(stream: &mut UnixStream) -> String {
    let mut text = String::new();
    timeout(LONG, stream.read_to_string(&mut text)).await.expect("it ends").unwrap();
    text
}

async fn say(stream: &mut UnixStream, words: &str) {
    timeout(LONG, stream.write_all(words.as_bytes())).await.expect("it is taken").unwrap();
}

/// One request on a connection of its own, which is closed for writing after it.
async fn ask(door: &Door, request: &str) -> String {
    let mut client = door.client().await;
    say(&mut client, request).await;
    client.shutdown().await.unwrap();
    rest(&mut client).await
}

#[tokio::test]
async fn a_client_waits_for_an_engine_that_comes_up() {
    let door = Door::open(LONG);
    let mut client = door.client().await;
    say(&mut client, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
    sleep(Duration::from_millis(50)).await;
    door.engine().echo();
    assert!(until(&mut client, "GET /_ping HTTP/1.1").await.unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_client_without_engine_is_told_so_in_dockers_way() {
    let door = Door::open(Duration::from_millis(20));
    drop(door.engine()); // a stale socket counts as none
    let answer = ask(&door, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = "the Docker engine is not running (state: starting): `sampan status` says why";
    assert_eq!(body, serde_json::json!({ "message": expected }));
    let head = ask(&door, "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn nobody_waits_for_a_client_that_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream {
        socket: folder.path().join("engine"),
        patience: Duration::from_hours(1),
        state: Arc::new(|| panic!("nobody is there to be told")),
    };
    let (mut client, attended) = UnixStream::pair().unwrap();
    say(&mut client, "GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let place = Room::new(1).place().unwrap();
    let attending = tokio::spawn(attend(attended, Arc::new(upstream), Arc::new(Host), place));
    drop(client);
    timeout(LONG, attending).await.expect("its patience is not waited for").unwrap();
}

#[tokio::test]
async fn many_clients_at_once() {
    let door = Door::open(LONG);
    let mut clients = JoinSet::new();
    for number in 0..300 {
        let mut client = door.client().await;
        clients.spawn(async move {
            for request in 0..3 {
                let line = format!("GET /{number}/{request} HTTP/1.1");
                say(&mut client, &format!("{line}\r\nHost: x\r\n\r\n")).await;
                until(&mut client, &format!("\r\n\r\n{line}")).await.unwrap();
            }
        });
    }
    door.engine().echo();
    clients.join_all().await;
}

#[tokio::test]
async fn requests_share_a_connection_until_the_engine_hangs_up() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    let request = "GET /a HTTP/1.1\r\nhOst: x\r\nX-Odd-CASE: y\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nX-oDD: z\r\nContent-Length: 2\r\n\r\nok";
    say(&mut client, request).await;
    let mut first = engine.accept().await;
    assert_eq!(head(&mut first).await.unwrap(), request, "byte for byte");
    say(&mut first, answer).await;
    let got = until(&mut client, "ok").await.unwrap();
    assert!(got.contains("\r\nApi-Version: 1.45\r\nX-oDD: z\r\n"), "{got}");
    say(&mut client, request).await;
    head(&mut first).await.unwrap();
    say(&mut first, answer).await;
    until(&mut client, "ok").await.unwrap();
    drop(first);
    say(&mut client, request).await;
    let mut second = engine.accept().await;
    head(&mut second).await.unwrap();
    say(&mut second, answer).await;
    until(&mut client, "ok").await.unwrap();
}

#[tokio::test]
async fn sources_are_translated_and_shown_again() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    let body = r#"{"Image":"i","HostConfig":{"Binds":["/home/u:/x"]},"New":1}"#;
    // In chunks, which the engine need not see.
    say(
        &mut client,
        &format!(
            "POST /v1.45/containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            &body[..5],
            body.len() - 5,
            &body[5..]
        ),
    )
    .await;
    let mut stream = engine.accept().await;
    let head_seen = head(&mut stream).await.unwrap().to_lowercase();
    let translated = body.replace("/home/u", "/views/host/home/u");
    assert!(head_seen.contains(&format!("content-length: {}\r\n", translated.len())), "{head_seen}");
    assert!(!head_seen.contains("transfer-encoding"), "{head_seen}");
    assert_eq!(until(&mut stream, "\"New\":1}").await.unwrap(), translated);
    let refused = r#"{"message":"no /views/host/home/u here"}"#;
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{refused}",
        refused.len()
    );
    say(&mut stream, &answer).await;
    assert!(until(&mut client, "}").await.unwrap().ends_with("\r\n\r\n{\"message\":\"no /home/u here\"}"));
    say(&mut client, "GET /containers/x/json HTTP/1.1\r\nHost: x\r\n\r\n").await;
    head(&mut stream).await.unwrap();
    let shown = r#"{"Mounts":[{"Source":"/views/host/home/u"}]}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{shown}\r\n0\r\n\r\n",
        shown.len()
    );
    say(&mut stream, &answer).await;
    assert!(
        until(&mut client, "}]}").await.unwrap().ends_with("\r\n\r\n{\"Mounts\":[{\"Source\":\"/home/u\"}]}")
    );
}

#[tokio::test]
async fn a_denied_source_never_reaches_the_engine() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let body = r#"{"HostConfig":{"Binds":["/etc:/x"]}}"#;
    let request = format!(
        "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(&door, &request).await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(answer.ends_with("{\"message\":\"mounts denied: /etc is not shared\"}\n"), "{answer}");
    assert!(timeout(Duration::from_millis(50), engine.0.accept()).await.is_err());
}

#[tokio::test]
async fn a_body_that_is_too_long_to_look_at_is_refused() {
    let door = Door::open(LONG);
    let _engine = door.engine();
    let mut client = door.client().await;
    say(&mut client, "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 67108864\r\n\r\n").await;
    let (mut reader, mut writer) = client.split();
    let blanks = vec![b' '; 1 << 20];
    let mut answer = Vec::new();
    tokio::join!(async { while writer.write_all(&blanks).await.is_ok() {} }, async {
        let _ = timeout(LONG, reader.read_to_end(&mut answer)).await.expect("it ends");
    });
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn two_lengths_are_never_two_requests() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let smuggled = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                    0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut client = door.client().await;
    say(&mut client, smuggled).await;
    client.shutdown().await.unwrap();
    // Whatever the proxy makes of it, the engine is told one length and no more than that.
    if let Ok(Ok((mut stream, _))) = timeout(Duration::from_millis(300), engine.0.accept()).await {
        let head_seen = head(&mut stream).await.unwrap().to_lowercase();
        let lengths =
            head_seen.matches("content-length:").count() + head_seen.matches("transfer-encoding:").count();
        assert_eq!(lengths, 1, "{head_seen}");
    }
}

const UPGRADE: &str = "POST /v1.45/exec/x/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
                       Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                        Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

async fn upgraded(door: &Door, engine: &Engine) -> (UnixStream, UnixStream) {
    let mut client = door.client().await;
    say(&mut client, UPGRADE).await;
    let mut stream = engine.accept().await;
    let seen = until(&mut stream, "{}").await.unwrap();
    assert_eq!(seen, UPGRADE, "byte for byte");
    say(&mut stream, UPGRADED).await;
    assert!(head(&mut client).await.unwrap().starts_with("HTTP/1.1 101 "));
    (client, stream)
}

#[tokio::test]
async fn an_upgraded_connection_ends_side_by_side() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let (mut client, mut stream) = upgraded(&door, &engine).await;
    say(&mut client, "input").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "input");
    say(&mut stream, "late output").await;
    drop(stream);
    assert_eq!(rest(&mut client).await, "late output");

    let (mut client, mut stream) = upgraded(&door, &engine).await;
    say(&mut stream, "output").await;
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "output");
    say(&mut client, "late input").await;
    drop(client);
    assert_eq!(rest(&mut stream).await, "late input");
}

#[tokio::test]
async fn bytes_around_the_upgrade_are_not_lost() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    say(&mut client, &format!("{UPGRADE}too early")).await;
    let mut stream = engine.accept().await;
    until(&mut stream, "{}").await.unwrap();
    say(&mut stream, &format!("{UPGRADED}at once")).await;
    assert!(until(&mut client, "at once").await.unwrap().starts_with("HTTP/1.1 101 "));
    assert_eq!(until(&mut stream, "early").await.unwrap(), "too early");
}

#[tokio::test]
async fn an_old_clients_takeover_is_passed_on() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    say(&mut client, "POST /v1.21/exec/x/start HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await;
    let mut stream = engine.accept().await;
    // So that there is no second request, which nobody would look at.
    let expected = "POST /v1.21/exec/x/start HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(until(&mut stream, "{}").await.unwrap(), expected);
    say(&mut stream, "HTTP/1.1 200 OK\r\n\r\nraw").await;
    until(&mut client, "raw").await.unwrap();
    say(&mut client, "more").await;
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "more");
    drop(stream);
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn http2_is_what_the_engine_refuses() {
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (answer, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\nno", "HTTP/1.1 400 Bad Request\r\n\r\nno"),
        // Its settings: it would go on with a request.
        ("\0\0\0\x04\0\0\0\0\0", ""),
        ("HTTP", ""),
        ("", ""),
    ] {
        let door = Door::open(LONG);
        let engine = door.engine();
        let mut client = door.client().await;
        say(&mut client, &format!("{PREFACE}POST /containers/create HTTP/1.1\r\n\r\n")).await;
        let mut stream = engine.accept().await;
        assert_eq!(rest(&mut stream).await, PREFACE);
        say(&mut stream, answer).await;
        drop(stream);
        assert_eq!(rest(&mut client).await, expected);
    }
}

#[tokio::test]
async fn an_early_answer_to_an_upload_is_not_held_back() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    say(&mut client, "POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nfirst")
        .await;
    let mut stream = engine.accept().await;
    until(&mut stream, "first").await.unwrap();
    say(&mut stream, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno").await;
    assert!(until(&mut client, "no").await.unwrap().starts_with("HTTP/1.1 500 "));
}

#[tokio::test]
async fn a_stream_arrives_piece_by_piece() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    say(&mut client, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut stream = engine.accept().await;
    head(&mut stream).await.unwrap();
    say(
        &mut stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    head(&mut client).await.unwrap();
    for event in ["{\"a\":1}\n", "{\"b\":2}\n"] {
        say(&mut stream, &format!("{:x}\r\n{event}\r\n", event.len())).await;
        until(&mut client, event).await.unwrap();
    }
}

#[tokio::test]
async fn the_engine_hears_when_a_silent_clients_connection_ends() {
    let door = Door::open(LONG);
    let engine = door.engine();
    for half_closed in [false, true] {
        let mut client = door.client().await;
        say(&mut client, "GET /containers/x/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut stream = engine.accept().await;
        head(&mut stream).await.unwrap();
        say(&mut stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        head(&mut client).await.unwrap();
        if half_closed {
            client.shutdown().await.unwrap();
            say(&mut stream, "2\r\nhi\r\n").await;
            until(&mut client, "hi").await.unwrap();
        }
        drop(client);
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn what_is_no_http_gets_an_answer_or_an_end() {
    let door = Door::open(LONG);
    door.engine().echo();
    for words in
        ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nHost x\r\n\r\n"]
    {
        let answer = ask(&door, words).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{words:?}: {answer}");
    }
    assert!(ask(&door, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_slow_reader_holds_up_the_engine() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    say(&mut client, "GET /images/x/get HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut stream = engine.accept().await;
    head(&mut stream).await.unwrap();
    let length = 64 << 20;
    say(&mut stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
    let block = vec![7; 64 << 10];
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_millis(300), stream.write(&block)).await {
        taken += written.unwrap();
    }
    assert!(taken < 8 << 20, "{taken} bytes are on their way");
    head(&mut client).await.unwrap();
    let writer = tokio::spawn(async move {
        while taken < length {
            taken += stream.write(&block[..block.len().min(length - taken)]).await.unwrap();
        }
    });
    let mut read = 0;
    let mut buffer = vec![0; 64 << 10];
    while read < length {
        read += timeout(LONG, client.read(&mut buffer)).await.expect("it goes on").unwrap();
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_blamed_on_the_engine() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let lies = "POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nZZ\r\n";
    let (answer, ()) = tokio::join!(ask(&door, lies), async {
        rest(&mut engine.accept().await).await; // it hears of the end, too
    });
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("the request broke off"), "{answer}");
}

#[tokio::test]
async fn an_answer_has_the_headers_that_the_engine_gave_it() {
    let door = Door::open(LONG);
    door.engine().echo();
    let answer = ask(&door, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nGET /_ping HTTP/1.1");
}

#[tokio::test]
async fn an_asker_has_only_so_many_connections() {
    let door = Door::with_room(2, Duration::from_millis(20));
    let engine = door.engine();
    let idle = door.client().await;
    let mut attached = door.client().await;
    say(
        &mut attached,
        "POST /exec/x/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    )
    .await;
    let mut stream = engine.accept().await;
    head(&mut stream).await.unwrap();
    say(&mut stream, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello").await;
    until(&mut attached, "hello").await.unwrap();
    engine.echo();

    let ping = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 {
        let answer = ask(&door, ping).await;
        assert!(
            answer.starts_with("HTTP/1.1 503 ") && answer.contains("2 connections to this Docker"),
            "{answer}"
        );
    }
    // Either of the two gives its place back.
    drop(idle);
    until_served(&door, ping).await;
    let _idle = door.client().await;
    assert!(ask(&door, ping).await.starts_with("HTTP/1.1 503 "));
    drop((attached, stream));
    until_served(&door, ping).await;
}

async fn until_served(door: &Door, request: &str) {
    let served = async { while !ask(door, request).await.starts_with("HTTP/1.1 200 ") {} };
    timeout(LONG, served).await.expect("there is a place again");
}

#[tokio::test]
async fn who_finds_no_place_waits_for_one() {
    let door = Door::with_room(1, LONG);
    door.engine().echo();
    let idle = door.client().await;
    let mut client = door.client().await;
    say(&mut client, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let early = timeout(Duration::from_millis(50), client.readable()).await;
    assert!(early.is_err(), "it is served beside the other one");
    drop(idle);
    assert!(until(&mut client, "GET /_ping HTTP/1.1").await.unwrap().starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn those_without_a_place_wait_side_by_side() {
    let door = Door::with_room(1, Duration::from_millis(500));
    door.engine().echo();
    let _idle = door.client().await;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = door.client().await;
        say(&mut client, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
        waiting.push(client);
    }
    // One after the other it would be 100 seconds.
    let told = async {
        for mut client in waiting {
            assert!(until(&mut client, "\r\n").await.unwrap().starts_with("HTTP/1.1 503 "));
        }
    };
    timeout(LONG, told).await.expect("all of them are told");
}

#[tokio::test]
async fn bodies_of_an_asker_have_only_so_much_memory() {
    let door = Door::open(LONG);
    door.engine().echo();
    let create = |length: usize| {
        format!("POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut unfinished = Vec::new();
    let part = "[".repeat((8 << 20) - 1);
    for _ in 0..8 {
        let mut client = door.client().await;
        say(&mut client, &create(8 << 20)).await;
        say(&mut client, &part).await;
        unfinished.push(client);
    }
    let small = format!("{}{{\"Image\":\"i\"}}", create(13));
    let full = async {
        loop {
            let mut client = door.client().await;
            say(&mut client, &format!("{}{}", create(4096), "[".repeat(4095))).await;
            // Some of the others may still be on their way.
            if let Ok(Some(answer)) =
                timeout(Duration::from_millis(200), until(&mut client, "\r\n\r\n")).await
            {
                break answer;
            }
        }
    };
    let answer = timeout(LONG, full).await.expect("there is an end to it");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(ask(&door, "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    drop(unfinished);
    until_served(&door, &small).await;
}

/// Answers the next request of a connection with JSON, and returns its first line.
async fn answer_next(stream: &mut UnixStream, body: &str) -> String {
    let head = head(stream).await.expect("a request");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    say(stream, &answer).await;
    head.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_source_that_leads_elsewhere_now_is_not_opened() {
    let door = Door::open(LONG);
    let engine = door.engine();
    let mut client = door.client().await;
    let start = "POST /v1.45/containers/web/start HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    say(&mut client, start).await;
    let mut stream = engine.accept().await;
    let good = r#"{"HostConfig":{"Binds":["/views/host/home/u:/u","/other:/o"]},
        "Mounts":[{"Type":"volume","Name":"a b","Driver":"local"}]}"#;
    assert_eq!(answer_next(&mut stream, good).await, "GET /containers/web/json HTTP/1.1");
    let volume = r#"{"Options":{"o":"bind","device":"/views/host/home/v"}}"#;
    assert_eq!(answer_next(&mut stream, volume).await, "GET /volumes/a%20b HTTP/1.1");
    assert_eq!(answer_next(&mut stream, "{}").await, "POST /v1.45/containers/web/start HTTP/1.1");
    until(&mut client, "{}").await.unwrap();

    for (container, volume) in [
        (r#"{"HostConfig":{"Binds":["/views/host/home/moved/u:/u"]}}"#, None),
        (r#"{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/views/host/home/moved/u"}]}}"#, None),
        (
            r#"{"Mounts":[{"Type":"volume","Name":"v","Driver":"local"}]}"#,
            Some(r#"{"Options":{"device":"/views/host/home/moved/v"}}"#),
        ),
        (r#"{"HostConfig":{"Binds":["/views/host/etc:/u"]}}"#, None),
    ] {
        say(&mut client, start).await;
        answer_next(&mut stream, container).await;
        if let Some(volume) = volume {
            answer_next(&mut stream, volume).await;
        }
        let refused = until(&mut client, "\"}\n").await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 403 ") && refused.contains("mounts denied: /"), "{refused}");
    }
    // What dockerd knows nothing of is its own business.
    say(&mut client, start).await;
    head(&mut stream).await.unwrap();
    say(&mut stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(answer_next(&mut stream, "{}").await, "POST /v1.45/containers/web/start HTTP/1.1");
    until(&mut client, "{}").await.unwrap();
}
