//! Names, and the host's services, as containers and distributions find them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sampan_e2e::case::Case;
use sampan_e2e::instance::{Instance, recorded};
use sampan_e2e::netns::{self, HOST, Netns, Wan};
use sampan_e2e::processes::Process;
use sampan_e2e::{files, resolver, roots, waiting};
use serde_json::json;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("names::containers_and_distributions_ask_the_host_s_resolvers", resolved),
        Case::new("names::services_at_the_host_s_loopback_are_host_docker_internal", services),
        Case::new("names::the_setting_says_which_services", allowed),
        Case::new("names::nobody_else_comes_to_the_gateway", others),
        Case::new("names::a_firewall_that_is_in_the_way_is_told_of", firewall),
        Case::new("names::the_gateway_outlives_the_service_and_comes_back", outlive),
    ]
}

/// A question for addresses of `large.test` (RFC 1035, 4.1).
const LARGE: [u8; 28] =
    *b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05large\x04test\x00\x00\x01\x00\x01";
const LARGE_LENGTH: u8 = 28;

/// The code of an answer that says that no resolver could answer.
const SERVER_FAILURE: u8 = 2;

/// The answer to [`LARGE`] by a datagram, asked in the network `link`.
fn by_datagram(link: &str, server: SocketAddr) -> Vec<u8> {
    netns::within(netns::of_link(link), move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        socket.send_to(&LARGE, server).expect("it is sent");
        let mut answer = vec![0; 65_535];
        let length = socket.recv(&mut answer).expect("it is answered");
        answer.truncate(length);
        answer
    })
}

/// The same by TCP.
fn by_connection(link: &str, server: SocketAddr) -> Vec<u8> {
    netns::within(netns::of_link(link), move || {
        let mut stream = TcpStream::connect(server).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.write_all(&[&[0, LARGE_LENGTH], &LARGE[..]].concat()).expect("it is sent");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("it is answered");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("it is answered");
        answer
    })
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A machine whose `/etc` is its own copy.
fn machine() -> Arc<Netns> {
    let own_etc = "mount -t tmpfs tmpfs /mnt; cp -a /etc /mnt/etc; mount --bind /mnt/etc /etc";
    Arc::new(Netns::with_mounts(own_etc))
}

/// Replaces the machine's `resolv.conf` as its programs do.
fn write_resolv_conf(machine: &Netns, text: &str) {
    let script = "cat > /etc/.resolv.conf.new; mv /etc/.resolv.conf.new /etc/resolv.conf";
    machine.tool("sh", &["-c", script]).input(text).run().ok();
}

/// Where somebody asks from.
enum Asker<'a> {
    Container(&'a str),
    Distribution(&'a str),
}

impl Asker<'_> {
    fn run(&self, instance: &Instance, script: &str) -> String {
        match self {
            Self::Container(name) => instance.docker(&["exec", name, "sh", "-c", script]).all(),
            Self::Distribution(name) => instance.inside(name, script).all(),
        }
    }

    /// The addresses that a name has there.
    fn addresses(&self, instance: &Instance, name: &str) -> Vec<String> {
        let said = self.run(instance, &format!("nslookup {name}. 2>&1"));
        // What comes before the name is about the server.
        let after = said.split_once("Name:").map_or("", |(_, after)| after);
        let words = after.split_ascii_whitespace().filter(|word| word.parse::<Ipv4Addr>().is_ok());
        words.map(str::to_owned).collect()
    }
}

/// A container on the default network, one on the user's, and a distribution.
fn askers(instance: &Instance) -> [Asker<'static>; 3] {
    instance.docker(&["network", "create", "apart"]).ok();
    instance.container(&["--name", "plain"], "sleep 3600");
    instance.container(&["--name", "apart", "--network", "apart"], "sleep 3600");
    instance.import("small", &roots::small(), 2);
    [Asker::Container("plain"), Asker::Container("apart"), Asker::Distribution("small")]
}

/// An address of the instance's network.
fn address(instance: &Instance, last: u8) -> String {
    let subnet = instance.status().subnet.expect("the network is up");
    subnet.replace(".0/24", &format!(".{last}"))
}

fn resolved() {
    let machine = machine();
    resolver::serve(&machine, Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 9, 8, 7));
    resolver::serve(&machine, Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(10, 9, 8, 6));
    write_resolv_conf(&machine, "nameserver 127.0.0.1\nsearch corp.test\n");
    let instance = Instance::started_on(&machine);
    let askers = askers(&instance);
    let (host, gateway) = (address(&instance, 254), address(&instance, 1));
    for asker in &askers {
        for (name, expected) in [
            ("host.docker.internal", host.as_str()),
            ("kubernetes.docker.internal", &host),
            ("gateway.docker.internal", &gateway),
            ("example.test", "10.9.8.7"),
        ] {
            assert_eq!(asker.addresses(&instance, name), [expected], "{name}");
        }
    }
    // As with a Docker that runs on the machine itself.
    let conf = instance.docker(&["exec", "plain", "cat", "/etc/resolv.conf"]).ok();
    assert!(conf.contains(&format!("nameserver {gateway}\n")) && conf.contains("search corp.test"), "{conf}");
    // Too much for a datagram: whoever is told so comes again by TCP.
    let link = askers[0].run(&instance, "readlink /proc/self/ns/net").trim().to_owned();
    let server: SocketAddr = format!("{gateway}:53").parse().expect("an address");
    let (datagram, message) = (by_datagram(&link, server), by_connection(&link, server));
    assert_eq!((datagram[2] & 2, datagram.len()), (2, LARGE.len()), "truncated");
    assert_eq!((message[2] & 2, message.len()), (0, LARGE.len() + 100 * 16), "whole");

    // The host's resolvers change; nothing of the containers does.
    write_resolv_conf(&machine, "nameserver 127.0.0.2\n");
    for asker in &askers {
        waiting::until("the new resolver is asked", || {
            asker.addresses(&instance, "example.test") == ["10.9.8.6"]
        });
    }
    assert_eq!(instance.docker(&["exec", "plain", "cat", "/etc/resolv.conf"]).ok(), conf);
    // Nobody there: the answer is a failure, and names of ours go on.
    write_resolv_conf(&machine, "nameserver 127.0.0.3\n");
    waiting::until("the failure is told", || by_datagram(&link, server)[3] & 0xf == SERVER_FAILURE);
    assert_eq!(askers[0].addresses(&instance, "host.docker.internal"), [host]);
}

