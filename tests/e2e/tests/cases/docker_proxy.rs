//! What dockerd and clients expect of the program that is run for each published port: first of Docker's own, then of ours.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::netns::{self, Netns};
use sampan_e2e::tools::{Job, Tool};
use sampan_e2e::waiting;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("ports::the_program_does_what_docker_s_own_does", both)]
}

/// Docker's own, in the engine's image, and ours.
const PROGRAMS: [&str; 2] = ["/usr/sbin/docker-proxy", "/run/sampan/docker-proxy"];

/// The port of the container.
const ECHO: u16 = 7;

/// How long a connection may say nothing.
const PATIENCE: Duration = Duration::from_secs(20);

fn both() {
    let machine = Arc::new(Netns::new());
    let instance = Instance::started_on(&machine);
    let id = instance.container(&[], "sleep 3600");
    let link = instance.docker(&["exec", &id, "readlink", "/proc/self/ns/net"]).ok();
    serve_echoes(netns::of_link(link.trim()));
    let address = instance.inspect(&id, "{{.NetworkSettings.IPAddress}}");
    let engine = instance.init().pid;
    for program in PROGRAMS {
        let stand = Stand {
            program,
            engine,
            network: PathBuf::from(format!("/proc/{engine}/ns/net")),
            container: address.parse().expect("an address"),
        };
        for (name, row) in ROWS {
            eprintln!("{program}: {name}");
            row(&stand);
        }
    }
}

type Row = (&'static str, fn(&Stand));

const ROWS: [Row; 9] = [
    ("it says that it listens, forwards, and gives the port back", forwards),
    ("flags may have two dashes and their values attached", flags),
    ("IPv6 in front of IPv4", version_six),
    ("all addresses of both families, one program each", everywhere),
    ("datagrams", datagrams),
    ("a port that is taken", taken),
    ("an address that nobody has", nobody_s),
    ("a container that does not listen", silent),
    ("much in both directions, and many at once", much),
];

/// One of the programs, and what it is to forward to.
struct Stand {
    program: &'static str,
    engine: i32,
    network: PathBuf,
    container: IpAddr,
}

impl Stand {
    /// The program with these words, started as dockerd does it: descriptor 3 is the pipe on which it answers.
    fn run(&self, words: &[&str]) -> Job {
        let engine = self.engine.to_string();
        Tool::new("nsenter")
            .args(["-t", &engine, "-n", "-m", "sh", "-c", "exec \"$@\" 3>&1 1>/dev/null", "sh", self.program])
            .args(words)
            .spawn()
    }

    fn ask(&self, protocol: &str, host: &str, port: u16, to: u16) -> Job {
        let (port, to, container) = (port.to_string(), to.to_string(), self.container.to_string());
        let host = ["-proto", protocol, "-host-ip", host, "-host-port", &port];
        self.run(&[&host[..], &["-container-ip", &container, "-container-port", &to]].concat())
    }

    /// The same, when it has said that it listens.
    #[track_caller]
    fn serve(&self, protocol: &str, host: &str, port: u16) -> Job {
        let job = self.ask(protocol, host, port, ECHO);
        job.wait_for_text("\n");
        assert_eq!(job.text_so_far(), "0\n", "{}", self.program);
        job
    }

    fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let address: SocketAddr = address.parse().expect("an address");
        netns::within(self.network.clone(), move || {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        })
    }

    /// Whether what is said at an address comes back, after its end has been told.
    #[track_caller]
    fn echoes(&self, address: &str) {
        let mut stream = self.connect(address).expect("it listens");
        stream.write_all(b"there and back").expect("it is sent");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it is answered");
        assert_eq!(said, "there and back", "{} at {address}", self.program);
    }

    /// Ends it as dockerd does. The port is free when it has ended, or a moment later.
    #[track_caller]
    fn end(&self, job: Job, address: &str) {
        job.interrupt();
        job.finish();
        waiting::until("the port is free", || {
            self.connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        });
    }
}

/// TCP and UDP that say back what they hear, TCP to its end.
fn serve_echoes(network: PathBuf) {
    let bind = || (TcpListener::bind(("0.0.0.0", ECHO)), UdpSocket::bind(("0.0.0.0", ECHO)));
    let (listener, socket) = netns::within(network, bind);
    let (listener, socket) = (listener.expect("it is free"), socket.expect("it is free"));
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut writer = stream.try_clone().expect("there are descriptors");
                let _ = io::copy(&mut { stream }, &mut writer);
                let _ = writer.shutdown(Shutdown::Write);
            });
        }
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
}

