//! The way out, and neighbours.

use std::any::Any;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use rustix::io::Errno;
use sampan_e2e::case::Case;
use sampan_e2e::images;
use sampan_e2e::instance::Instance;
use sampan_e2e::netns::{HOST, Netns, Server, UPLINK, WORLD, Wan};
use sampan_e2e::processes::Process;
use sampan_e2e::tools::Job;
use sampan_e2e::{roots, shared, waiting};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("network::a_container_reaches_the_world_with_the_host_s_address", outside),
        Case::new("network::two_instances_live_side_by_side", side_by_side),
        Case::new("network::forwarding_is_put_back_after_the_death_of_everything", after_death),
        Case::new("network::an_instance_starts_without_any_network", offline),
        Case::new("network::without_one_only_published_ports_are_reached", none),
        Case::new("network::mirrored_is_the_host_s", mirrored),
        Case::new("network::t04_t05_t08_the_ports_of_version_1_are_the_host_s", ports_of_the_host),
        Case::new("network::t07_one_port_on_both_loopbacks", both_loopbacks),
        Case::new("network::a_start_mends_what_was_taken_from_a_stopped_distribution", mended),
    ]
}

/// What the world outside says to a container.
#[track_caller]
fn call(instance: &Instance, server: &Server, options: &[&str]) -> String {
    let port = server.port.to_string();
    let script = format!("echo hello | nc -w 20 {WORLD} {port}");
    let mut args = vec!["run", "--rm"];
    args.extend(options);
    args.extend(["e2e/busybox", "sh", "-c", &script]);
    instance.need_busybox();
    instance.docker(&args).ok()
}

fn outside() {
    let wan = Wan::new();
    let server = wan.serve();
    let instance = Instance::started_on(&wan.host);
    assert_eq!(call(&instance, &server, &[]), format!("you are {HOST}"));
    assert_eq!(server.callers.recv(), Ok(IpAddr::from([198, 51, 100, 2])));

    instance.docker(&["network", "create", "out"]).ok();
    assert_eq!(call(&instance, &server, &["--network", "out"]), format!("you are {HOST}"), "a user network");
    assert_eq!(call(&instance, &server, &["--network", "host"]), format!("you are {HOST}"), "--network host");

    // Somebody's firewall takes our rules away: the service puts them back, and without it the next start does.
    let rules = || wan.host.tool("nft", &["list", "ruleset"]).run().ok();
    let before = rules();
    wan.host.tool("nft", &["flush", "ruleset"]).run().ok();
    waiting::until("the rules are back", || rules() == before);
    assert_eq!(call(&instance, &server, &[]), format!("you are {HOST}"), "after `nft flush ruleset`");
    instance.service().kill_and_wait();
    wan.host.tool("nft", &["flush", "ruleset"]).run().ok();
    instance.sampan(&["start"]).ok();
    assert_eq!(rules(), before);
    assert_eq!(call(&instance, &server, &[]), format!("you are {HOST}"), "after a flush without the service");

    // Forwarding is switched on where it is needed and nowhere else.
    assert_eq!(wan.setting(&format!("ipv4/conf/{UPLINK}/forwarding")), "1");
    assert_eq!(wan.setting("ipv4/conf/lo/forwarding"), "0");
}

