//! The web, by proxies.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::thread;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::netns::{HOST, Netns, WORLD, Wan};
use sampan_e2e::proxy_server::{ANSWER, ProxyServer};
use sampan_e2e::{files, resolver, roots, waiting};
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("proxies::the_engine_goes_by_those_of_the_settings", engine),
        Case::new("proxies::those_of_the_machine_are_used", system),
        Case::new("proxies::containers_and_distributions_are_led_to_them", led),
        Case::new("proxies::the_host_is_not_reached_by_that_way", forbidden),
    ]
}

/// What the web outside says by itself.
const DIRECT: &str = "direct";

/// A host whose `/etc` is its own copy and that knows no resolver, and the world.
fn wan() -> Wan {
    let own_etc =
        "mount -t tmpfs tmpfs /mnt; cp -a /etc /mnt/etc; mount --bind /mnt/etc /etc; : > /etc/resolv.conf";
    Wan::of(Netns::with_mounts(own_etc))
}

/// The world outside answers on the ports of the web.
fn serve_web(wan: &Wan) {
    for port in [80, 443] {
        let listener = wan.world.listen(format!("{WORLD}:{port}").parse().expect("an address"));
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{DIRECT}");
            }
        });
    }
}

/// Writes the settings and applies them.
fn set(instance: &Instance, mut settings: Value) {
    settings["schemaVersion"] = json!(1);
    files::write(&instance.place().settings(), settings.to_string());
    instance.start().expect(0);
}

fn pull(instance: &Instance, server: &str) -> String {
    let pulled = instance.docker(&["pull", &format!("{server}/image")]);
    assert_ne!(pulled.code(), Some(0), "there is no such registry");
    pulled.all()
}

fn engine() {
    let wan = wan();
    // As an agent that adds credentials: at the host's loopback.
    let (one, other) = (ProxyServer::new(&wan.host, "127.0.0.1"), ProxyServer::new(&wan.host, "127.0.0.1"));
    let instance = Instance::on(&wan.host);
    let by = |proxy: &ProxyServer, exclude: &str| {
        json!({
            "proxyHttpMode": "manual",
            "overrideProxyHttps": format!("http://me:p%40ss@127.0.0.1:{}", proxy.port),
            "overrideProxyExclude": exclude,
        })
    };
    set(&instance, by(&one, "intern.test"));
    instance.need_busybox();
    instance.container(&["--name", "stays"], "sleep 3600");
    let started = || instance.docker(&["inspect", "-f", "{{.State.StartedAt}}", "stays"]).ok();
    let first = started();
    instance.docker(&["info"]).expect(0).says("http.docker.internal:3128");

    // The name is the proxy's to look up: nobody else here knows any.
    pull(&instance, "registry.test");
    let heard = one.heard();
    assert!(heard.starts_with("CONNECT registry.test:443 HTTP/1.1\r\n"), "{heard}");
    assert!(heard.to_lowercase().contains("\r\nproxy-authorization: basic bwu6cebzcw==\r\n"), "{heard}");
    pull(&instance, "registry.intern.test");
    assert_eq!(one.heard(), "", "excluded");

    // Another one, and none: nothing is restarted.
    set(&instance, by(&other, ""));
    pull(&instance, "registry.intern.test");
    assert!(other.heard().starts_with("CONNECT registry.intern.test:443 "));
    set(&instance, json!({ "proxyHttpMode": "none" }));
    pull(&instance, "registry.test");
    assert_eq!((one.heard() + &other.heard()).as_str(), "");
    assert_eq!(started(), first);
    // Nothing of the password where others can read.
    for record in ["gateway.json", "network.json"] {
        let text = String::from_utf8(files::read(&instance.place().run().join(record))).expect("it is JSON");
        assert!(!text.contains("p%40ss") && !text.contains("p@ss"), "{record}");
    }

    set(&instance, by(&one, ""));
    files::write(
        &instance.place().settings(),
        r#"{"schemaVersion":1,"proxyHttpMode":"manual","overrideProxyHttp":"https://me:secret@proxy.test"}"#,
    );
    let refused = instance.start();
    refused.expect(7).says("`https://…@proxy.test` is no proxy that can be used: it must begin with http://");
    assert!(!refused.all().contains("secret"));
}

fn system() {
    let wan = wan();
    let proxy = ProxyServer::new(&wan.host, "127.0.0.1");
    let write = |text: String| {
        wan.host.tool("sh", &["-c", "cat > /etc/environment"]).input(text.as_str()).run().ok();
    };
    write(format!("https_proxy=\"http://127.0.0.1:{}\"\nno_proxy=intern.test\n", proxy.port));
    let instance = Instance::on(&wan.host);
    instance.start().expect(0);
    pull(&instance, "registry.intern.test");
    assert_eq!(proxy.heard(), "");
    pull(&instance, "registry.test");
    assert!(proxy.heard().starts_with("CONNECT registry.test:443 "));
    write("https_proxy=socks5://127.0.0.1:1080\n".to_owned());
    let warned = instance.start();
    warned.expect(0).says("https_proxy: `socks5://127.0.0.1:1080` is no proxy that can be used");
    pull(&instance, "registry.test");
    assert_eq!(proxy.heard(), "");
}

