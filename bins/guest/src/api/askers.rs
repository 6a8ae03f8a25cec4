//! The distributions that have a socket, as the service's list says.
//!
//! Each is served on a thread of its own: none waits for another, or makes the host wait, and its end is the end of
//! all its connections.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use sampan_model::distro::Guid;
use sampan_model::document::{self, Document as _};
use sampan_model::integration::{Asker, Askers, PLACE, SOCKET};
use sampan_relay::proxy::{self, Upstream};
use sampan_sys::inotify::Watch;
use sampan_sys::socket::{SocketKind, bind_unix_listener};
use tokio::sync::oneshot;

use super::distribution::Distribution;
use crate::{engine, verb};

/// After this long what could not be done is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Root of the distribution and its group `docker`.
const MODE: u32 = 0o660;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Begins to serve them, beside the caller, for as long as this process runs.
pub(super) fn start(upstream: Upstream) {
    let sockets = Sockets::new(PathBuf::from(PLACE), upstream);
    let thread = thread::Builder::new().name("askers".to_owned());
    if let Err(error) = thread.spawn(move || sockets.run()) {
        verb::log(&format!("distributions have no Docker socket: {error}"));
    }
}

/// The sockets of all distributions.
struct Sockets {
    place: PathBuf,
    upstream: Upstream,
    /// What the list said last; none: nobody has written one yet.
    wanted: Option<Vec<Asker>>,
    served: BTreeMap<Guid, Served>,
    /// What was said last about what is wrong, by what it concerns.
    complaints: BTreeMap<String, String>,
}

/// A socket that is served. Dropped, its listener and its connections end.
struct Served {
    name: String,
    /// The socket's file: its file system and its number there.
    file: (u64, u64),
    end: oneshot::Sender<()>,
}

impl Sockets {
    fn new(place: PathBuf, upstream: Upstream) -> Self {
        Self { place, upstream, wanted: None, served: BTreeMap::new(), complaints: BTreeMap::new() }
    }

    fn run(mut self) {
        loop {
            match self.look() {
                Ok(watch) if watch.wait(None).is_ok() => {}
                // Where nothing can be watched, or where every try would be a change by itself.
                _ => thread::park_timeout(RETRY),
            }
        }
    }

    /// Does what the list says. The watch tells of changes since; an error, which was logged: something is to be tried
    /// again.
    fn look(&mut self) -> Result<Watch, ()> {
        // Made before everything is looked at.
        let watch = self.told("watch", Watch::new(&self.place).map_err(Into::into));
        self.read();
        for asker in self.wanted.iter().flatten() {
            // The coming of one that is missing is seen above it.
            let _ = watch.as_ref().map(|watch| watch.add(&self.folder(&asker.guid)));
        }
        let whole = self.serve();
        watch.filter(|_| whole).ok_or(())
    }

    /// Reads the list. One that can't be read leaves everything as it is.
    fn read(&mut self) {
        let path = self.place.join(Askers::FILE);
        let read = fs::read_to_string(&path).map_err(anyhow::Error::from);
        let read = read.and_then(|text| Ok(document::parse::<Askers>(&text)?));
        let read = read.with_context(|| format!("cannot use {}", path.display()));
        if let Some(askers) = self.told(Askers::FILE, read) {
            self.wanted = Some(askers.distributions);
        }
    }

    /// Makes all sockets what the list says. False: something is to be tried again.
    fn serve(&mut self) -> bool {
        let Some(wanted) = self.wanted.clone() else { return true };
        let all: BTreeSet<Guid> = wanted.iter().map(|asker| asker.guid).collect();
        self.served.retain(|guid, _| all.contains(guid));
        for guid in folders(&self.place).filter(|guid| !all.contains(guid)) {
            // Also what was left by somebody who was killed.
            let _ = fs::remove_file(self.folder(&guid).join(SOCKET));
        }
        let mut whole = true;
        for asker in wanted {
            let set = self.set(&asker).with_context(|| format!("{} has no Docker socket", asker.name));
            whole &= self.told(&asker.guid.to_string(), set).is_some();
        }
        whole
    }