fn side_by_side() {
    let wan = Wan::new();
    let server = wan.serve();
    let forwarding = format!("ipv4/conf/{UPLINK}/forwarding");
    let before = wan.setting(&forwarding);
    let image = images::engine();
    let (one, two) = (Instance::on(&wan.host), Instance::on(&wan.host));
    let (first, second) = (one.start_tool(&image).spawn(), two.start_tool(&image).spawn());
    first.finish_within(sampan_e2e::instance::FIRST_START).ok();
    second.finish_within(sampan_e2e::instance::FIRST_START).ok();

    assert_ne!(one.status().subnet, two.status().subnet, "each has a network of its own");
    for instance in [&one, &two] {
        assert_eq!(call(instance, &server, &[]), format!("you are {HOST}"));
    }
    one.container(&["--name", "same"], "sleep 3600");
    two.container(&["--name", "same"], "sleep 3600");

    one.sampan(&["stop"]).ok();
    assert_eq!(two.inspect("same", "{{.State.Running}}"), "true", "stopping one leaves the other alone");
    assert_eq!(call(&two, &server, &[]), format!("you are {HOST}"), "its way out too");
    one.start().ok();
    assert_eq!(call(&one, &server, &[]), format!("you are {HOST}"));
    two.sampan(&["stop"]).ok();
    assert_eq!(call(&one, &server, &[]), format!("you are {HOST}"), "whichever came first");
    one.sampan(&["stop"]).ok();
    assert_eq!(wan.setting(&forwarding), before, "the last one puts back what the first one changed");
    assert!(one.close().is_empty() && two.close().is_empty());
}

/// What is lost while a distribution is stopped is back before the first command of its next start.
fn mended() {
    let wan = Wan::new();
    let server = wan.serve();
    let instance = Instance::on(&wan.host);
    instance.import("d", &roots::small(), 2);
    let call = || instance.inside("d", &format!("echo hello | nc -w 20 {WORLD} {}", server.port));
    let expected = format!("you are {HOST}");
    call().says(&expected);
    let link = instance.place().link();
    let switch = format!("/proc/sys/net/ipv4/conf/{UPLINK}/forwarding");
    for loss in [
        "nft flush ruleset".to_owned(),
        format!("echo 0 > {switch}"),
        format!("echo 0 > /proc/sys/net/ipv4/conf/{link}/forwarding"),
        format!("ip link delete {link}"),
    ] {
        instance.wsl(&["--terminate", "d"]).expect(0);
        wan.host.tool("sh", &["-c", &loss]).run().ok();
        call().says(&expected);
    }
    assert_eq!(server.callers.try_iter().count(), 5);
}

/// Has the port for as long as its input is open. An address `-`: whatever the kernel takes when nobody says.
const LISTEN: &str = "use Socket qw(:all); $| = 1; my ($kind, $address, $port) = @ARGV; my $six = $address =~ /:/; \
    socket S, $six ? PF_INET6 : PF_INET, $kind eq q(udp) ? SOCK_DGRAM : SOCK_STREAM, 0 or die; \
    my $to = $address eq q(-) ? q() : $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)) \
        : pack_sockaddr_in($port, inet_aton($address)); \
    !$to or bind S, $to or die; $kind eq q(udp) or listen S, 1 or die; \
    print q(port ), $six ? $port : (sockaddr_in(getsockname S))[0], qq(\n); <STDIN>";

fn listen(instance: &Instance, kind: &str, address: &str, port: u16) -> Job {
    let words = ["-d", "deb", "--cd", "/", "-e", "perl", "-e", LISTEN, kind, address, &port.to_string()];
    instance.wsl_tool(&words).input_open().spawn()
}

/// The port is the host's.
fn bind(kind: &str, port: u16) -> Result<(u16, Box<dyn Any>), ErrorKind> {
    let any = (Ipv4Addr::UNSPECIFIED, port);
    let bound = || -> io::Result<(u16, Box<dyn Any>)> {
        if kind == "udp" {
            let socket = UdpSocket::bind(any)?;
            return Ok((socket.local_addr()?.port(), Box::new(socket)));
        }
        let socket = TcpListener::bind(any)?;
        Ok((socket.local_addr()?.port(), Box::new(socket)))
    };
    bound().map_err(|error| error.kind())
}

