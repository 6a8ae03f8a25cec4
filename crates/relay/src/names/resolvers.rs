//! The host's resolvers, as its `resolv.conf` has them at the moment (resolv.conf(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use sampan_model::network::Subnet;
use sampan_model::wsl::resolv_conf::ResolvConf;
use sampan_sys::inotify::Watch;
use tokio::sync::watch;

const PORT: u16 = 53;
/// A file is written in several steps; then it is read.
const SETTLED: Duration = Duration::from_millis(50);
/// Links that lead to links: the kernel follows 40.
const MOST_LINKS: usize = 40;

/// The host's resolvers.
#[derive(Debug, Clone)]
pub struct Resolvers(pub(super) watch::Receiver<Found>);

/// What the files say.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Best first.
    pub(super) servers: Vec<SocketAddr>,
    /// What may follow a name.
    search: Vec<String>,
}

impl Resolvers {
    /// Those of the first of `files` that names any, and from now on whatever they name. None of `own` is among them: that
    /// would be asking oneself. Starts a thread that follows them until nobody wants to know any more.
    pub fn of_files(files: Vec<PathBuf>, own: Subnet) -> Self {
        // Before they are read first: a change in between is not missed.
        let watch = watch_files(&files);
        let (sender, receiver) = watch::channel(read(&files, own));
        std::thread::spawn(move || follow(&files, own, watch, &sender));
        Self(receiver)
    }

    /// Always these.
    pub fn fixed(servers: Vec<SocketAddr>) -> Self {
        Self(watch::channel(Found { servers, ..Found::default() }).1)
    }

    pub(super) fn now(&self) -> Vec<SocketAddr> {
        self.0.borrow().servers.clone()
    }

    pub(super) fn search(&self) -> Vec<String> {
        self.0.borrow().search.clone()
    }
}

fn follow(files: &[PathBuf], own: Subnet, mut watch: Option<Watch>, sender: &watch::Sender<Found>) {
    while let Some(changes) = watch
        && changes.wait(None).is_ok()
        && !sender.is_closed()
    {
        while changes.wait(Some(SETTLED)).is_ok_and(|changed| changed) {}
        // Anew: what was a file may be a link now.
        watch = watch_files(files);
        sender.send_replace(read(files, own));
    }
}

fn read(files: &[PathBuf], own: Subnet) -> Found {
    let mut named = files.iter().map(|file| {
        let ResolvConf { servers, search, .. } =
            ResolvConf::parse(&fs::read_to_string(file).unwrap_or_default());
        let foreign = |address: &SocketAddr| !matches!(address.ip(), IpAddr::V4(ip) if own.contains(ip));
        let servers = servers.iter().filter_map(|server| address(server)).filter(foreign).collect();
        Found { servers, search }
    });
    // Nobody is named: the machine itself is meant (resolv.conf(5)).
    named
        .find(|found| !found.servers.is_empty())
        .unwrap_or_else(|| Found { servers: vec![(Ipv4Addr::LOCALHOST, PORT).into()], search: Vec::new() })
}

/// The address of `fe80::1%eth0` or `1.1.1.1`.
fn address(server: &str) -> Option<SocketAddr> {
    let Some((address, link)) = server.split_once('%') else {
        return Some((server.parse::<IpAddr>().ok()?, PORT).into());
    };
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    let scope = link.parse().ok().or_else(|| name_to_index(&any, link).ok())?;
    Some(SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, PORT, 0, scope).into())
}

/// Watches the folders in which the files are, and those of what they lead to: files are replaced, not changed.
fn watch_files(files: &[PathBuf]) -> Option<Watch> {
    let mut folders = files.iter().flat_map(|file| folders_of(file));
    let watch = Watch::new(&folders.next()?).ok()?;
    for folder in folders {
        let _ = watch.add(&folder);
    }
    Some(watch)
}

fn folders_of(file: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut file = file.to_owned();
    for _ in 0..MOST_LINKS {
        // One that is not there yet is seen when it is made.
        if let Some(folder) = file.ancestors().skip(1).find(|folder| folder.is_dir()) {
            folders.push(folder.to_owned());
        }
        let Ok(target) = fs::read_link(&file) else { break };
        file = file.parent().unwrap_or(Path::new("/")).join(target);
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_own_and_links_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let files = [first.clone(), second.clone()];
        let here = |addresses: &[&str]| {
            addresses.iter().map(|one| SocketAddr::new(one.parse().unwrap(), 53)).collect::<Vec<_>>()
        };
        assert_eq!(read(&files, Subnet::DEFAULT).servers, here(&["127.0.0.1"]), "there is no file");
        sampan_sys::fs::write_whole(&second, b"nameserver 10.0.0.1\n", 0o644).unwrap();
        sampan_sys::fs::write_whole(&first, b"nameserver 192.168.65.1\nsearch x\n", 0o644).unwrap();
        assert_eq!(read(&files, Subnet::DEFAULT).servers, here(&["10.0.0.1"]), "we are not asked ourselves");
        sampan_sys::fs::write_whole(&first, b"nameserver 127.0.0.53\nsearch corp\nnameserver ::2\n", 0o644)
            .unwrap();
        let found = read(&files, Subnet::DEFAULT);
        assert_eq!((found.servers, found.search), (here(&["127.0.0.53", "::2"]), vec!["corp".to_owned()]));
        let SocketAddr::V6(scoped) = address("fe80::1%lo").unwrap() else { panic!("it is of IPv6") };
        assert_eq!(scoped.scope_id(), 1);
        assert!(address("fe80::1%no-such-link").is_none() && address("x").is_none());
    }

    #[test]
    fn folders_of_links_are_watched_too() {
        let folder = tempfile::tempdir().unwrap();
        let (etc, run) = (folder.path().join("etc"), folder.path().join("run"));
        fs::create_dir(&etc).unwrap();
        std::os::unix::fs::symlink("../run/resolve/stub", etc.join("resolv.conf")).unwrap();
        assert_eq!(folders_of(&etc.join("resolv.conf")), [etc.clone(), etc.join("..")]);
        fs::create_dir_all(run.join("resolve")).unwrap();
        assert_eq!(folders_of(&etc.join("resolv.conf")), [etc.clone(), etc.join("../run/resolve")]);
    }
}
