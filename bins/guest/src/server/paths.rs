//! The path socket: where a path of the distribution leads, for the engine's proxy, which can't see what is mounted inside.
//!
//! Each question is answered by a child of its own: a file system that somebody inside serves may never answer, and this
//! process has to go on. Only root of the host can ask.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::integration::{FoundPath, PLACE, PathAnswer, PathPlace, PathQuestion, SOCKET};
use sampan_sys::mount::{self, MountEntry};
use sampan_sys::process::{self, Forked};
use sampan_sys::socket;

use crate::session::Distribution;
use crate::tree::{self, Place};
use crate::{hub, verb};

/// With this many questions open, further ones wait in the socket's queue.
const MAX_OPEN: usize = 16;
/// How long a question may take, from the connection to the answer, in seconds. Who asks waits no longer.
const LIMIT: u32 = 5;
/// What connects while [`MAX_OPEN`] questions are open.
const QUEUE: i32 = 128;

/// The socket, and the children that answer.
pub(super) struct Paths {
    /// None: it is closed.
    listener: Option<OwnedFd>,
    open: BTreeSet<i32>,
}

impl Paths {
    pub(super) fn new(listener: OwnedFd) -> anyhow::Result<Self> {
        socket::listen(&listener, QUEUE)?;
        Ok(Self { listener: Some(listener), open: BTreeSet::new() })
    }

    /// Readable when [`Paths::serve`] is to be called.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let room = self.open.len() < MAX_OPEN;
        self.listener.as_ref().filter(|_| room).map(AsFd::as_fd)
    }

    /// Takes one connection, and starts a child that serves it.
    pub(super) fn serve(&mut self, distribution: &Distribution) {
        let Some(listener) = &self.listener else { return };
        let started = socket::accept(listener).and_then(|client| match process::fork_plain()? {
            Forked::Child => {
                // A copy of somebody's pipe or connection would keep that open.
                if process::close_fds_from(3, &[client.as_raw_fd()]).is_ok() {
                    process::reset_signals();
                    process::end_after(LIMIT);
                    let _ = process::set_name("sampan-paths");
                    // Who asks hears of a failure by the end of the connection.
                    let _ = answer(&client, distribution);
                }
                process::exit_now(0)
            }
            Forked::Parent { pid, .. } => Ok(pid),
        });
        match started {
            Ok(pid) => drop(self.open.insert(pid)),
            Err(error) => verb::log(&format!("path socket: {error}")),
        }
    }

    /// A child of this process has ended.
    pub(super) fn ended(&mut self, pid: i32) {
        self.open.remove(&pid);
    }

    /// Nobody is answered any more.
    pub(super) fn close(&mut self) {
        self.listener = None;
    }
}

fn answer(client: &OwnedFd, distribution: &Distribution) -> sampan_sys::Result<()> {
    let limit = Duration::from_secs(LIMIT.into());
    let Some(message) = socket::recv_message_within(client, limit)? else { return Ok(()) };
    let place = match serde_json::from_slice::<PathQuestion>(&message.bytes) {
        Ok(question) => place(&tree::clean(&question.path), distribution)
            .unwrap_or_else(|error| PathPlace::Failed { message: error.to_string() }),
        Err(error) => PathPlace::Failed { message: format!("the question is not understood: {error}") },
    };
    let answer = PathAnswer { automount: automount(distribution), place };
    // A link may lead to a name that JSON has no way to write.
    let bytes = serde_json::to_vec(&answer).or_else(|_| {
        let message = "it leads to a name that is not UTF-8".to_owned();
        serde_json::to_vec(&PathAnswer { place: PathPlace::Failed { message }, ..answer })
    });
    socket::send_message(client, &bytes.unwrap_or_default(), &[])
}

fn automount(distribution: &Distribution) -> PathBuf {
    tree::clean(&Path::new("/").join(&distribution.conf.automount.root))
}

/// Where `asked`, a [`tree::clean`] path, leads for the users of this distribution.
fn place(asked: &Path, distribution: &Distribution) -> io::Result<PathPlace> {
    // Much of it means something else for each process that looks.
    if ["/proc", "/sys"].iter().any(|own| asked.starts_with(own)) {
        return Ok(PathPlace::Kernel { path: asked.to_owned() });
    }
    let found = tree::find(Path::new("/"), asked)?;
    let whole = found.whole();
    if whole == Path::new(PLACE).join(SOCKET) {
        return Ok(PathPlace::Socket);
    }
    let table = mount::mountinfo(None).map_err(io::Error::other)?;
    let mount = table.iter().find(|entry| u64::from(entry.mount_id) == found.mount);
    let mount = mount.ok_or_else(|| io::Error::other("it was unmounted meanwhile"))?;
    // In /dev more is mounted, which is the distribution's own.
    let in_dev = mount.mount_point == Path::new("/dev");
    if in_dev || ["/proc", "/sys"].iter().any(|own| whole.starts_with(own)) {
        return Ok(PathPlace::Kernel { path: whole });
    }
    let automount = automount(distribution);
    // Beside the shared folders of the host, and above them, nothing is shared, whatever the distribution has there.
    if found.on_root
        && let Ok(of_host) = whole.strip_prefix(automount.join("host"))
    {
        let (device, inode) = found.file;
        let path = tree::below(Path::new("/"), of_host);
        return Ok(PathPlace::Host(FoundPath { path, missing: PathBuf::new(), device, inode }));
    }
    let root = tree::find(Path::new("/"), Path::new("/"))?.mount;
    let known = known_as(&found.path, mount, &table, root, |path| {
        let host = distribution.folders.to_host(path).map(|path| (PathPlace::Host as fn(_) -> _, path));
        let shared = || Some(tree::below(Path::new("/"), path.strip_prefix(automount.join(hub::WSL)).ok()?));
        host.or_else(|| Some((PathPlace::Shared, shared()?)))
    });
    Ok(match known {
        Some((kind, path)) => kind(found_path(path, &found)),
        None => PathPlace::Foreign { mount: mount.mount_point.clone(), kind: mount.fstype.clone() },
    })
}