fn ports_of_the_host() {
    let instance = Instance::new();
    instance.wslconfig("[general]\ninstanceIdleTimeout=-1\n");
    instance.import("deb", &roots::debian(), 1);
    let has_not = |kind: &str, port| bind(kind, port).err() == Some(ErrorKind::AddrInUse);
    for kind in ["tcp", "udp"] {
        let (port, taken) = bind(kind, 0).expect("some port is free");
        // `die` ends with the number of the error.
        let refused = listen(&instance, kind, "0.0.0.0", port).finish();
        assert_eq!(refused.code(), Some(Errno::ADDRINUSE.raw_os_error()), "T05: {refused}");
        drop(taken);
        let job = listen(&instance, kind, "0.0.0.0", port);
        job.wait_for_text("port");
        assert!(has_not(kind, port), "T04: {kind} {port}");
        job.kill();
        waiting::until("T04: the host has the port again", || bind(kind, port).is_ok());
    }
    for (kind, address) in [("tcp", "0.0.0.0"), ("udp", "0.0.0.0"), ("tcp", "-")] {
        let job = listen(&instance, kind, address, 0);
        job.wait_for_text("\n");
        let said = job.text_so_far();
        let port = said.strip_prefix("port ").and_then(|port| port.trim_end().parse().ok());
        assert!(port.is_some_and(|port| has_not(kind, port)), "T08: {kind} {address}: {said}");
    }
}

fn both_loopbacks() {
    let instance = shared::debian();
    let (port, _) = bind("tcp", 0).expect("some port is free");
    let jobs = ["127.0.0.1", "::1"].map(|address| listen(instance, "tcp", address, port));
    for job in &jobs {
        job.wait_for_text(&format!("port {port}"));
    }
    assert!(jobs.iter().all(|job| !job.has_ended()), "T07");
}

fn offline() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::started_on(&machine);
    instance.need_busybox();
    assert_eq!(instance.docker(&["run", "--rm", "e2e/busybox", "echo", "fine"]).ok(), "fine");
    waiting::until("the engine runs", || instance.engine_runs());
}

fn none() {
    let wan = Wan::new();
    let server = wan.serve();
    let instance = Instance::on(&wan.host);
    instance.import("d", &roots::small(), 2);
    let before = wan.setting(&format!("ipv4/conf/{UPLINK}/forwarding"));
    instance.wslconfig("[wsl2]\nnetworkingMode=none\n");
    instance.start().expect(0);
    instance.need_busybox();
    assert_eq!(instance.status().subnet, None);
    assert_ne!(wan.ip(&["link", "show", "dev", &instance.place().link()]).code(), Some(0));
    assert_eq!(wan.setting(&format!("ipv4/conf/{UPLINK}/forwarding")), before);
    let out = format!("nc -w 5 {WORLD} {} </dev/null && echo reached", server.port);
    for options in [&[][..], &["--network", "host"]] {
        let args = [&["run", "--rm"], options, &["e2e/busybox", "sh", "-c", &out]].concat();
        assert!(!instance.docker(&args).all().contains("reached"), "{options:?}");
    }
    assert!(!instance.inside("d", &out).all().contains("reached"));
    instance.inside("d", "wslinfo --networking-mode").expect(0).says("none");
    let httpd = "mkdir /www; echo content > /www/index.html; exec httpd -f -p 80 -h /www";
    instance.container(&["-p", "8080:80"], httpd);
    let address: SocketAddr = format!("{HOST}:8080").parse().expect("an address");
    let get = |machine: &Netns| -> io::Result<String> {
        let mut stream = machine.connect(address)?;
        stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n")?;
        io::read_to_string(stream)
    };
    for machine in [&*wan.host, &wan.world] {
        waiting::until("the port answers", || get(machine).is_ok_and(|said| said.contains("content")));
    }

    // Back with the next start after everything has ended.
    instance.wslconfig("");
    instance.wsl(&["--shutdown"]).expect(0);
    instance.start().expect(0);
    assert_eq!(call(&instance, &server, &[]), format!("you are {HOST}"));
    assert_eq!(instance.inside("d", "wslinfo --networking-mode").text().trim(), "nat");
}

