use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::thread;

use sampan_sys::socket::{SocketKind, bind_unix_listener};
use tempfile::TempDir;

use super::*;

const GUID: &str = "01234567-89ab-4def-8123-456789abcdef";
const OTHER: &str = "11234567-89ab-4def-8123-456789abcdef";

/// A distribution whose server says what it is told to, over trees of its own.
struct World {
    folder: TempDir,
    distribution: Distribution,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for tree in ["own/srv/data", "shared/disk", "host/home"] {
            fs::create_dir_all(root.join(tree)).unwrap();
        }
        let mut distribution = Distribution::new(GUID.parse().unwrap(), "Deb".to_owned());
        distribution.trees = Trees {
            questions: root.join("questions"),
            own: root.join("own"),
            host: root.join("host"),
            shared: root.join("shared"),
        };
        Self { folder, distribution }
    }

    /// What becomes of a path whose place the distribution says is `place`.
    fn translate(&self, path: &str, place: PathPlace) -> Result<String, Denied> {
        let questions = &self.distribution.trees.questions;
        let listener = bind_unix_listener(questions, SocketKind::SeqPacket, 0o600, None).unwrap();
        socket::listen(&listener, 1).unwrap();
        let asked = path.to_owned();
        let server = thread::spawn(move || {
            let client = socket::accept(&listener).unwrap();
            let message = socket::recv_message(&client).unwrap().unwrap();
            let question: PathQuestion = serde_json::from_slice(&message.bytes).unwrap();
            assert_eq!(question.path, tree::clean(Path::new(&asked)));
            let answer = PathAnswer { automount: "/m".into(), place };
            socket::send_message(&client, &serde_json::to_vec(&answer).unwrap(), &[]).unwrap();
        });
        let translated = run(self.distribution.translate(path));
        server.join().unwrap();
        translated
    }

    fn found(&self, tree: &str, path: &str, missing: &str) -> FoundPath {
        let real = fs::metadata(self.folder.path().join(tree).join(path.trim_start_matches('/'))).unwrap();
        FoundPath { path: path.into(), missing: missing.into(), device: real.dev(), inode: real.ino() }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn status(translated: Result<String, Denied>) -> (u16, String) {
    let denied = translated.unwrap_err();
    (denied.status.as_u16(), denied.message)
}

#[test]
fn what_is_the_same_file_is_seen_in_its_view() {
    let world = World::new();
    let seen = |path, place| world.translate(path, place).unwrap();
    let own = |path, missing| PathPlace::Root(world.found("own", path, missing));
    assert_eq!(seen("/srv/data", own("/srv/data", "")), format!("/views/{GUID}/srv/data"));
    assert_eq!(seen("/link/a b/ü:\n", own("/srv", "a b/ü:\n")), format!("/views/{GUID}/srv/a b/ü:\n"));
    assert_eq!(seen("/", own("/", "")), format!("/views/{GUID}"));
    let shared = |path, missing| PathPlace::Shared(world.found("shared", path, missing));
    assert_eq!(seen("/m/wsl/disk/x", shared("/disk", "x")), "/mnt/wsl/disk/x");
    assert_eq!(seen("/m/wsl", shared("/", "")), "/mnt/wsl");
    assert_eq!(seen("/m/../dev", PathPlace::Kernel { path: "/dev".into() }), "/dev");
    assert_eq!(seen("/my.sock", PathPlace::Socket), engine::DOCKER_SOCKET);
}

#[test]
fn folders_of_the_host_are_those_that_it_shares() {
    let mut world = World::new();
    // Not on a mount of its own: above or beside all that is shared.
    let place = PathPlace::Host(world.found("host", "/home", ""));
    let (code, message) = status(world.translate("/m/host/home", place));
    assert!(
        code == 403 && message.contains("mounts denied: the path /m/host/home is not shared"),
        "{message}"
    );
    // What is a mount on every machine stands in for a shared folder.
    world.distribution.trees.host = "/".into();
    let proc = fs::metadata("/proc/sys").unwrap();
    let mut found =
        FoundPath { path: "/proc/sys".into(), missing: "new".into(), device: proc.dev(), inode: proc.ino() };
    let place = PathPlace::Host(found.clone());
    assert_eq!(world.translate("/m/host/proc/sys/new", place).unwrap(), "/views/host/proc/sys/new");
    found.inode += 1;
    assert_eq!(status(world.translate("/m/host/proc/sys/new", PathPlace::Host(found))).0, 403);
}

#[test]
fn another_file_is_refused_whatever_the_distribution_says() {
    let world = World::new();
    let own = world.folder.path().join("own");
    symlink("/etc", own.join("out")).unwrap();
    symlink("data", own.join("srv/link")).unwrap();
    let denied = |place| status(world.translate("/x", place));
    let data = world.found("own", "/srv/data", "");
    let at = |path: &str| PathPlace::Root(FoundPath { path: path.into(), ..data.clone() });
    for place in [
        at("/srv"),
        at("/srv/link"),
        at("/srv/link/../data"),
        at("/gone"),
        at("srv/data"),
        PathPlace::Root(FoundPath { inode: data.inode + 1, ..data.clone() }),
        PathPlace::Root(FoundPath { device: data.device + 1, ..data.clone() }),
        PathPlace::Root(FoundPath { missing: "../../../etc".into(), ..data.clone() }),
        PathPlace::Root(FoundPath { missing: "/etc".into(), ..data.clone() }),
        PathPlace::Shared(FoundPath { path: "/disk".into(), ..data.clone() }),
        PathPlace::Kernel { path: "/proc/../etc/shadow".into() },
        PathPlace::Kernel { path: "/var/lib/docker".into() },
    ] {
        let (code, message) = denied(place.clone());
        assert_eq!(code, 403, "{place:?}: {message}");
        assert!(
            message.starts_with("mounts denied: /x is not the same for containers: Deb has"),
            "{message}"
        );
    }
    for place in [at("/out/passwd"), PathPlace::Failed { message: "no".to_owned() }] {
        let (code, message) = denied(place.clone());
        assert_eq!((code, message.starts_with("cannot look for /x: ")), (400, true), "{place:?}: {message}");
    }
    let (code, message) = denied(PathPlace::Foreign { mount: "/tmp".into(), kind: "tmpfs".to_owned() });
    let words = "mounts denied: /x is on what Deb has mounted at /tmp (tmpfs), which containers cannot see; use a folder \
                 on the distribution's own disk";
    assert_eq!((code, message.as_str()), (403, words));
}

#[test]
fn no_answer_is_a_failure_and_no_other_file() {
    let world = World::new();
    let questions = world.distribution.trees.questions.clone();
    let listener = bind_unix_listener(&questions, SocketKind::SeqPacket, 0o600, None).unwrap();
    socket::listen(&listener, 1).unwrap();
    for answer in [None, Some(b"?".as_slice()), Some(br#"{"automount":"/","place":{"on":"moon"}}"#)] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let client = socket::accept(&listener).unwrap();
                socket::recv_message(&client).unwrap();
                if let Some(bytes) = answer {
                    socket::send_message(&client, bytes, &[]).unwrap();
                }
            });
            let (code, message) = status(run(world.distribution.translate("/srv/data")));
            assert!(code == 500 && message.contains("Deb did not say where /srv/data leads"), "{message}");
        });
    }
    // Something that is no socket of ours.
    fs::remove_file(&questions).unwrap();
    let _stream = UnixListener::bind(&questions).unwrap();
    assert_eq!(status(run(world.distribution.translate("/srv/data"))).0, 500);
}

