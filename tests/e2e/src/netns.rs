//! Machines to put instances on: a network namespace that stands for the host, and one for the world outside.
//!
//! Each is held by a process of its own and has no name, so that it goes when the test goes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tools::{Job, Output, Tool};
use crate::waiting;

/// How long a connection and what comes over it may take.
const WAIT: Duration = Duration::from_secs(20);

/// Lets go of what other tests have mounted: a copy of a mount keeps its disk in use. As text, the list does not change
/// while it is read.
const FORGET_OTHERS: &str = r#"list=$(cat /proc/self/mountinfo)
while read -r _ _ _ _ at _; do
    case "$at" in */e2e/i-*) umount --lazy "$(printf %b "$at")" 2>/dev/null;; esac
done <<END
$list
END
"#;

/// A network namespace of our own.
#[derive(Debug)]
pub struct Netns {
    holder: Job,
    /// Whether the mounts are its own too.
    mounts: bool,
}

impl Netns {
    /// A namespace with nothing but its loopback.
    #[track_caller]
    pub fn new() -> Self {
        let holder = Tool::new("unshare").args(["--net", "sleep", "infinity"]).spawn();
        let netns = Self { holder, mounts: false };
        let ours = std::fs::read_link("/proc/self/ns/net").expect("every process has a network namespace");
        waiting::until("the namespace is there", || {
            std::fs::read_link(netns.path()).is_ok_and(|theirs| theirs != ours)
        });
        netns.tool("ip", &["link", "set", "lo", "up"]).run().ok();
        netns
    }

    /// A machine whose mounts are its own too; `script` arranges them before anything runs there.
    #[track_caller]
    pub fn with_mounts(script: &str) -> Self {
        let script = format!("{FORGET_OTHERS} set -e; {script}; exec sleep infinity");
        // What others unmount must not stay here, where mounts are shared.
        let separate = ["--net", "--mount", "--propagation", "slave"];
        let holder = Tool::new("unshare").args(separate).args(["sh", "-c", &script]).spawn();
        let name = PathBuf::from(format!("/proc/{}/comm", holder.pid()));
        let machine = Self { holder, mounts: true };
        waiting::until("the mounts are arranged", || {
            std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep")
        });
        machine.tool("ip", &["link", "set", "lo", "up"]).run().ok();
        machine
    }

    /// The file that stands for its mounts, when it has its own.
    pub fn mounts(&self) -> Option<PathBuf> {
        self.mounts.then(|| PathBuf::from(format!("/proc/{}/ns/mnt", self.holder.pid())))
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.pid()))
    }

    /// What to put before a command line so that it runs inside.
    pub fn wrapper(&self) -> Vec<String> {
        wrapper(&self.path(), self.mounts().as_deref())
    }

    /// A program that runs inside.
    pub fn tool(&self, program: &str, args: &[&str]) -> Tool {
        Tool::new(program).args(args).under(self.wrapper())
    }

    /// A socket that listens inside.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn listen(&self, address: SocketAddr) -> TcpListener {
        self.within(move || {
            TcpListener::bind(address).expect("the address belongs to the namespace and the port is free")
        })
    }

    /// A connection from inside.
    pub fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.within(move || {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(WAIT))?;
            Ok(stream)
        })
    }

    /// A socket inside that talks to `address` alone.
    pub fn datagrams(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        self.within(move || {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(WAIT))?;
            Ok(socket)
        })
    }

    /// What `make` makes in here; a socket keeps the namespace it was made in.
    ///
    /// # Panics
    /// When `make` does.
    pub fn within<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> T {
        within(self.path(), make)
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

/// What `make` makes in the network namespace that the file `path` stands for.
///
/// # Panics
/// When `make` does, or there is no such namespace.
pub fn within<T: Send + 'static>(path: PathBuf, make: impl FnOnce() -> T + Send + 'static) -> T {
    // Only this thread changes its namespace, and it ends here.
    thread::spawn(move || {
        let namespace = File::open(&path).expect("somebody lives in the namespace as long as it is used");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter a network namespace");
        make()
    })
    .join()
    .expect("the thread says why it fails")
}