fn mirrored() {
    let wan = Wan::new();
    let instance = Instance::on(&wan.host);
    instance.import("d", &roots::small(), 2);
    instance.wslconfig("[wsl2]\nnetworkingMode=mirrored\n");
    instance.start().expect(0);
    let inside = |script: &str| instance.inside("d", script).ok();
    assert_eq!(inside("wslinfo --networking-mode"), "mirrored");
    let links = inside("ls /sys/class/net; ip -o address");
    assert!(links.contains(UPLINK) && links.contains(HOST), "{links}");
    // Whoever listens in the distribution listens on the host, and the other way round.
    let listen = ["-d", "d", "--", "httpd", "-f", "-p", "7070", "-h", "/etc"];
    let _own = instance.wsl_tool(&listen).input_open().spawn();
    for (machine, address) in [(&*wan.host, "127.0.0.1:7070"), (&wan.world, &format!("{HOST}:7070"))] {
        let address = address.parse().expect("an address");
        waiting::until("the distribution listens", || machine.connect(address).is_ok());
    }
    let listener = wan.host.listen("127.0.0.1:7071".parse().expect("an address"));
    let accepted = std::thread::spawn(move || listener.accept().map(drop));
    inside("grep host.docker.internal /etc/hosts | grep ^127.0.0.1");
    inside("nc -w 5 127.0.0.1 7071 </dev/null");
    accepted.join().expect("it does not panic").expect("the distribution has come");

    // Containers are behind the gateway as ever; their ports are the host's, and so the distribution's.
    let httpd = "mkdir /www; echo content > /www/index.html; exec httpd -f -p 80 -h /www";
    instance.container(&["-p", "8080:80"], httpd);
    waiting::until("the port answers", || {
        instance.inside("d", "wget -qO- http://127.0.0.1:8080/index.html").text() == "content\n"
    });
    let service = "nslookup host.docker.internal";
    instance.docker(&["run", "--rm", "e2e/busybox", "sh", "-c", service]).expect(0).says(".254");
    inside("docker version");

    // The host is not the distribution's to change, nor is it changed.
    for change in ["ip link add x type dummy", "ip address add 203.0.113.9/32 dev lo", "ip link set lo down"]
    {
        assert!(instance.inside("d", change).code() != Some(0), "{change}");
    }
    assert_eq!(wan.setting("ipv4/ip_forward"), "0");
    let tables = wan.host.tool("nft", &["list", "tables"]).run().ok();
    assert_eq!(tables.trim(), format!("table inet {}", instance.place().nft_table()));

    // The mode is that of all that start until everything has ended.
    instance.wslconfig("");
    instance.wsl(&["--terminate", "d"]).expect(0);
    assert_eq!(inside("wslinfo --networking-mode"), "mirrored");
    instance.wsl(&["--shutdown"]).expect(0);
    assert_eq!(inside("wslinfo --networking-mode"), "nat");
    assert!(!inside("ls /sys/class/net").contains(UPLINK));
}

/// The link dies with the last process in its namespace; the switch that was opened for it does not.
fn after_death() {
    let wan = Wan::new();
    let server = wan.serve();
    let forwarding = format!("ipv4/conf/{UPLINK}/forwarding");
    let before = wan.setting(&forwarding);
    let instance = Instance::started_on(&wan.host);
    for again in [true, false] {
        waiting::until("all is dead", || {
            let processes = instance.processes();
            processes.iter().for_each(Process::kill);
            processes.is_empty()
        });
        assert_ne!(wan.setting(&forwarding), before, "it was opened, and nobody is left to close it");
        if again {
            instance.sampan(&["start"]).ok();
            assert_eq!(call(&instance, &server, &[]), format!("you are {HOST}"));
        }
    }
    instance.sampan(&["stop"]).ok();
    assert_eq!(wan.setting(&forwarding), before);
}
