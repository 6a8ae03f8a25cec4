//! What only an attacker or a broken program sends.

use std::fmt::Write as _;

use sampan_e2e::http::Door;
use sampan_e2e::instance::Instance;
use sampan_e2e::shared;

use super::ASKER;

/// What the proxy has to do.
enum Expected {
    /// dockerd's own answers, by their status.
    Dockerds,
    /// To refuse, whatever dockerd would do: the two would read it in different ways, or it is too much to look at.
    Refusal(u16),
}

use Expected::{Dockerds, Refusal};

const CREATE: &str = "/containers/create";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// An image that is not there: dockerd answers 404, so 404 means that it has read the whole request.
const NOTHING: &str = "{\"Image\":\"e2e/nothing\"}";

pub(super) fn all() {
    let instance = shared::integrated();
    let bare = Door::bare(instance);
    let doors = [Door::proxy(instance), Door::distribution(instance, ASKER)];
    let mut wrong = String::new();
    for (name, bytes, expected) in table() {
        let theirs = statuses(&bare, &bytes);
        for door in &doors {
            let ours = statuses(door, &bytes);
            let right = match expected {
                Dockerds => ours == theirs,
                Refusal(status) => ours == [status],
            };
            if !right {
                writeln!(wrong, "{name}: dockerd {theirs:?}, {} {ours:?}", door.name)
                    .expect("a string takes all");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for door in &doors {
        assert_eq!(statuses(door, &get("/_ping", "")), [200], "{} goes on as before", door.name);
    }
}

/// Of all answers of a connection; none: it was only closed.
fn statuses(door: &Door, bytes: &[u8]) -> Vec<u16> {
    door.send(bytes).iter().map(|answer| answer.status).collect()
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    request("GET", path, headers, "")
}

fn create(headers: &str, body: &str) -> Vec<u8> {
    request("POST", CREATE, headers, body)
}

/// A proper `POST`.
fn post(path: &str, body: &str) -> Vec<u8> {
    request("POST", path, &format!("Content-Length: {}\r\n", body.len()), body)
}

fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

fn table() -> Vec<(&'static str, Vec<u8>, Expected)> {
    let ping = String::from_utf8(get("/_ping", "")).expect("ASCII");
    let long = "x".repeat(64 << 20);
    vec![
        // Not HTTP, or hardly.
        ("zeros", vec![0; 300], Dockerds),
        ("TLS", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x55; 300]].concat(), Dockerds),
        ("SSH", b"SSH-2.0-x\r\n".to_vec(), Dockerds),
        ("no version", b"GET /_ping\r\n\r\n".to_vec(), Dockerds),
        ("an old version", b"GET /_ping HTTP/1.0\r\n\r\n".to_vec(), Dockerds),
        ("an unknown version", b"GET /_ping HTTP/3.0\r\nHost: x\r\n\r\n".to_vec(), Refusal(400)),
        (
            "HTTP/2 with prior knowledge",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
            Dockerds,
        ),
        ("HTTP/2 spoilt", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), Dockerds),
        ("no method", request("", "/_ping", "", ""), Dockerds),
        ("a bad method", request("GE(T", "/_ping", "", ""), Dockerds),
        ("a small method", request("post", CREATE, "Content-Length: 0\r\n", ""), Dockerds),
        ("a blank in the path", get("/a b", ""), Dockerds),
        ("CONNECT", request("CONNECT", "x:80", "", ""), Dockerds),
        ("OPTIONS", request("OPTIONS", "*", "", ""), Dockerds),
        ("HEAD", request("HEAD", "/_ping", "", ""), Dockerds),
        // Headers.
        ("no host", b"GET /_ping HTTP/1.1\r\n\r\n".to_vec(), Dockerds),
        ("two hosts", get("/_ping", "Host: y\r\n"), Dockerds),
        ("a blank before the colon", get("/_ping", "X : y\r\n"), Dockerds),
        ("no colon", get("/_ping", "X\r\n"), Dockerds),
        ("a NUL", get("/_ping", "X: a\0b\r\n"), Dockerds),
        ("a CR", get("/_ping", "X: a\rY: b\r\n"), Dockerds),
        ("bare LFs", b"GET /_ping HTTP/1.1\nHost: x\n\n".to_vec(), Dockerds),
        ("no ASCII", get("/_ping", "X: ü\r\n"), Dockerds),
        ("a folded line", get("/_ping", "X: a\r\n b\r\n"), Refusal(400)),
        ("2 MB of header", get("/_ping", &format!("X: {}\r\n", "x".repeat(2_000_000))), Dockerds),
        ("an expectation", create("Expect: 100-continue\r\nContent-Length: 2\r\n", "{}"), Dockerds),
        ("a strange expectation", create("Expect: wonders\r\nContent-Length: 2\r\n", "{}"), Dockerds),
        ("an upgrade to nothing", get("/_ping", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), Dockerds),
        // Lengths.
        ("a length below zero", create("Content-Length: -1\r\n", NOTHING), Dockerds),
        ("a length with a sign", create("Content-Length: +2\r\n", "{}"), Dockerds),
        ("a length in hex", create("Content-Length: 0x2\r\n", "{}"), Dockerds),
        ("two lengths", create("Content-Length: 2\r\nContent-Length: 1\r\n", "{}"), Dockerds),
        ("the same length twice", create("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), Dockerds),
        ("a list of lengths", create("Content-Length: 1, 2\r\n", "{}"), Dockerds),
        ("too short a length", create("Content-Length: 5\r\n", NOTHING), Dockerds),
        ("too long a length", create("Content-Length: 500\r\n", NOTHING), Refusal(400)),
        ("chunks", create(CHUNKED, &chunk(NOTHING)), Dockerds),
        ("chunks of an upload", request("POST", "/build", CHUNKED, &chunk("no tar")), Dockerds),
        ("chunks without length", create(CHUNKED, "ZZ\r\n{}\r\n0\r\n\r\n"), Dockerds),
        ("chunks below zero", create(CHUNKED, "-1\r\n{}\r\n0\r\n\r\n"), Dockerds),
        ("chunks beyond counting", create(CHUNKED, "FFFFFFFFFFFFFFFFFF\r\n{}"), Dockerds),
        ("chunks longer than said", create(CHUNKED, "1\r\n{}\r\n0\r\n\r\n"), Dockerds),
        ("chunks shorter than said", create(CHUNKED, &format!("40\r\n{NOTHING}")), Refusal(400)),
        (
            "an upload's chunks without length",
            request("POST", "/build", CHUNKED, "ZZ\r\n{}\r\n"),
            Refusal(400),
        ),
        (
            "an upload's chunks shorter than said",
            request("POST", "/images/load", CHUNKED, "40\r\nx"),
            Refusal(400),
        ),
        ("both lengths", create(&format!("{CHUNKED}Content-Length: 4\r\n"), &chunk(NOTHING)), Dockerds),
        ("an unknown encoding", create("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), Refusal(400)),
        (
            "an encoding behind the chunks",
            create("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
            Refusal(400),
        ),
        (
            "a tab before the encoding",
            create("Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"),
            Dockerds,
        ),
        (
            "chunks in the old version",
            format!("POST {CREATE} HTTP/1.0\r\n{CHUNKED}\r\n0\r\n\r\n").into_bytes(),
            Dockerds,
        ),
        // Many requests.
        ("pipelining", ping.repeat(20).into_bytes(), Dockerds),
        ("pipelining of posts", post(CREATE, NOTHING).repeat(5), Dockerds),
        (
            "a GET with a body",
            [request("GET", "/_ping", "Content-Length: 4\r\n", "abcd"), get("/_ping", "")].concat(),
            Dockerds,
        ),
        // Paths.
        ("dots", get("/containers/../_ping", ""), Dockerds),
        ("dots in code", get("/containers/%2e%2e/_ping", ""), Dockerds),
        ("dots above the root", get("/../../_ping", ""), Dockerds),
        (
            "dots in an archive's path",
            get("/containers/e2e-nothing/archive?path=../../../etc/passwd", ""),
            Dockerds,
        ),
        ("another host's", get("http://evil/_ping", ""), Dockerds),
        ("a NUL in the path", post("/containers/create%00", NOTHING), Dockerds),
        // Bodies.
        ("no body", post(CREATE, ""), Dockerds),
        ("half a body", post(CREATE, "{"), Dockerds),
        ("two bodies", post(CREATE, &NOTHING.repeat(2)), Dockerds),
        ("a byte order mark", post(CREATE, &format!("\u{feff}{NOTHING}")), Dockerds),
        ("depth", post(CREATE, &"[".repeat(100_000)), Dockerds),
        ("a key twice", post(CREATE, "{\"Image\":\"e2e/nothing\",\"Image\":\"e2e/none\"}"), Dockerds),
        (
            "sources twice",
            post(CREATE, "{\"Image\":\"e2e/nothing\",\"HostConfig\":{},\"hostconfig\":{\"Binds\":[]}}"),
            Refusal(400),
        ),
        (
            "64 MB",
            post(CREATE, &format!("{{\"Image\":\"e2e/nothing\",\"Labels\":{{\"a\":\"{long}\"}}}}")),
            Refusal(413),
        ),
    ]
}

pub(super) fn smuggled() {
    let instance = shared::integrated();
    instance.need_busybox();
    // At dockerd's own socket nothing is forbidden: so it shows which of these would be containers.
    let bare = made_at(instance, &Door::bare(instance));
    assert!(bare.len() > 10 && bare.iter().all(|source| source == "/etc"), "{bare:?}");
    assert_eq!(made_at(instance, &Door::proxy(instance)), [""; 0]);
    // A distribution may mount its own.
    let distribution = made_at(instance, &Door::distribution(instance, ASKER));
    let own = instance.registry().find(ASKER).expect("it is there").guid.to_string();
    assert!(
        !distribution.is_empty() && distribution.iter().all(|source| source.contains(&own)),
        "{distribution:?}"
    );
}

/// What containers mount that come of requests for a folder that is not shared, as dockerd sees it.
fn made_at(instance: &Instance, door: &Door) -> Vec<String> {
    let label = format!("e2e-smuggled={}", door.name);
    for bytes in tricks(door.name) {
        door.send(&bytes);
    }
    let bare = Door::bare(instance).url();
    let made = instance.docker(&["ps", "-aq", "--filter", &format!("label={label}")]).ok();
    let mut mounted = Vec::new();
    for id in made.lines() {
        let template = "{{range .Mounts}}{{println .Source}}{{end}}";
        let sources = instance.docker(&["-H", &bare, "inspect", "--format", template, id]).ok();
        mounted.extend(sources.split_whitespace().map(str::to_owned));
        instance.docker(&["rm", "-f", id]).ok();
    }
    mounted
}

/// `POST /containers/create` in HTTP/2 with prior knowledge (RFC 9113; the header's table is that of RFC 7541).
fn http2(body: &str) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("a short body").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let literal = |name: &[u8], value: &str| {
        let length = [u8::try_from(value.len()).expect("a short value")];
        [name, &length, value.as_bytes()].concat()
    };
    let headers = [
        vec![0x83, 0x86], // POST, http
        literal(&[0x04], CREATE),
        literal(&[0x01], "docker"),
        literal(&[0x0f, 0x10], "application/json"),
    ];
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &headers.concat()),
        frame(0, 1, 1, body.as_bytes()),
    ]
    .concat()
}

fn tricks(name: &str) -> Vec<Vec<u8>> {
    let with = |host: &str| {
        format!(
            "{{\"Image\":\"e2e/busybox\",\"Cmd\":[\"true\"],\"Labels\":{{\"e2e-smuggled\":\"{name}\"}},{host}}}"
        )
    };
    let binds = "\"HostConfig\":{\"Binds\":[\"/etc:/x\"]}";
    let body = with(binds);
    let inner = String::from_utf8(post(CREATE, &body)).expect("ASCII");
    let length = format!("Content-Length: {}\r\n", body.len());
    let mut all = vec![
        // A request in what one of the two takes for a body.
        create(&format!("Content-Length: 5\r\n{CHUNKED}"), &format!("0\r\n\r\n{inner}")),
        create(&format!("{CHUNKED}Content-Length: {}\r\n", inner.len() + 5), &format!("0\r\n\r\n{inner}")),
        create(
            &format!("Transfer-Encoding:\tchunked\r\nContent-Length: {}\r\n", inner.len() + 5),
            &format!("0\r\n\r\n{inner}"),
        ),
        create(&format!("Transfer-Encoding: xchunked\r\nContent-Length: {}\r\n", inner.len()), &inner),
        create(
            &format!("Transfer-Encoding : chunked\r\nContent-Length: {}\r\n", inner.len() + 5),
            &format!("0\r\n\r\n{inner}"),
        ),
        create("Content-Length: 0\r\nContent-Length: 5\r\n", &inner),
        request("GET", "/_ping", "Content-Length: 0\r\n", &inner),
        request("GET", "/_ping", "Connection: Upgrade\r\nUpgrade: tcp\r\n", &inner),
        request(
            "GET",
            "/_ping",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            &inner,
        ),
        request("POST", "/exec/e2e-nothing/start", "Content-Length: 2\r\n", &format!("{{}}{inner}")),
        request("POST", "/containers/e2e-nothing/attach", "Content-Length: 0\r\n", &inner),
        [b"\r\n\r\n".to_vec(), inner.clone().into_bytes()].concat(),
        format!("PRI * HTTP/2.0\r\n\r\n{inner}").into_bytes(),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{inner}").into_bytes(),
        http2(&body),
        // Where dockerd takes over the connection, if it does.
        format!("POST /exec/e2e-nothing/start HTTP/1.1\nHost: x\n\n{inner}").into_bytes(),
        format!("POST /exec/e2e-nothing/start HTTP/1.1\r\n x\r\nHost: x\r\n\r\n{inner}").into_bytes(),
        request(
            "POST",
            "/containers/e2e-nothing/attach",
            "Connection: keep-alive\r\nContent-Length: 0\r\n",
            &inner,
        ),
        // In other words.
        create(CHUNKED, &chunk(&body)),
        create(&format!("{length}Connection: Upgrade\r\nUpgrade: tcp\r\n"), &body),
        create(&format!("{length}Connection: close, Content-Length\r\n"), &body),
        create(&format!("{length}X-HTTP-Method-Override: GET\r\n"), &body),
        create(&format!("{length}Expect: 100-continue\r\n"), &body),
        post(CREATE, &with("\"hostconfig\":{\"BINDS\":[\"/etc:/x\"]}")),
        post(CREATE, &with("\"Ho\u{17f}tConfig\":{\"Bind\u{17f}\":[\"/etc:/x\"]}")),
        post(CREATE, &with("\"Host\\u0043onfig\":{\"Binds\":[\"\\u002fetc:/x\"]}")),
        post(CREATE, &with("\"HostConfig\":{\"Binds\":[\"//etc:/x\"]}")),
        post(CREATE, &with("\"HostConfig\":{\"Binds\":[\"/tmp/../etc:/x\"]}")),
        post(CREATE, &with(&format!("\"HostConfig\":{{}},{binds}"))),
        post(CREATE, &with(&format!("{binds},\"HostConfig\":{{}}"))),
        post(CREATE, &with(&format!("\"hostconfig\":{{}},{binds}"))),
        post(
            CREATE,
            &with("\"HostConfig\":{\"Mounts\":[{\"type\":\"bind\",\"source\":\"/etc\",\"Target\":\"/x\"}]}"),
        ),
    ];
    // By other ways.
    all.extend(
        [
            "/v1.45/containers/create",
            "//containers/create",
            "/containers//create",
            "/containers/./create",
            "/containers/x/../create",
            "/v1.45/../containers/create",
            "/containers/create/",
            "/containers%2fcreate",
            "/containers/cr%65ate",
            "/%76%31.45/containers/create",
            "/v1.24/containers/create?name=",
            "/containers/create?x=/../y",
            "/containers/create;x=1",
            "http://evil/containers/create",
        ]
        .map(|path| post(path, &body)),
    );
    all
}
