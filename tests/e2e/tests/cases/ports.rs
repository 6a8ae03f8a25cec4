//! Published ports.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::netns::{self, HOST, Netns, WORLD, Wan};
use sampan_e2e::random::Sequence;
use sampan_e2e::tools::Tool;
use sampan_e2e::{files, roots, waiting};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("ports::they_are_there_when_docker_run_returns", there),
        Case::new("ports::one_that_is_taken_says_by_whom", taken),
        Case::new("ports::the_setting_says_where_they_are_listened_for", policy),
        Case::new("ports::containers_see_their_clients_where_the_setting_says_so", clients),
        Case::new("ports::listeners_of_the_host_network_are_the_host_s", host_network),
        Case::new("ports::they_outlive_the_service_and_the_forwarder", outlive),
        Case::new("ports::none_is_left_over_and_none_is_missing", rounds),
    ]
}

/// What a web server in a container runs, which says `content`.
fn httpd(content: &str) -> String {
    format!("mkdir /www; echo {content} > /www/index.html; exec httpd -f -p 80 -h /www")
}

/// What is answered at an address of a machine; the kind of the error if nothing is.
fn ask(machine: &Netns, address: &str) -> Result<String, ErrorKind> {
    ask_for("/index.html", machine, address)
}

fn ask_for(path: &str, machine: &Netns, address: &str) -> Result<String, ErrorKind> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = machine.connect(address).map_err(|error| error.kind())?;
    let mut said = String::new();
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
        .and_then(|()| stream.read_to_string(&mut said))
        .map_err(|error| error.kind())?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

/// Waits until the server in the container listens: the port does before.
#[track_caller]
fn serves(machine: &Netns, address: &str, content: &str) {
    waiting::until(&format!("{content} is served at {address}"), || {
        ask(machine, address).as_deref() == Ok(content)
    });
}