/// The first message of a TLS client that means `registry.test`, for printf(1).
fn hello() -> String {
    let sized = |bytes: Vec<u8>| {
        let length = u16::try_from(bytes.len()).expect("it is short").to_be_bytes();
        [length.to_vec(), bytes].concat()
    };
    let name = sized([vec![0], sized(b"registry.test".to_vec())].concat());
    let extensions = sized([vec![0, 0], sized(name)].concat());
    let body = [vec![3, 3], vec![7; 32], vec![0, 0, 2, 0x13, 1, 1, 0], extensions].concat();
    let message = [vec![1, 0], sized(body)].concat();
    let record = [vec![22, 3, 1], sized(message)].concat();
    let escaped: Vec<String> = record.iter().map(|byte| format!("\\{byte:03o}")).collect();
    escaped.concat()
}

fn led() {
    let wan = wan();
    serve_web(&wan);
    let proxy = ProxyServer::new(&wan.host, "127.0.0.1");
    resolver::serve(&wan.host, Ipv4Addr::LOCALHOST, WORLD.parse().expect("an address"));
    wan.host.tool("sh", &["-c", "echo nameserver 127.0.0.1 > /etc/resolv.conf"]).run().ok();
    let instance = Instance::started_on(&wan.host);
    instance.need_busybox();
    instance.container(&["--name", "asker"], "sleep 3600");
    instance.import("small", &roots::small(), 2);
    let in_container = |script: &str| instance.docker(&["exec", "asker", "sh", "-c", script]).all();
    let in_distribution = |script: &str| instance.inside("small", script).all();
    let askers: [&dyn Fn(&str) -> String; 2] = [&in_container, &in_distribution];
    let gateway = instance.status().subnet.expect("the network is up").replace(".0/24", ".1");
    let get = format!("wget -qO- http://{WORLD}/ 2>&1");
    let tls = format!("printf '{}' | nc -w 10 {WORLD} 443", hello());
    let asked = format!("http_proxy=http://{gateway}:3128 wget -qO- http://example.test/ 2>&1");
    for asker in askers {
        assert!(asker(&get).contains(DIRECT) && asker(&tls).contains(DIRECT));
        assert!(asker(&asked).contains(DIRECT), "without any proxy the host itself goes there");
    }

    let url = format!("http://127.0.0.1:{}", proxy.port);
    let settings = json!({
        "proxyHttpMode": "manual",
        "overrideProxyHttp": url,
        "overrideProxyHttps": url,
        "overrideProxyExclude": "intern.test",
    });
    set(&instance, settings.clone());
    for asker in askers {
        assert!(asker(&get).contains(ANSWER));
        let heard = proxy.heard();
        assert!(heard.starts_with(&format!("GET http://{WORLD}/ HTTP/1.1\r\n")), "{heard}");
        let named = asker(&format!("wget -qO- --header 'Host: example.test' http://{WORLD}/path?a=b"));
        assert!(named.contains(ANSWER));
        let heard = proxy.heard();
        assert!(heard.starts_with("GET http://example.test/path?a=b HTTP/1.1\r\n"), "{heard}");
        assert!(asker(&tls).contains(ANSWER));
        let heard = proxy.heard();
        assert!(heard.starts_with("CONNECT registry.test:443 "), "{heard}");
        assert!(asker(&asked).contains(ANSWER));
        assert!(proxy.heard().starts_with("GET http://example.test/ "));
        // Excluded: directly, whoever asks.
        for way in [
            format!("wget -qO- --header 'Host: a.intern.test' http://{WORLD}/"),
            asked.replace("example", "intern"),
        ] {
            assert!(asker(&way).contains(DIRECT), "{way}");
        }
        assert_eq!(proxy.heard(), "");
    }
    let mut own_way = settings;
    own_way["containersProxyHttpMode"] = json!("none");
    set(&instance, own_way);
    waiting::until("the rules are others", || in_container(&get).contains(DIRECT));
    pull(&instance, "registry.test");
    assert!(proxy.heard().starts_with("CONNECT registry.test:443 "), "the engine's are left");
}

fn forbidden() {
    let wan = wan();
    let secret = wan.host.listen("0.0.0.0:0".parse().expect("an address"));
    let port = secret.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = secret.accept() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\nsecret");
        }
    });
    let instance = Instance::on(&wan.host);
    set(&instance, json!({ "hostLoopback": "off" }));
    instance.need_busybox();
    instance.container(&["--name", "asker"], "sleep 3600");
    let subnet = instance.status().subnet.expect("the network is up");
    let (gateway, services) = (subnet.replace(".0/24", ".1"), subnet.replace(".0/24", ".254"));
    let ask = |server: &str| {
        let script = format!(
            "printf 'GET http://{server}:{port}/ HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | nc {gateway} 3128"
        );
        instance.docker(&["exec", "asker", "sh", "-c", &script]).all()
    };
    for server in
        ["127.0.0.1", "127.9.9.9", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", HOST, &gateway, &services]
    {
        let answer = ask(server);
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("sampan: "), "{server}: {answer}");
    }
    for server in ["localhost", "host.docker.internal"] {
        let answer = ask(server);
        assert!(!answer.contains("secret") && answer.starts_with("HTTP/1.1 "), "{server}: {answer}");
    }
    set(&instance, json!({ "hostLoopback": [port] }));
    for server in ["host.docker.internal", HOST] {
        assert!(ask(server).contains("secret"), "{server}");
    }
    // It says what it is to whoever takes it for something else.
    let script = format!(
        "printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | nc {gateway} 3128"
    );
    let answer = instance.docker(&["exec", "asker", "sh", "-c", &script]).all();
    assert!(answer.contains("400 Bad Request") && answer.contains("this is a proxy"), "{answer}");
}
