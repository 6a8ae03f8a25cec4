//! A distribution as an asker.
//!
//! Its server says where a path leads ([`PathQuestion`]): links, and what is mounted inside, are seen as its users see
//! them only there. Nothing of that is taken for granted: the file is looked up in the place where dockerd will see it, and
//! has to be the same one, by device and inode, at a path without links. So a mount inside that dockerd can't see is a
//! refusal and never an empty folder, and no answer leads out of the distribution's own view, the host's shared folders and
//! `/mnt/wsl`.
//!
//! What that does not hold against: dockerd takes a path, and opens it at each start of the container. The proxy looks again
//! when a request starts it; between that and the mount, or when dockerd starts it by itself, who may write to a folder on the
//! way can have put a link there. With any Docker daemon such a link is followed; here it is followed in the engine's tree,
//! which everybody with this socket has anyway by `docker run --privileged`. The kernel could refuse links on the views
//! (`MOUNT_ATTR_NOSYMFOLLOW`), but a bind mount takes that over from where it is made, and no link would work in any
//! container's folder.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sampan_model::distro::Guid;
use sampan_model::integration::{self, FoundPath, PathAnswer, PathPlace, PathQuestion};
use sampan_model::views::{self, VIEWS};
use sampan_relay::proxy::{Asker, Denied, StatusCode};
use sampan_sys::{Errno, SysError, mount, socket};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::host::{self, denied, not_found, text};
use super::kernel;
use crate::engine;
use crate::tree::{self, Place};

/// How long the distribution may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the engine has the folder that all distributions share.
const SHARED: &str = "/mnt/wsl";

/// Where a distribution has what others share with it, unless its `wsl.conf` says otherwise.
const AUTOMOUNT: &str = "/mnt";

/// On what every start mounts a new tmpfs.
const RUN: &str = "/run";

/// Sees its own tree, and what others share with it.
pub(super) struct Distribution {
    guid: String,
    name: String,
    trees: Trees,
    /// Where it has what others share with it, as far as is known.
    automount: Mutex<String>,
}

/// Where the engine has what concerns a distribution.
struct Trees {
    /// Its socket for questions.
    questions: PathBuf,
    /// Its own root file system.
    own: PathBuf,
    /// The host's shared folders.
    host: PathBuf,
    /// What all distributions share.
    shared: PathBuf,
}

impl Distribution {
    pub(super) fn new(guid: Guid, name: String) -> Self {
        let trees = Trees {
            questions: Path::new(integration::PLACE).join(integration::path_socket(&guid)),
            own: Path::new(VIEWS).join(guid.to_string()),
            host: Path::new(VIEWS).join(views::HOST),
            shared: SHARED.into(),
        };
        Self { guid: guid.to_string(), name, trees, automount: Mutex::new(AUTOMOUNT.to_owned()) }
    }