/// A web server that says `content` to everybody.
fn serve(machine: &Netns, at: &str, content: &'static str) -> u16 {
    let listener = machine.listen(at.parse().expect("an address"));
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{content}");
        }
    });
    port
}

/// What a service says. By its address: busybox, statically linked, can't ask for one on its way.
fn get(asker: &Asker<'_>, instance: &Instance, host: &str, port: u16) -> String {
    let host = match host.parse::<Ipv4Addr>() {
        Ok(_) => host.to_owned(),
        Err(_) => asker.addresses(instance, host).concat(),
    };
    asker.run(instance, &format!("wget -qO- http://{host}:{port}/ 2>&1 || echo failed")).trim().to_owned()
}

fn services() {
    let wan = Wan::new();
    let instance = Instance::started_on(&wan.host);
    let four = serve(&wan.host, "127.0.0.1:0", "four");
    let six = serve(&wan.host, "[::1]:0", "six");
    let all = serve(&wan.host, "0.0.0.0:0", "all");
    let askers = askers(&instance);
    for asker in &askers {
        for (port, content) in [(four, "four"), (six, "six"), (all, "all")] {
            for name in ["host.docker.internal", "gateway.docker.internal"] {
                assert_eq!(get(asker, &instance, name, port), content, "{name}");
            }
        }
        // Other addresses of the host are the firewall's business, as ever.
        assert_eq!(get(asker, &instance, HOST, all), "all");
        let refused = get(asker, &instance, "host.docker.internal", 9);
        assert!(refused.contains("reset") || refused.contains("refused"), "{refused}");
    }
    instance.container(&["--name", "named", "--add-host", "box:host-gateway"], "sleep 3600");
    let named = Asker::Container("named");
    let listed = named.run(&instance, "grep box /etc/hosts");
    let meant = listed.split_ascii_whitespace().next().expect("it is listed");
    assert_eq!(get(&named, &instance, meant, four), "four");

    // Where the gateway itself listens is closed, and so is all else at its addresses.
    let record = files::read(&instance.place().run().join("gateway.json"));
    let record: serde_json::Value = serde_json::from_slice(&record).expect("it is JSON");
    let ports = &record["ports"];
    for (last, port) in
        [(254, &ports["services"]), (1, &ports["names"]), (1, &ports["proxy"]), (1, &ports["web"])]
    {
        let port = u16::try_from(port.as_u64().expect("a port")).expect("a port");
        let said = get(&askers[0], &instance, &address(&instance, last), port);
        assert!(said.contains("refused") || said.contains("reset"), "{last} {port}: {said}");
    }
    let said = askers[0].run(&instance, "nslookup example.test 127.0.0.1 2>&1");
    assert!(!said.contains("Name:"), "{said}");
}