/// The file of the network namespace with this link text, `net:[4026531840]`.
///
/// # Panics
/// When no process is in it.
pub fn of_link(link: &str) -> PathBuf {
    let processes = std::fs::read_dir("/proc").expect("/proc can be read").flatten();
    let mut files = processes.map(|process| process.path().join("ns/net"));
    let is_it = |file: &PathBuf| std::fs::read_link(file).is_ok_and(|found| found.as_os_str() == link);
    files.find(is_it).expect("a process is in the namespace")
}

/// What to put before a command line so that it runs in a network namespace, and maybe in a mount namespace.
pub fn wrapper(netns: &Path, mounts: Option<&Path>) -> Vec<String> {
    let mounts = mounts.map(|path| format!("--mount={}", path.display()));
    ["nsenter".to_owned(), format!("--net={}", netns.display())].into_iter().chain(mounts).collect()
}

/// A host and the world outside, joined by a cable; the host's way out leads through it.
#[derive(Debug)]
pub struct Wan {
    /// Where an instance is started.
    pub host: Arc<Netns>,
    /// The world outside. It knows no way back but to the host's own address.
    pub world: Netns,
}

/// The host's address outside (TEST-NET-2, RFC 5737).
pub const HOST: &str = "198.51.100.2";
/// The address of the world outside.
pub const WORLD: &str = "198.51.100.1";
/// The host's network device.
pub const UPLINK: &str = "wan0";

impl Wan {
    /// Lays the cable.
    #[track_caller]
    pub fn new() -> Self {
        Self::of(Netns::new())
    }

    /// Lays the cable to `host`.
    #[track_caller]
    pub fn of(host: Netns) -> Self {
        let (host, world) = (Arc::new(host), Netns::new());
        let far_end = world.holder.pid().to_string();
        let ip = |netns: &Netns, args: &str| {
            netns.tool("ip", &args.split(' ').collect::<Vec<_>>()).run().ok();
        };
        ip(&host, &format!("link add {UPLINK} type veth peer name {UPLINK} netns {far_end}"));
        for (netns, address) in [(&*host, HOST), (&world, WORLD)] {
            ip(netns, &format!("address add {address}/24 dev {UPLINK}"));
            // No link-local address: it would appear some time later, and the host's network has to stay as it is.
            ip(netns, &format!("link set {UPLINK} addrgenmode none"));
            ip(netns, &format!("link set {UPLINK} up"));
        }
        ip(&host, &format!("route add default via {WORLD}"));
        Self { host, world }
    }

    /// A server outside that tells each caller its address: `you are A.B.C.D`.
    pub fn serve(&self) -> Server {
        let listener = self.world.listen(SocketAddr::new(IpAddr::from([198, 51, 100, 1]), 0));
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (sender, callers) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                let Ok(peer) = stream.peer_addr() else { continue };
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let _ = writeln!(stream, "you are {}", peer.ip());
                if sender.send(peer.ip()).is_err() {
                    break;
                }
            }
        });
        Server { port, callers }
    }

    /// A kernel setting of the host's network, e.g. `ipv4/ip_forward`.
    pub fn setting(&self, name: &str) -> String {
        self.host.tool("cat", &[&format!("/proc/sys/net/{name}")]).run().ok()
    }

    /// Runs `ip` on the host.
    pub fn ip(&self, args: &[&str]) -> Output {
        self.host.tool("ip", args).run()
    }
}

impl Default for Wan {
    fn default() -> Self {
        Self::new()
    }
}

/// A server outside.
#[derive(Debug)]
pub struct Server {
    /// Its port at [`WORLD`].
    pub port: u16,
    /// The addresses that callers were seen with.
    pub callers: Receiver<IpAddr>,
}