fn found_path(path: PathBuf, found: &Place) -> FoundPath {
    let (device, inode) = found.file;
    FoundPath { path, missing: found.missing.clone(), device, inode }
}

/// Makes a place of what was found.
type Kind = fn(FoundPath) -> PathPlace;

/// What the file at `path`, on `mount`, is for others. The same file may be there by another mount: one that was bound
/// somewhere inside lies on the root file system or in a folder of the host all the same. `outside` knows those that
/// others see, too, by their paths inside.
fn known_as(
    path: &Path,
    mount: &MountEntry,
    table: &[MountEntry],
    root: u64,
    outside: impl Fn(&Path) -> Option<(Kind, PathBuf)>,
) -> Option<(Kind, PathBuf)> {
    let in_file_system = tree::below(&mount.root, path.strip_prefix(&mount.mount_point).ok()?);
    let shows = |entry: &MountEntry| {
        let same = (entry.major, entry.minor) == (mount.major, mount.minor);
        same.then(|| in_file_system.strip_prefix(&entry.root).ok()).flatten()
    };
    let on_root = table.iter().find(|entry| u64::from(entry.mount_id) == root).and_then(shows);
    if let Some(rest) = on_root {
        return Some((PathPlace::Root, tree::below(Path::new("/"), rest)));
    }
    // By its own name first: one of the others may be covered.
    std::iter::once(mount)
        .chain(table)
        .find_map(|entry| outside(&tree::below(&entry.mount_point, shows(entry)?)))
}

#[cfg(test)]
mod tests {
    use sampan_sys::mount::parse_mountinfo;

    use super::*;

    const TABLE: &[u8] = b"1 0 7:1 / / rw shared:1 - ext4 /dev/loop1 rw
2 1 7:1 /data /srv/bound rw shared:2 - ext4 /dev/loop1 rw
3 1 8:1 /home /mnt/host/home rw shared:3 master:9 - ext4 /dev/sda rw
4 3 0:50 / /mnt/host/home/nfs rw shared:4 master:10 - nfs4 s:/ rw
5 1 8:1 /home/u/work /work rw shared:3 master:9 - ext4 /dev/sda rw
6 1 0:60 / /mnt/wsl rw shared:5 master:11 - tmpfs tmpfs rw
7 1 0:61 / /tmp/x rw shared:6 - tmpfs tmpfs rw
8 1 8:1 /etc /hidden rw shared:7 - ext4 /dev/sda rw
";

    fn known(id: usize, path: &str) -> Option<(&'static str, PathBuf)> {
        let table = parse_mountinfo(TABLE);
        let found = FoundPath { path: PathBuf::new(), missing: PathBuf::new(), device: 0, inode: 0 };
        let outside = |path: &Path| {
            let host = path.strip_prefix("/mnt/host").ok();
            let shared = path.strip_prefix("/mnt/wsl").ok();
            host.map(|rest| (PathPlace::Host as Kind, tree::below(Path::new("/"), rest)))
                .or_else(|| Some((PathPlace::Shared, tree::below(Path::new("/"), shared?))))
        };
        let (kind, path) = known_as(Path::new(path), &table[id - 1], &table, 1, outside)?;
        let kind = match kind(found) {
            PathPlace::Root(_) => "root",
            PathPlace::Host(_) => "host",
            PathPlace::Shared(_) => "shared",
            other => panic!("{other:?}"),
        };
        Some((kind, path))
    }

    #[test]
    fn a_file_is_known_by_what_it_is_and_not_by_its_name() {
        for (id, path, kind, outside) in [
            (1, "/home/me", "root", "/home/me"),
            (1, "/", "root", "/"),
            (2, "/srv/bound/x", "root", "/data/x"),
            (3, "/mnt/host/home/u", "host", "/home/u"),
            (4, "/mnt/host/home/nfs/x", "host", "/home/nfs/x"),
            (5, "/work", "host", "/home/u/work"),
            (6, "/mnt/wsl", "shared", "/"),
        ] {
            assert_eq!(known(id, path), Some((kind, outside.into())), "{path}");
        }
        assert_eq!(known(7, "/tmp/x/y"), None);
        assert_eq!(known(8, "/hidden/shadow"), None, "the same disk, and no folder that is shared");
    }
}
