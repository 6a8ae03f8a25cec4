use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use sampan_sys::fs::write_atomic;

use super::*;

/// A folder of integration, and those who serve it. There is no engine, which clients are told.
struct World {
    folder: tempfile::TempDir,
    sockets: Sockets,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream {
            socket: folder.path().join("none"),
            patience: Duration::ZERO,
            state: Arc::new(|| "away".to_owned()),
        };
        let sockets = Sockets::new(folder.path().to_owned(), upstream);
        Self { folder, sockets }
    }

    /// Somebody whose socket belongs to whoever runs this.
    fn asker(&self, seed: u8) -> Asker {
        let own = self.folder.path().metadata().unwrap();
        let guid = Guid::from_random([seed; 16]);
        Asker { guid, name: format!("d{seed}"), uid: own.uid(), gid: own.gid() }
    }

    fn add_folder(&self, asker: &Asker) {
        fs::create_dir(self.sockets.folder(&asker.guid)).unwrap();
    }

    fn list(&self, distributions: &[Asker]) {
        let askers = Askers { distributions: distributions.to_vec() };
        self.write_list(&document::render(&askers));
    }

    fn write_list(&self, text: &str) {
        write_atomic(&self.folder.path().join(Askers::FILE), text.as_bytes(), 0o600).unwrap();
    }

    fn look(&mut self) {
        let _ = self.sockets.look();
    }

    fn socket(&self, asker: &Asker) -> PathBuf {
        self.sockets.folder(&asker.guid).join(SOCKET)
    }

    fn connect(&self, asker: &Asker) -> io::Result<UnixStream> {
        UnixStream::connect(self.socket(asker))
    }

    #[track_caller]
    fn assert_serves(&self, asker: &Asker) -> UnixStream {
        let mut client = self.connect(asker).unwrap();
        client.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
        let mut said = Vec::new();
        while !said.ends_with(b"}\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("state: away"), "{said}");
        client
    }
}

/// Whether the other side hangs up, before or after a last word.
fn ends(mut client: UnixStream) -> bool {
    client.read_to_end(&mut Vec::new()).is_ok()
}

#[test]
fn each_in_the_list_is_served_and_nobody_else() {
    let mut world = World::new();
    let (one, two) = (world.asker(1), world.asker(2));
    world.add_folder(&one);
    world.add_folder(&two);
    // As somebody left it who was killed.
    drop(UnixListener::bind(world.socket(&two)).unwrap());
    world.look();
    assert!(world.socket(&two).exists(), "without a list nothing is known");

    world.list(std::slice::from_ref(&one));
    world.look();
    world.assert_serves(&one);
    assert_eq!(world.socket(&one).metadata().unwrap().mode() & 0o7777, 0o660);
    assert!(!world.socket(&two).exists());

    world.list(&[one.clone(), two.clone()]);
    world.look();
    let first = file(&world.socket(&one)).unwrap();
    let kept = world.assert_serves(&one);
    world.assert_serves(&two);
    world.list(std::slice::from_ref(&two));
    world.look();
    assert!(ends(kept), "its connections end with it");
    assert!(!world.socket(&one).exists());
    world.assert_serves(&two);
    world.list(&[one.clone(), two.clone()]);
    world.look();
    world.assert_serves(&one);
    assert_ne!(file(&world.socket(&one)).unwrap(), first);
    let left = fs::read_dir(world.sockets.folder(&one.guid)).unwrap().count();
    assert_eq!(left, 1, "nothing but the socket is there");
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing() {
    let mut world = World::new();
    let one = world.asker(1);
    world.add_folder(&one);
    world.list(std::slice::from_ref(&one));
    world.look();
    let client = world.assert_serves(&one);
    for text in ["", "{\"schemaVersion\":1", "{\"schemaVersion\":9,\"distributions\":[]}"] {
        world.write_list(text);
        world.look();
        assert_eq!(world.sockets.complaints.len(), 1);
    }
    fs::remove_file(world.folder.path().join(Askers::FILE)).unwrap();
    world.look();
    assert_eq!(world.sockets.complaints.len(), 1);
    world.assert_serves(&one);
    drop(world.sockets);
    assert!(ends(client), "until then it was connected");
}

#[test]
fn a_socket_that_is_lost_or_exchanged_comes_back() {
    let mut world = World::new();
    let one = world.asker(1);
    world.list(std::slice::from_ref(&one));
    // Not yet started for the first time.
    world.look();
    assert!(world.sockets.complaints.is_empty());
    world.add_folder(&one);
    world.look();
    world.assert_serves(&one);
    fs::remove_file(world.socket(&one)).unwrap();
    world.look();
    world.assert_serves(&one);
    fs::remove_file(world.socket(&one)).unwrap();
    let foreign = UnixListener::bind(world.socket(&one)).unwrap();
    world.look();
    world.assert_serves(&one);
    drop(foreign);
    fs::set_permissions(world.socket(&one), fs::Permissions::from_mode(0o777)).unwrap();
    let bound = file(&world.socket(&one)).unwrap();
    world.look();
    assert_eq!(world.socket(&one).metadata().unwrap().mode() & 0o7777, MODE);
    assert_eq!(file(&world.socket(&one)).unwrap(), bound, "it is the same one");
    fs::remove_dir_all(world.sockets.folder(&one.guid)).unwrap();
    world.look();
    assert!(world.sockets.served.is_empty());
}

#[test]
fn the_socket_belongs_to_the_distribution() {
    let mut world = World::new();
    let mut one = Asker { uid: 2_000_000, gid: 2_000_101, ..world.asker(1) };
    world.add_folder(&one);
    let owner = |world: &World, asker: &Asker| {
        let found = world.socket(asker).metadata().unwrap();
        (found.uid(), found.gid())
    };
    world.list(std::slice::from_ref(&one));
    world.look();
    if !rustix::process::geteuid().is_root() {
        // Nobody else may give it away: better none than one for everybody.
        assert!(!world.socket(&one).exists() && world.sockets.complaints.len() == 1);
        return;
    }
    assert_eq!(owner(&world, &one), (2_000_000, 2_000_101));
    let client = world.assert_serves(&one);
    one.gid = 2_000_102;
    world.list(std::slice::from_ref(&one));
    world.look();
    assert_eq!(owner(&world, &one), (2_000_000, 2_000_102));
    client.set_nonblocking(true).unwrap();
    let still = (&client).read(&mut [0]).unwrap_err();
    assert_eq!(still.kind(), io::ErrorKind::WouldBlock, "clients stay connected");
}

#[test]
fn changes_are_seen() {
    let mut world = World::new();
    let one = world.asker(1);
    world.add_folder(&one);
    world.list(&[]);
    let watch = world.sockets.look().unwrap();
    assert!(!watch.wait(Some(Duration::ZERO)).unwrap(), "what was there before is no change");
    world.list(std::slice::from_ref(&one));
    assert!(watch.wait(None).unwrap());
    // What it does itself is a change, and the next look finds nothing to do.
    drop(world.sockets.look().unwrap());
    let watch = world.sockets.look().unwrap();
    assert!(!watch.wait(Some(Duration::ZERO)).unwrap());
    fs::remove_file(world.socket(&one)).unwrap();
    assert!(watch.wait(None).unwrap());
}