fn allowed() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::on(&machine);
    let (one, other) = (serve(&machine, "127.0.0.1:0", "one"), serve(&machine, "127.0.0.1:0", "other"));
    let start = |loopback: serde_json::Value| {
        let settings = json!({ "schemaVersion": 1, "hostLoopback": loopback, "dnsInhibition": "ipv4" });
        files::write(&instance.place().settings(), settings.to_string());
        instance.sampan(&["stop"]).code();
        instance.start().expect(0);
        instance.need_busybox();
        instance.container(&["--name", "asker"], "sleep 3600");
    };
    let host = || address(&instance, 254);
    let asker = Asker::Container("asker");
    start(json!([one]));
    assert_eq!(get(&asker, &instance, &host(), one), "one");
    assert!(get(&asker, &instance, &host(), other).contains("reset"));
    assert!(asker.addresses(&instance, "host.docker.internal").is_empty(), "hidden");
    instance.docker(&["rm", "-f", "asker"]).ok();
    start(json!("off"));
    assert!(get(&asker, &instance, &host(), one).contains("reset"));
    files::write(&instance.place().settings(), r#"{"schemaVersion":1,"hostLoopback":"some"}"#);
    instance.sampan(&["restart"]).expect(7).says("hostLoopback").says("\"all\", \"off\" or a list");
}

fn others() {
    let wan = Wan::new();
    let instance = Instance::started_on(&wan.host);
    let subnet = instance.status().subnet.expect("the network is up");
    wan.world.tool("ip", &["route", "add", &subnet, "via", HOST]).run().ok();
    let open = serve(&wan.host, "0.0.0.0:0", "open");
    let try_to = |address: String| {
        let address: SocketAddr = address.parse().expect("an address");
        let outcome = wan.world.within(move || TcpStream::connect_timeout(&address, Duration::from_secs(2)));
        outcome.map(drop).map_err(|error| error.kind())
    };
    assert_eq!(try_to(format!("{HOST}:{open}")), Ok(()), "the host itself is reached");
    let record = files::read(&instance.place().run().join("gateway.json"));
    let record: serde_json::Value = serde_json::from_slice(&record).expect("it is JSON");
    for (last, port) in [
        (254, record["ports"]["services"].to_string()),
        (254, open.to_string()),
        (1, record["ports"]["names"].to_string()),
        (1, record["ports"]["proxy"].to_string()),
        (1, record["ports"]["web"].to_string()),
        (1, "3128".to_owned()),
        (1, "53".to_owned()),
        (1, open.to_string()),
    ] {
        let at = format!("{}:{port}", address(&instance, last));
        assert_eq!(try_to(at.clone()), Err(ErrorKind::TimedOut), "{at}");
    }
}

fn firewall() {
    let machine = Arc::new(Netns::new());
    let rules = "add table inet fw; \
        add chain inet fw input { type filter hook input priority 0 ; policy drop ; }; \
        add rule inet fw input iifname lo accept";
    machine.tool("nft", &[rules]).run().ok();
    let instance = Instance::on(&machine);
    let told = "a firewall of this host drops what containers and distributions ask it for";
    instance.import("small", &roots::small(), 2);
    instance.inside("small", "true").expect(0).says(told).says(&instance.place().link());
    instance.wsl(&["--shutdown"]).expect(0);
    instance.start().expect(0).says(told);
    instance.need_busybox();
    instance.container(&["--name", "asker"], "sleep 3600");
    // What the page about troubles says helps at once.
    machine.tool("nft", &["insert rule inet fw input iifname \"smpn*\" accept"]).run().ok();
    assert_eq!(Asker::Container("asker").addresses(&instance, "host.docker.internal").len(), 1);
    instance.sampan(&["stop"]).expect(0);
    let again = instance.start();
    again.expect(0);
    assert!(!again.all().contains(told), "{again}");
}

fn outlive() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::started_on(&machine);
    instance.need_busybox();
    instance.container(&["--name", "asker"], "sleep 3600");
    let asker = Asker::Container("asker");
    let works = || !asker.addresses(&instance, "host.docker.internal").is_empty();
    let record = instance.place().run().join("gateway.json");
    let gateway = || -> Process { recorded(&record) };
    assert!(works());
    // Nothing it reads could do anything on the host.
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway().pid)).expect("it runs");
    for line in ["Uid:\t65534\t65534\t65534\t65534", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }

    let first = gateway();
    first.kill_and_wait();
    waiting::until("the service starts another one", works);
    machine.tool("nft", &["flush", "ruleset"]).run().ok();
    waiting::until("the rules are back", works);
    instance.service().kill_and_wait();
    assert!(works(), "without the service");
    gateway().kill_and_wait();
    assert!(!works());
    instance.sampan(&["start"]).expect(0);
    assert!(works(), "after a start");

    // It goes with the last distribution, not with the engine.
    let last = gateway();
    instance.import("small", &roots::small(), 2);
    instance.inside("small", "sleep 3600 >/dev/null 2>&1 & true").ok();
    instance.sampan(&["stop"]).code();
    assert!(last.is_alive());
    let found = Asker::Distribution("small").addresses(&instance, "host.docker.internal");
    assert_eq!(found.len(), 1);
    instance.wsl(&["--shutdown"]).expect(0);
    assert!(!last.is_alive() && !record.exists());
}