    /// Makes the socket of one what the list says.
    fn set(&mut self, asker: &Asker) -> anyhow::Result<()> {
        let folder = self.folder(&asker.guid);
        if !folder.is_dir() {
            // It has never been started, or is being removed: the service makes the folder, and the watch sees it.
            self.served.remove(&asker.guid);
            return Ok(());
        }
        let path = folder.join(SOCKET);
        let lives =
            |served: &Served| !served.end.is_closed() && file(&path).is_ok_and(|file| file == served.file);
        match self.served.get(&asker.guid) {
            Some(served) if served.name == asker.name && lives(served) => own(&path, asker),
            _ => {
                let served = serve(&path, asker, self.upstream.clone())?;
                self.served.insert(asker.guid, served);
                Ok(())
            }
        }
    }

    fn folder(&self, guid: &Guid) -> PathBuf {
        self.place.join(guid.to_string())
    }

    /// Says what is wrong, once.
    fn told<T>(&mut self, what: &str, result: anyhow::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.complaints.remove(what);
                Some(value)
            }
            Err(error) => {
                let said = verb::chain(&error);
                if self.complaints.get(what) != Some(&said) {
                    verb::log(&said);
                    self.complaints.insert(what.to_owned(), said);
                }
                None
            }
        }
    }
}

/// The distributions that have a folder.
fn folders(place: &Path) -> impl Iterator<Item = Guid> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn file(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

/// Gives the socket its owner, its group and its mode, where they are others.
fn own(path: &Path, asker: &Asker) -> anyhow::Result<()> {
    let found = path.symlink_metadata().context("cannot look at the socket")?;
    if (found.uid(), found.gid()) != (asker.uid, asker.gid) {
        lchown(path, Some(asker.uid), Some(asker.gid)).context("cannot change the owner of the socket")?;
    }
    if found.mode() & 0o7777 != MODE {
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))
            .context("cannot set the mode of the socket")?;
    }
    Ok(())
}

/// Binds the socket anew and serves it. Whoever looks finds the old one or the new one, which answers already.
fn serve(path: &Path, asker: &Asker, upstream: Upstream) -> anyhow::Result<Served> {
    let new = path.with_file_name(format!(".{SOCKET}.new"));
    let _ = fs::remove_file(&new);
    let listener = bind_unix_listener(&new, SocketKind::Stream, 0o600, None)?;
    sampan_sys::socket::listen(&listener, BACKLOG)?;
    let bound = chown(&new, Some(asker.uid), Some(asker.gid))
        .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(MODE)))
        .and_then(|()| file(&new))
        .context("cannot set the access rights of the socket");
    let begun = bound.and_then(|file| {
        let end = attend(listener.into(), upstream, Distribution::new(asker.guid, asker.name.clone()))?;
        fs::rename(&new, path).context("cannot put the socket into its place")?;
        Ok(Served { name: asker.name.clone(), file, end })
    });
    if begun.is_err() {
        let _ = fs::remove_file(&new);
    }
    begun
}

/// Serves a listener until the result is dropped; its connections end then, too.
fn attend(
    listener: UnixListener,
    upstream: Upstream,
    asker: Distribution,
) -> anyhow::Result<oneshot::Sender<()>> {
    let (end, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime")?;
    let listener = {
        let _within = runtime.enter();
        engine::into_async(listener)?
    };
    let thread = thread::Builder::new().name("asker".to_owned());
    let serving = move || {
        runtime.block_on(async {
            tokio::select! {
                () = proxy::serve(listener, upstream, asker) => {}
                _ = ended => {}
            }
        });
        // A search in a file system that hangs is nothing to wait for.
        runtime.shutdown_background();
    };
    thread.spawn(serving).context("cannot start a thread")?;
    Ok(end)
}

#[cfg(test)]
mod tests;