fn forwards(stand: &Stand) {
    let job = stand.serve("tcp", "127.0.0.1", 19_100);
    stand.echoes("127.0.0.1:19100");
    assert!(!job.has_ended());
    stand.end(job, "127.0.0.1:19100");
}

fn flags(stand: &Stand) {
    let container = format!("--container-ip={}", stand.container);
    let words = ["--proto=tcp", "--host-ip=127.0.0.1", "--host-port=19101", &container, "-container-port=7"];
    let job = stand.run(&words);
    job.wait_for_text("\n");
    stand.echoes("127.0.0.1:19101");
    stand.end(job, "127.0.0.1:19101");
}

fn version_six(stand: &Stand) {
    let job = stand.serve("tcp", "::1", 19_102);
    stand.echoes("[::1]:19102");
    stand.end(job, "[::1]:19102");
}

fn everywhere(stand: &Stand) {
    let (four, six) = (stand.serve("tcp", "0.0.0.0", 19_103), stand.serve("tcp", "::", 19_103));
    for address in ["127.0.0.1:19103", "127.0.0.9:19103", "[::1]:19103"] {
        stand.echoes(address);
    }
    stand.end(four, "127.0.0.1:19103");
    stand.echoes("[::1]:19103");
    stand.end(six, "[::1]:19103");
}

fn datagrams(stand: &Stand) {
    for (host, address) in [("127.0.0.1", "127.0.0.1:19104"), ("::1", "[::1]:19104")] {
        let job = stand.serve("udp", host, 19_104);
        let address: SocketAddr = address.parse().expect("an address");
        let socket = netns::within(stand.network.clone(), move || {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            io::Result::Ok(socket)
        });
        let socket = socket.expect("a socket");
        for length in [1, 1400, 20_000] {
            socket.send(&vec![9; length]).expect("it is sent");
            let mut buffer = vec![0; 65_535];
            assert_eq!(socket.recv(&mut buffer).expect("it is answered"), length, "{} {host}", stand.program);
        }
        job.interrupt();
        job.finish();
    }
}

fn taken(stand: &Stand) {
    let listener = netns::within(stand.network.clone(), || TcpListener::bind("127.0.0.1:19105"));
    let output = stand.ask("tcp", "127.0.0.1", 19_105, ECHO).finish();
    output.expect_failure();
    let said = output.text();
    assert!(said.starts_with("1\nlisten tcp4 127.0.0.1:19105: bind: address already in use"), "{said}");
    drop(listener);
}

fn nobody_s(stand: &Stand) {
    let output = stand.ask("tcp", "192.0.2.7", 19_106, ECHO).finish();
    output.expect_failure();
    let said = output.text();
    assert!(
        said.starts_with("1\nlisten tcp4 192.0.2.7:19106: bind: cannot assign requested address"),
        "{said}"
    );
}

fn silent(stand: &Stand) {
    let job = stand.ask("tcp", "127.0.0.1", 19_107, 9);
    job.wait_for_text("\n");
    let mut stream = stand.connect("127.0.0.1:19107").expect("it listens all the same");
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "{}: and then it is over", stand.program);
    stand.end(job, "127.0.0.1:19107");
}

fn much(stand: &Stand) {
    const CLIENTS: u8 = 20;
    const LENGTH: usize = 4 << 20;
    let job = stand.serve("tcp", "127.0.0.1", 19_108);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let stream = stand.connect("127.0.0.1:19108").expect("it listens");
                let mut reader = stream.try_clone().expect("there are descriptors");
                let sender = thread::spawn(move || {
                    let mut stream = stream;
                    stream.write_all(&vec![client; LENGTH]).expect("it is sent");
                    stream.shutdown(Shutdown::Write).expect("it is connected");
                });
                let mut heard = Vec::new();
                reader.read_to_end(&mut heard).expect("it is answered");
                sender.join().expect("it says why it fails");
                assert!(
                    heard.len() == LENGTH && heard.iter().all(|byte| *byte == client),
                    "{}",
                    stand.program
                );
            });
        }
    });
    stand.end(job, "127.0.0.1:19108");
}