/// Whether somebody listens there, be it only to break off: a forwarder whose container listens to nobody may have done so
/// before its client is awake.
fn accepts(machine: &Netns, address: SocketAddr) -> bool {
    match machine.connect(address) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn refuses(machine: &Netns, address: &str) -> bool {
    ask(machine, address) == Err(ErrorKind::ConnectionRefused)
}

fn there() {
    let wan = Wan::new();
    let instance = Instance::started_on(&wan.host);
    let outside = format!("{HOST}:8080");
    let web =
        instance.container(&["--name", "web", "-p", "8080:80", "-p", "127.0.0.1:8081:80"], &httpd("web"));
    // At once: no waiting for the port, only for the server behind it.
    assert!(accepts(&wan.host, "127.0.0.1:8080".parse().expect("an address")));
    for (machine, address) in [
        (&*wan.host, "127.0.0.1:8080"),
        (&wan.host, "127.0.0.9:8080"),
        (&wan.host, "[::1]:8080"),
        (&wan.host, &outside),
        (&wan.host, "127.0.0.1:8081"),
        (&wan.world, &outside),
    ] {
        serves(machine, address, "web");
    }
    assert!(refuses(&wan.world, &format!("{HOST}:8081")), "published at the loopback alone");
    let told = instance.docker(&["port", "web", "80"]).ok();
    let mut told: Vec<&str> = told.lines().collect();
    told.sort_unstable();
    assert_eq!(told, ["0.0.0.0:8080", "127.0.0.1:8081", "[::]:8080"]);

    // Distributions find them at their own loopback.
    instance.import("small", &roots::small(), 2);
    for address in ["127.0.0.1:8080", "127.0.0.1:8081"] {
        let inside = instance.inside("small", &format!("wget -qO- http://{address}/index.html"));
        assert_eq!(inside.text(), "web\n", "{address}: {inside}");
    }

    // On a network of the user's, chosen by docker, by udp.
    instance.docker(&["network", "create", "apart"]).ok();
    let other = instance.container(&["--network", "apart", "-p", "127.0.0.1::80"], &httpd("other"));
    let chosen = instance.docker(&["port", &other, "80"]).ok();
    serves(&wan.host, chosen.trim(), "other");
    instance.container(&["--name", "echo", "-p", "5353:53/udp"], "sleep 3600");
    serve_echoes(&instance, "echo");
    for address in ["127.0.0.1:5353", "127.0.0.7:5353", &format!("{HOST}:5353")] {
        echoes(&wan.host, address);
    }

    let listed = instance.sampan(&["ports"]);
    listed.expect(0).says("0.0.0.0:8080/tcp").says("web").says("0.0.0.0:5353/udp").says("echo");
    let rows = instance.sampan(&["--format", "json", "ports"]).json();
    let is_8081 = |row: &&serde_json::Value| row["host"] == "127.0.0.1:8081";
    let row =
        rows["ports"].as_array().expect("a list").iter().find(is_8081).expect("it is published").clone();
    assert_eq!(
        (&row["onHost"], &row["inside"], &row["name"]),
        (&json!("127.0.0.1:8081"), &json!(true), &json!("web"))
    );

    // Gone when docker says so, on the host and inside.
    instance.docker(&["rm", "-f", &web]).ok();
    for address in ["127.0.0.1:8080", "[::1]:8080", "127.0.0.1:8081"] {
        assert!(refuses(&wan.host, address), "{address}");
    }
    instance.docker(&["rm", "-f", &other, "echo"]).ok();
    instance.sampan(&["ports"]).expect(0).says("No container publishes a port.");
}

/// Sends back, from UDP port 53 of a container, what comes there. It has no program that could.
fn serve_echoes(instance: &Instance, container: &str) {
    let link = instance.docker(&["exec", container, "readlink", "/proc/self/ns/net"]).ok();
    let bind = || UdpSocket::bind("0.0.0.0:53").expect("it is free");
    let socket = netns::within(netns::of_link(link.trim()), bind);
    thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

/// Wants datagrams back from where they were sent to.
#[track_caller]
fn echoes(machine: &Netns, address: &str) {
    let socket = machine.datagrams(address.parse().expect("an address")).expect("a socket");
    for length in [4, 1400, 40_000] {
        let sent = vec![7; length];
        socket.send(&sent).expect("it is sent");
        let mut buffer = vec![0; 65_535];
        let received = socket.recv(&mut buffer).expect("it is answered");
        assert!(buffer[..received] == sent, "{address}: {received} of {length} bytes");
    }
}

fn taken() {
    let wan = Wan::new();
    let instance = Instance::started_on(&wan.host);
    instance.need_busybox();
    let listener = wan.host.listen("127.0.0.1:9090".parse().expect("an address"));
    let run = ["run", "-d", "--name", "late", "-p", "9090:80", "e2e/busybox", "sleep", "3600"];
    let refused = instance.docker(&run);
    refused.expect_failure();
    let own = format!("(pid {}) on the host", std::process::id());
    refused.says("listen tcp4 0.0.0.0:9090: bind: address already in use by").says(&own);
    drop(listener);
    instance.docker(&["start", "late"]).ok();
    assert!(accepts(&wan.host, "127.0.0.1:9090".parse().expect("an address")));

    // Taken by a container that is in the engine's network itself.
    let inside = instance.container(&["--network", "host", "--name", "itself"], "exec httpd -f -p 9191 -h /");
    waiting::until("it is known to listen", || {
        let refused = instance.docker(&["run", "--rm", "-p", "9191:80", "e2e/busybox", "true"]);
        refused.all().contains("bind: address already in use by the container itself")
    });
    instance.docker(&["rm", "-f", &inside]).ok();

    // An address that nobody here has, and one of the host's alone.
    let nobody_s = instance.docker(&["run", "--rm", "-p", "192.0.2.7:80:80", "e2e/busybox", "true"]);
    nobody_s.expect_failure();
    nobody_s.says("listen tcp4 192.0.2.7:80: bind: cannot assign requested address");
    instance.container(&["-p", &format!("{HOST}:8088:80")], &httpd("host"));
    serves(&wan.world, &format!("{HOST}:8088"), "host");

    let sctp = instance.docker(&["run", "--rm", "-p", "7000:7000/sctp", "e2e/busybox", "true"]);
    sctp.expect_failure();
    sctp.says("ports of sctp are not published by Sampan, only those of tcp and udp");
}

fn policy() {
    let wan = Wan::new();
    let instance = Instance::on(&wan.host);
    let start = |policy: &str| {
        let settings = json!({ "schemaVersion": 1, "portBindingBehavior": policy });
        files::write(&instance.place().settings(), settings.to_string());
        instance.sampan(&["stop"]).code();
        instance.start().expect(0);
        instance.need_busybox();
    };
    start("default-local");
    instance.container(&["-p", "8080:80", "-p", &format!("{HOST}:8081:80")], &httpd("local"));
    serves(&wan.host, "127.0.0.1:8080", "local");
    serves(&wan.host, "[::1]:8080", "local");
    serves(&wan.world, &format!("{HOST}:8081"), "local");
    assert!(refuses(&wan.world, &format!("{HOST}:8080")));

    start("local-only");
    instance.container(&["-p", "8080:80"], &httpd("only"));
    serves(&wan.host, "127.0.0.1:8080", "only");
    assert!(refuses(&wan.world, &format!("{HOST}:8080")));
    let refused = instance.docker(&["run", "--rm", "-p", &format!("{HOST}:8082:80"), "e2e/busybox", "true"]);
    refused.expect_failure();
    refused.says("portBindingBehavior of settings.json is local-only");

    files::write(&instance.place().settings(), r#"{"schemaVersion":1,"portBindingBehavior":"world"}"#);
    instance.sampan(&["restart"]).expect(7).says("portBindingBehavior").says("default-local");
}

fn clients() {
    const WHO: &str = "mkdir -p /www/cgi-bin; echo up > /www/index.html
        printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /www/cgi-bin/who; chmod +x /www/cgi-bin/who
        exec httpd -f -p 80 -h /www";
    let wan = Wan::new();
    let instance = Instance::on(&wan.host);
    let start = |keeps: bool| {
        let settings = json!({ "schemaVersion": 1, "keepClientAddresses": keeps });
        files::write(&instance.place().settings(), settings.to_string());
        instance.sampan(&["stop"]).code();
        instance.start().expect(0);
        instance.need_busybox();
        let web = instance.container(&["--name", "web", "-p", "8080:80", "-p", "127.0.0.1:8081:80"], WHO);
        serves(&wan.world, &format!("{HOST}:8080"), "up");
        instance.container(&["--name", "echo", "-p", "5353:53/udp"], "sleep 3600");
        serve_echoes(&instance, "echo");
        web
    };
    // The server listens by IPv6, too.
    let plain = |said: String| said.trim_matches(['[', ']']).trim_start_matches("::ffff:").to_owned();
    let seen = |machine: &Netns, address: &str| ask_for("/cgi-bin/who", machine, address).map(plain);
    let seen_outside = || seen(&wan.world, &format!("{HOST}:8080")).expect("it is answered");

    let web = start(false);
    assert_eq!(seen_outside(), "172.17.0.1");
    instance.docker(&["rm", "-f", &web, "echo"]).ok();

    let web = start(true);
    assert_eq!(seen_outside(), WORLD);
    // The host's own way is the forwarder's, as is that of who is let in at the loopback only.
    for address in ["127.0.0.1:8080", "127.0.0.1:8081", "[::1]:8080", &format!("{HOST}:8080")] {
        assert_eq!(seen(&wan.host, address).as_deref(), Ok("172.17.0.1"), "{address}");
    }
    assert!(refuses(&wan.world, &format!("{HOST}:8081")));
    for machine in [&wan.world, &*wan.host] {
        echoes(machine, &format!("{HOST}:5353"));
    }
    // What is led on is what is listened for, whoever flushes rules or dies.
    wan.host.tool("nft", &["flush", "ruleset"]).run().ok();
    waiting::until("the rules are back", || seen_outside() == WORLD);
    instance.service_of_init("ports").expect("it runs").kill_and_wait();
    waiting::until("it is back", || seen(&wan.world, &format!("{HOST}:8080")).as_deref() == Ok(WORLD));

    // A port that is nobody's any more is anybody's.
    instance.docker(&["rm", "-f", &web]).ok();
    assert!(refuses(&wan.world, &format!("{HOST}:8080")));
    let listener = wan.host.listen("0.0.0.0:8080".parse().expect("an address"));
    let client = wan.world.connect(format!("{HOST}:8080").parse().expect("an address")).expect("it listens");
    let (_, from) = listener.accept().expect("somebody has come");
    assert_eq!(from, client.local_addr().expect("it is bound"));
}

fn host_network() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::on(&machine);
    let settings = json!({ "schemaVersion": 1, "filesharingDirectories": ["/usr"] });
    files::write(&instance.place().settings(), settings.to_string());
    instance.start().expect(0);
    instance.need_busybox();
    let run = "mkdir /www; echo hosted > /www/index.html; exec httpd -f -p 8080 -h /www";
    let web = instance.container(&["--network", "host", "--name", "web"], run);
    serves(&machine, "127.0.0.1:8080", "hosted");
    serves(&machine, "[::1]:8080", "hosted");
    instance.sampan(&["ports"]).expect(0).says("0.0.0.0:8080/tcp").says("127.0.0.1:8080/tcp").says("web");
    // One that begins to listen later, at the loopback alone.
    instance.docker(&["exec", "-d", "web", "httpd", "-f", "-p", "127.0.0.1:8081", "-h", "/www"]).ok();
    serves(&machine, "127.0.0.1:8081", "hosted");
    // What a distribution listens at is its own business.
    instance.import("small", &roots::small(), 2);
    let listen = ["-d", "small", "--", "httpd", "-f", "-p", "7070", "-h", "/etc"];
    let _own = instance.wsl_tool(&listen).input_open().spawn();
    waiting::until("the distribution listens", || {
        instance.inside("small", "wget -qO- http://127.0.0.1:7070/hostname").code() == Some(0)
    });
    instance.docker(&["exec", "-d", "web", "httpd", "-f", "-p", "8082", "-h", "/www"]).ok();
    serves(&machine, "127.0.0.1:8082", "hosted");
    assert!(refuses(&machine, "127.0.0.1:7070"));
    // Datagrams. Busybox has nothing that answers them; the host has.
    let answer = "ln -s usr/lib usr/lib64 /; exec perl -MSocket -e 'socket S, PF_INET, SOCK_DGRAM, 0;
        bind S, pack_sockaddr_in(8053, INADDR_ANY); while ($from = recv S, $text, 65535, 0) { send S, $text, 0, $from }'";
    instance.container(&["--network", "host", "--name", "answers", "-v", "/usr:/usr:ro"], answer);
    waiting::until("its socket is the host's, too", || {
        instance.sampan(&["ports"]).ok().contains("0.0.0.0:8053/udp")
    });
    echoes(&machine, "127.0.0.1:8053");
    instance.docker(&["rm", "-f", "answers"]).ok();

    // The forwarder dies, and the container.
    instance.service_of_init("ports").expect("it runs").kill_and_wait();
    serves(&machine, "127.0.0.1:8080", "hosted");
    instance.docker(&["rm", "-f", &web]).ok();
    for address in ["127.0.0.1:8080", "[::1]:8080", "127.0.0.1:8081", "127.0.0.1:8082"] {
        waiting::until("the port is free", || refuses(&machine, address));
    }
    instance.sampan(&["ports"]).expect(0).says("No container publishes a port.");

    let settings = json!({ "schemaVersion": 1, "hostNetworkingEnabled": false });
    files::write(&instance.place().settings(), settings.to_string());
    instance.sampan(&["restart"]).expect(0);
    instance.container(&["--network", "host", "--name", "web"], run);
    waiting::until("it listens inside", || {
        instance.inside("small", "wget -qO- http://127.0.0.1:8080/index.html").text() == "hosted\n"
    });
    assert!(refuses(&machine, "127.0.0.1:8080"));
}

fn outlive() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::started_on(&machine);
    let web = instance.container(&["-p", "8080:80"], &httpd("web"));
    serves(&machine, "127.0.0.1:8080", "web");
    instance.service().kill_and_wait();
    assert_eq!(ask(&machine, "127.0.0.1:8080").as_deref(), Ok("web"), "without the service");
    instance.sampan(&["start"]).expect(0);

    let forwarder = instance.service_of_init("ports").expect("it runs");
    forwarder.kill_and_wait();
    serves(&machine, "127.0.0.1:8080", "web");
    instance.sampan(&["ports"]).expect(0).says("0.0.0.0:8080/tcp");

    // dockerd dies and brings back what is to be restarted; nobody is left with the port of before.
    let again = instance.container(&["--restart=always", "-p", "8081:80"], &httpd("again"));
    instance.part("dockerd").expect("it runs").kill_and_wait();
    instance.wait_until_running();
    serves(&machine, "127.0.0.1:8081", "again");
    instance.docker(&["rm", "-f", &web, &again]).ok();
    assert!(refuses(&machine, "127.0.0.1:8080") && refuses(&machine, "127.0.0.1:8081"));
    instance.sampan(&["ports"]).expect(0).says("No container publishes a port.");
}

fn rounds() {
    const CONTAINERS: usize = 4;
    let machine = Arc::new(Netns::new());
    let instance = Instance::started_on(&machine);
    instance.need_busybox();
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("c{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let range = format!("{0}-{1}:80-81", 9000 + number * 2, 9001 + number * 2);
        let create = ["create", "--name", name, "-p", &range, "e2e/busybox", "sleep", "3600"];
        instance.docker(&create).ok();
    }
    let mut sequence = Sequence::announced("ports");
    let mut runs = [false; CONTAINERS];
    for round in 0..Sequence::rounds(24) {
        let number = usize::try_from(sequence.below(CONTAINERS as u64)).expect("a small number");
        let verb = match (runs[number], sequence.below(3)) {
            (false, _) => "start",
            (true, 0) => "kill",
            (true, 1) => "restart",
            (true, _) => "stop",
        };
        let mut words = vec![verb];
        words.extend(["-t", "0"].into_iter().filter(|_| matches!(verb, "restart" | "stop")));
        words.push(&names[number]);
        instance.docker(&words).ok();
        runs[number] = matches!(verb, "start" | "restart");
        for (number, runs) in runs.iter().enumerate() {
            for port in [9000 + number * 2, 9001 + number * 2] {
                let port = u16::try_from(port).expect("a port");
                for ip in [IpAddr::from([127, 0, 0, 1]), "::1".parse().expect("an address")] {
                    let listens = accepts(&machine, SocketAddr::new(ip, port));
                    assert_eq!(listens, *runs, "round {round} ({verb}): {ip} {port}");
                }
            }
        }
    }
    let listening = Tool::new("ss").args(["-Hltn"]).under(machine.wrapper()).run().ok();
    let published = listening.lines().filter(|line| line.contains(":900"));
    assert_eq!(published.count(), runs.iter().filter(|runs| **runs).count() * 4, "{listening}");
}