    /// What it says of a path; none: it does not run.
    async fn ask(&self, path: &Path) -> Result<Option<PathPlace>, Denied> {
        let (questions, question) = (self.trees.questions.clone(), PathQuestion { path: path.to_owned() });
        let asked = timeout(PATIENCE, spawn_blocking(move || ask(&questions, &question))).await;
        let answer = match asked {
            Ok(Ok(Ok(None))) => return Ok(None),
            Ok(Ok(Ok(Some(answer)))) => answer,
            // Its answer broke off, or did not come: what it waits for is not known here.
            _ => {
                let message = format!(
                    "{} did not say where {} leads: a file system on the way may hang",
                    self.name,
                    path.display()
                );
                return Err(denied(StatusCode::INTERNAL_SERVER_ERROR, message));
            }
        };
        if let Some(automount) = answer.automount.to_str() {
            automount.clone_into(&mut self.automount.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(Some(answer.place))
    }

    fn automount(&self) -> PathBuf {
        PathBuf::from(&*self.automount.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn place(&self, place: PathPlace, named: &str) -> Result<String, Denied> {
        match place {
            PathPlace::Root(found) => {
                let place = self.search(&self.trees.own, &found.path, named).await?;
                self.require(place.on_root && is_same(&place, &found), named)?;
                self.seen(&found, named)
            }
            PathPlace::Host(found) => {
                let asked = tree::clean(&found.path);
                let place = host::shared(self.trees.host.clone(), asked, named).await?;
                self.require(is_same(&place, &found), named)?;
                Ok(views::seen(views::HOST, text(&whole(&found), named)?))
            }
            PathPlace::Shared(found) => {
                let place = self.search(&self.trees.shared, &found.path, named).await?;
                self.require(is_same(&place, &found), named)?;
                Ok(shared(text(&whole(&found), named)?))
            }
            PathPlace::Socket => Ok(engine::DOCKER_SOCKET.to_owned()),
            PathPlace::Kernel { path } => {
                let path = tree::clean(&path);
                kernel::seen(&path, named).unwrap_or_else(|| Err(self.changed(named)))
            }
            PathPlace::Foreign { mount, kind } => Err(self.foreign(named, &mount, &kind)),
            PathPlace::Failed { message } => Err(not_found(named, &message)),
        }
    }

    /// Where a path leads while the distribution does not run: what its users mount is not there then, and what every
    /// start mounts is known.
    async fn place_at_rest(&self, asked: &Path, named: &str) -> Result<String, Denied> {
        if !mount::is_mount_point(&self.trees.own).unwrap_or(false) {
            let message =
                format!("the disk of {0} is not there for containers: start it with `wsl -d {0}`", self.name);
            return Err(denied(StatusCode::INTERNAL_SERVER_ERROR, message));
        }
        if let Some(at_rest) = self.not_on_disk(asked, named).await {
            return at_rest;
        }
        let path = self.search(&self.trees.own, asked, named).await?.whole();
        match self.not_on_disk(&path, named).await {
            Some(at_rest) => at_rest,
            None => Ok(views::seen(&self.guid, text(&path, named)?)),
        }
    }

    /// What dockerd sees of a path that is not on the distribution's disk when it runs; none: it is.
    async fn not_on_disk(&self, path: &Path, named: &str) -> Option<Result<String, Denied>> {
        let automount = self.automount();
        if let Some(seen) = kernel::seen(path, named) {
            return Some(seen);
        }
        if path.starts_with(RUN) {
            return Some(Err(self.foreign(named, Path::new(RUN), "tmpfs")));
        }
        let below =
            |folder: &str| Some(tree::below(Path::new("/"), path.strip_prefix(automount.join(folder)).ok()?));
        if let Some(path) = below("host") {
            let place = host::shared(self.trees.host.clone(), path, named).await;
            return Some(place.and_then(|place| Ok(views::seen(views::HOST, text(&place.whole(), named)?))));
        }
        let path = below("wsl")?;
        let place = self.search(&self.trees.shared, &path, named).await;
        Some(place.and_then(|place| Ok(shared(text(&place.whole(), named)?))))
    }

    async fn search(&self, tree: &Path, path: &Path, named: &str) -> Result<Place, Denied> {
        host::search(tree.to_owned(), tree::clean(path)).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => not_found(named, &"it is not there, or a link that leads nowhere"),
            _ => not_found(named, &error),
        })
    }

    fn seen(&self, found: &FoundPath, named: &str) -> Result<String, Denied> {
        Ok(views::seen(&self.guid, text(&whole(found), named)?))
    }

    fn require(&self, same: bool, named: &str) -> Result<(), Denied> {
        if same { Ok(()) } else { Err(self.changed(named)) }
    }

    fn changed(&self, named: &str) -> Denied {
        let message = format!(
            "mounts denied: {named} is not the same for containers: {} has something mounted on the way, or it was \
             changed just now; use a folder on the distribution's own disk",
            self.name
        );
        denied(StatusCode::FORBIDDEN, message)
    }

    fn foreign(&self, named: &str, mount: &Path, kind: &str) -> Denied {
        let message = format!(
            "mounts denied: {named} is on what {} has mounted at {} ({kind}), which containers cannot see; use a folder \
             on the distribution's own disk",
            self.name,
            mount.display()
        );
        denied(StatusCode::FORBIDDEN, message)
    }
}

impl Asker for Distribution {
    async fn translate(&self, path: &str) -> Result<String, Denied> {
        let asked = tree::clean(Path::new(path));
        if host::is_docker_socket(&asked) {
            return Ok(engine::DOCKER_SOCKET.to_owned());
        }
        match self.ask(&asked).await? {
            Some(place) => self.place(place, path).await,
            None => self.place_at_rest(&asked, path).await,
        }
    }

    fn reveal(&self, path: &str) -> Option<String> {
        if let Some(own) = views::shown(&self.guid, path) {
            return Some(own.to_owned());
        }
        let inside = |folder: &str, rest: &str| {
            let automount = self.automount();
            let automount = automount.to_string_lossy();
            format!("{}/{folder}{}", automount.trim_end_matches('/'), if rest == "/" { "" } else { rest })
        };
        if let Some(host) = views::shown(views::HOST, path) {
            return Some(inside("host", host));
        }
        let rest = path.strip_prefix(SHARED)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| inside("wsl", rest))
    }
}

fn ask(questions: &Path, question: &PathQuestion) -> Result<Option<PathAnswer>, SysError> {
    let begun = Instant::now();
    let connection = match socket::connect_seqpacket_within(questions, PATIENCE) {
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::CONNREFUSED) => return Ok(None),
        connection => connection?,
    };
    socket::send_message(&connection, &serde_json::to_vec(question).unwrap_or_default(), &[])?;
    let left = PATIENCE.saturating_sub(begun.elapsed());
    let broken = |detail: &str| SysError {
        what: "understand",
        object: questions.display().to_string(),
        detail: detail.to_owned(),
        source: Errno::BADMSG,
    };
    let answer = socket::recv_message_within(&connection, left)?.ok_or_else(|| broken("no answer"))?;
    serde_json::from_slice(&answer.bytes).map(Some).map_err(|error| broken(&error.to_string()))
}

/// Whether what is in a place is what the distribution found. A link on the way makes another path of it, and what is
/// missing is to be made below it.
fn is_same(place: &Place, found: &FoundPath) -> bool {
    let is_name = |part| matches!(part, Component::Normal(_));
    place.missing.as_os_str().is_empty()
        && found.missing.components().all(is_name)
        && place.path == found.path
        && place.file == (found.device, found.inode)
}

fn whole(found: &FoundPath) -> PathBuf {
    tree::below(&found.path, &found.missing)
}

fn shared(path: &str) -> String {
    if path == "/" { SHARED.to_owned() } else { format!("{SHARED}{path}") }
}

#[cfg(test)]
mod tests;