#[test]
fn at_rest_its_disk_is_looked_at() {
    let mut world = World::new();
    let (code, message) = status(run(world.distribution.translate("/srv/data")));
    assert!(code == 500 && message.contains("the disk of Deb is not there"), "no mount is there: {message}");
    world.distribution.trees.own = "/".into();
    let seen = |path: &str| run(world.distribution.translate(path));
    assert_eq!(seen("/usr/../usr/none/x").unwrap(), format!("/views/{GUID}/usr/none/x"));
    assert_eq!(seen("/dev/null").unwrap(), "/dev/null");
    assert_eq!(seen("/var/run/docker.sock").unwrap(), engine::DOCKER_SOCKET);
    assert_eq!(seen("/mnt/wsl/disk/new").unwrap(), "/mnt/wsl/disk/new");
    for (path, word) in [("/run/x", "tmpfs"), ("/var/run/x", "tmpfs"), ("/mnt/host/home", "not shared")] {
        let (code, message) = status(seen(path));
        assert!(code == 403 && message.contains(word), "{path}: {message}");
    }
}

#[test]
fn only_its_own_is_revealed() {
    let world = World::new();
    let shown = |path: &str| world.distribution.reveal(path);
    for (path, own) in [
        (format!("/views/{GUID}/srv/a b"), "/srv/a b"),
        (format!("/views/{GUID}"), "/"),
        ("/views/host/home/u".to_owned(), "/mnt/host/home/u"),
        ("/views/host".to_owned(), "/mnt/host"),
        ("/mnt/wsl/disk: gone".to_owned(), "/mnt/wsl/disk: gone"),
        ("/mnt/wsl".to_owned(), "/mnt/wsl"),
    ] {
        assert_eq!(shown(&path).as_deref(), Some(own));
    }
    for foreign in [format!("/views/{OTHER}/srv"), "/views/hosts/x".into(), "/mnt/wslx".into(), "/srv".into()]
    {
        assert_eq!(shown(&foreign), None, "{foreign}");
    }
    // As it says itself from then on.
    world.translate("/srv", PathPlace::Socket).unwrap();
    assert_eq!(shown("/views/host/home").as_deref(), Some("/m/host/home"));
    assert_eq!(shown("/mnt/wsl/x").as_deref(), Some("/m/wsl/x"));
}
