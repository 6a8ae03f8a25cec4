use sampan_model::network::Subnet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A server of the host's loopback that hears one connection out, up to `until`, and answers; what it heard.
fn server(until: &'static str, answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let heard = hear(&mut stream, until).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        heard
    });
    (port, task)
}

async fn hear(stream: &mut TcpStream, until: &str) -> String {
    let mut heard = String::new();
    while !heard.ends_with(until) {
        heard.push(char::from(stream.read_u8().await.unwrap()));
    }
    heard
}

/// The relay, as a proxy; what `said` is answered.
async fn ask(duty: Duty, said: &str) -> String {
    let (_duty, of) = watch::channel(duty);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let resolvers = Resolvers::fixed(vec!["127.0.0.1:9".parse().unwrap()]);
    let task = tokio::spawn(Web::new(of, resolvers).serve_proxy(listener));
    let mut client = TcpStream::connect(at).await.unwrap();
    client.write_all(said.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    task.abort();
    answer
}

fn duty(proxy: Option<u16>) -> Duty {
    let mut duty = Duty::new(Subnet::DEFAULT);
    let url = proxy.map(|port| format!("http://me:x@127.0.0.1:{port}").parse().unwrap());
    duty.proxies.http.clone_from(&url);
    duty.proxies.https = url;
    duty
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

#[tokio::test]
async fn a_request_is_passed_on_to_the_server_or_to_the_proxy() {
    let said = |server: &str| {
        format!(
            "POST http://{server}/a?b HTTP/1.1\r\nHost: {server}\r\nProxy-Connection: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
        )
    };
    let (port, heard) = server("body", OK);
    let own = format!("host.docker.internal:{port}");
    let answer = ask(duty(None), &said(&own)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST /a?b HTTP/1.1\r\n") && heard.contains(&format!("\r\nHost: {own}\r\n")));
    assert!(!heard.contains("Proxy-"), "{heard}");

    let (port, heard) = server("body", OK);
    let answer = ask(duty(Some(port)), &said("a.test")).await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST http://a.test/a?b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.to_lowercase().contains("\r\nproxy-authorization: basic bwu6ea==\r\n"), "{heard}");
}

#[tokio::test]
async fn a_tunnel_loses_nothing_that_is_said_early() {
    let (port, heard) = server("hello", "answer");
    let said = format!("CONNECT host.docker.internal:{port} HTTP/1.1\r\nHost: x\r\n\r\nhello");
    let answer = ask(duty(None), &said).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nanswer"), "{answer}");
    assert_eq!(heard.await.unwrap(), "hello");

    // The proxy's server speaks first.
    let (port, heard) = server("\r\n\r\n", "HTTP/1.1 200 Fine\r\n\r\nanswer");
    let answer = ask(duty(Some(port)), "CONNECT a.test:443 HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\nanswer"), "{answer}");
    assert!(heard.await.unwrap().starts_with("CONNECT a.test:443 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn an_upgrade_goes_through() {
    let (port, heard) = server(
        "\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nanswer",
    );
    let own = format!("host.docker.internal:{port}");
    let said =
        format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    let answer = ask(duty(None), &said).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nanswer"), "{answer}");
    assert!(heard.await.unwrap().to_lowercase().contains("\r\nupgrade: x\r\n"));
}

#[tokio::test]
async fn what_can_not_be_is_said() {
    let (port, _heard) =
        server("\r\n\r\n", "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let answer =
        ask(duty(Some(port)), "CONNECT a.test:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 407 ") && answer.contains("the proxy 127.0.0.1:"), "{answer}");
    for (said, told) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n", "400 Bad Request"),
        ("GET https://a.test/ HTTP/1.1\r\nHost: x\r\n", "400 Bad Request"),
        ("GET http://a.test/ HTTP/1.1\r\nHost: x\r\n", "502 Bad Gateway"),
        ("GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\n", "403 Forbidden"),
        ("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n", "403 Forbidden"),
        ("CONNECT a.test HTTP/1.1\r\nHost: x\r\n", "400 Bad Request"),
    ] {
        let answer = ask(duty(None), &format!("{said}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {told}\r\n")), "{said}: {answer}");
    }
    assert_eq!(
        ask(duty(None), "nonsense\r\n\r\n").await.split("\r\n").next(),
        Some("HTTP/1.1 400 Bad Request")
    );
}
