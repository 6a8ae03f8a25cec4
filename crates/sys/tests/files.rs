//! Files, locks, sockets and watches; no privilege needed.
#![expect(clippy::disallowed_methods, reason = "tests write plain files")]

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_sys::fs::{
    allocated_bytes, begin_write_back, free_space, hold_reserve, open_in_root, punch_hole_supported,
    write_atomic, write_from_reserve, write_whole,
};
use sampan_sys::inotify::Watch;
use sampan_sys::lock::FileLock;
use sampan_sys::mount::{self, MountAttrFlags};
use sampan_sys::socket::{self, SocketKind, bind_unix_listener};
use tempfile::{TempDir, tempdir};

fn mode_of(path: &Path) -> u32 {
    path.symlink_metadata().expect("metadata").permissions().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("folder");
    entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn atomic_write_replaces_whole_files() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("settings.json");
    write_atomic(&path, b"one", 0o600).unwrap();
    assert_eq!((std::fs::read(&path).unwrap().as_slice(), mode_of(&path)), (b"one".as_slice(), 0o600));
    write_atomic(&path, b"two, longer", 0o644).unwrap();
    assert_eq!(
        (std::fs::read(&path).unwrap().as_slice(), mode_of(&path)),
        (b"two, longer".as_slice(), 0o644)
    );
    assert_eq!(names(folder.path()), ["settings.json"]);
}

#[test]
fn whole_write_replaces_whole_files() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("record.json");
    for (content, mode) in [("one, longer", 0o600), ("two", 0o644)] {
        write_whole(&path, content.as_bytes(), mode).unwrap();
        assert_eq!((std::fs::read(&path).unwrap().as_slice(), mode_of(&path)), (content.as_bytes(), mode));
    }
    assert!(write_whole(Path::new("/"), b"x", 0o600).is_err());
    assert_eq!(names(folder.path()), ["record.json"]);
}

#[test]
fn a_reserve_is_the_room_of_a_full_disk() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // A disk of its own, which is mounted nowhere.
    let disk = mount::new_virtual("tmpfs", &[("size", Some("256k"))], MountAttrFlags::empty()).unwrap();
    let folder = PathBuf::from(format!("/proc/self/fd/{}", disk.as_raw_fd()));
    let (path, reserve) = (folder.join("registry.json"), folder.join("reserve"));
    write_atomic(&path, &[7; 10_000], 0o600).unwrap();
    hold_reserve(&reserve, 16 << 10).unwrap();
    let mut ballast = std::fs::File::create(folder.join("ballast")).unwrap();
    let full = std::iter::repeat_with(|| ballast.write_all(&[0; 4096])).find_map(Result::err).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    for round in 0..3_u8 {
        let text = vec![round; 10_000];
        assert_eq!(write_atomic(&path, &text, 0o600).unwrap_err().errno(), Errno::NOSPC);
        write_from_reserve(&reserve, &path, &text, 0o640).unwrap();
        assert_eq!((std::fs::read(&path).unwrap(), mode_of(&path)), (text, 0o640));
        assert!(!reserve.exists(), "it became the file");
        // What the file had before, and what it did not take.
        hold_reserve(&reserve, 16 << 10).unwrap();
    }
    // More than it holds: the old file stays.
    let error = write_from_reserve(&reserve, &path, &vec![9; 200_000], 0o600).unwrap_err();
    assert_eq!((error.errno(), std::fs::read(&path).unwrap()), (Errno::NOSPC, vec![2; 10_000]));
    assert_eq!(write_from_reserve(&reserve, &path, b"x", 0o600).unwrap_err().errno(), Errno::NOENT);
    // No more than there is, without an error.
    let _ = ballast.write_all(&vec![0; 200_000]);
    hold_reserve(&reserve, 64 << 10).unwrap();
    assert!(reserve.metadata().unwrap().len() < 64 << 10);
}

#[test]
fn failed_atomic_write_leaves_nothing() {
    let folder = tempdir().unwrap();
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("full")).unwrap();
    assert!(write_atomic(&taken, b"x", 0o600).is_err(), "a folder is not replaced by a file");
    assert_eq!(names(folder.path()), ["taken"]);
    let error = write_atomic(&folder.path().join("none/x"), b"x", 0o600).unwrap_err();
    assert_eq!(error.errno(), Errno::NOENT);
    assert!(write_atomic(Path::new("/"), b"x", 0o600).is_err());
}

#[test]
fn links_stay_inside_the_root() {
    let folder = tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/name"), "inside").unwrap();
    std::fs::write(folder.path().join("secret"), "outside").unwrap();
    symlink("/etc/name", root.join("absolute")).unwrap();
    symlink("../../../secret", root.join("up")).unwrap();
    let fd = rustix::fs::open(&root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let read = |path: &str| {
        let file = open_in_root(&fd, Path::new(path), OFlags::RDONLY)?;
        Ok::<_, sampan_sys::SysError>(std::io::read_to_string(std::fs::File::from(file)).unwrap())
    };
    assert_eq!(read("/absolute").unwrap(), "inside");
    assert_eq!(read("../../etc/name").unwrap(), "inside");
    assert_eq!(read("up").unwrap_err().errno(), Errno::NOENT);
}

#[test]
fn space_is_told() {
    let folder = tempdir().unwrap();
    let sparse = folder.path().join("sparse");
    std::fs::File::create(&sparse).unwrap().set_len(1 << 30).unwrap();
    assert!(allocated_bytes(&sparse).unwrap() < 1 << 20);
    assert!(free_space(folder.path()).unwrap() > 0);
    punch_hole_supported(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["sparse"]);
    assert_eq!(free_space(Path::new("/does/not/exist")).unwrap_err().errno(), Errno::NOENT);
}

#[test]
fn lock_has_one_holder() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = FileLock::try_exclusive(&path).unwrap().unwrap();
    assert!(FileLock::try_exclusive(&path).unwrap().is_none());
    drop(held);
    assert!(FileLock::try_exclusive(&path).unwrap().is_some());
}

fn socket_path() -> (TempDir, PathBuf) {
    let folder = tempdir().expect("temp folder");
    let path = folder.path().join("control.sock");
    (folder, path)
}

#[test]
fn listener_has_its_rights_and_replaces_a_stale_one() {
    let (_folder, path) = socket_path();
    let gid = rustix::process::getgid().as_raw();
    let first = bind_unix_listener(&path, SocketKind::Stream, 0o660, Some(gid)).unwrap();
    assert_eq!(mode_of(&path), 0o660);
    assert!(UnixStream::connect(&path).is_err(), "it does not listen yet");
    socket::listen(&first, 8).unwrap();
    UnixStream::connect(&path).unwrap();
    let error = bind_unix_listener(&path, SocketKind::Stream, 0o600, None).unwrap_err();
    assert_eq!(error.errno(), Errno::ADDRINUSE);
    let error = bind_unix_listener(&path, SocketKind::SeqPacket, 0o600, None).unwrap_err();
    assert_eq!(error.errno(), Errno::ADDRINUSE);
    drop(first);
    bind_unix_listener(&path, SocketKind::SeqPacket, 0o600, None).unwrap();
    assert_eq!(mode_of(&path), 0o600);
}

#[test]
fn busy_and_foreign_sockets_are_kept() {
    let (folder, path) = socket_path();
    let listener = UnixListener::bind(&path).unwrap();
    // A full queue answers neither yes nor no.
    socket::listen(&listener, 0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let error = bind_unix_listener(&path, SocketKind::Stream, 0o600, None).unwrap_err();
    assert_eq!(error.errno(), Errno::ADDRINUSE);
    let datagram = folder.path().join("datagram.sock");
    let _bound = UnixDatagram::bind(&datagram).unwrap();
    let error = bind_unix_listener(&datagram, SocketKind::Stream, 0o600, None).unwrap_err();
    assert_eq!(error.errno(), Errno::ADDRINUSE);
}

#[test]
fn other_files_and_long_paths_are_refused() {
    let (folder, path) = socket_path();
    std::fs::write(&path, "precious").unwrap();
    let error = bind_unix_listener(&path, SocketKind::Stream, 0o600, None).unwrap_err();
    assert_eq!(error.errno(), Errno::EXIST);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let long = folder.path().join("x".repeat(120));
    let error = bind_unix_listener(&long, SocketKind::Stream, 0o600, None).unwrap_err();
    assert_eq!(error.errno(), Errno::NAMETOOLONG);
    assert!(error.to_string().contains("at most 107 bytes"), "{error}");
    assert_eq!(socket::connect_seqpacket(&long).unwrap_err().errno(), Errno::NAMETOOLONG);
}

#[test]
fn the_groups_of_a_peer_are_those_that_it_connected_with() {
    let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let groups = |(one, _other): (OwnedFd, OwnedFd)| {
        let mut groups = socket::peer_groups(&one).unwrap();
        groups.sort_unstable();
        groups
    };
    let mut own: Vec<u32> = rustix::process::getgroups().unwrap().iter().map(|gid| gid.as_raw()).collect();
    own.sort_unstable();
    assert_eq!(groups(pair()), own);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root joins other groups");
        return;
    }
    // Of this thread alone.
    let many: Vec<u32> = (70_000..70_100).collect();
    let gids: Vec<_> = many.iter().map(|gid| rustix::process::Gid::from_raw(*gid)).collect();
    rustix::thread::set_thread_groups(&gids).unwrap();
    let before = pair();
    rustix::thread::set_thread_groups(&[]).unwrap();
    assert_eq!(groups(before), many);
    assert!(groups(pair()).is_empty());
}

#[test]
fn messages_carry_descriptors() {
    let (_folder, path) = socket_path();
    let listener = bind_unix_listener(&path, SocketKind::SeqPacket, 0o600, None).unwrap();
    socket::listen(&listener, 8).unwrap();
    let client = socket::connect_seqpacket(&path).unwrap();
    let server = socket::accept(&listener).unwrap();
    let cred = socket::peer_cred(&server).unwrap();
    assert_eq!(cred.pid, std::process::id().cast_signed());
    assert_eq!(cred.uid, rustix::process::getuid().as_raw());

    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"hello").unwrap();
    socket::send_fds(&client, b"take this", &[file.as_fd(), listener.as_fd()]).unwrap();
    let mut buffer = [0; 64];
    let received = socket::recv_fds(&server, &mut buffer).unwrap();
    assert_eq!(&buffer[..received.length], b"take this");
    assert_eq!(received.fds.len(), 2);
    let copy: OwnedFd = received.fds.into_iter().next().unwrap();
    assert_eq!(std::fs::File::from(copy).metadata().unwrap().len(), 5);

    socket::send_fds(&client, &[1; 65], &[file.as_fd()]).unwrap();
    assert_eq!(socket::recv_fds(&server, &mut buffer).unwrap_err().errno(), Errno::MSGSIZE);
    assert_eq!(socket::send_fds(&client, b"", &[]).unwrap_err().errno(), Errno::INVAL);
    drop(client);
    assert_eq!(socket::recv_fds(&server, &mut buffer).unwrap().length, 0);
    assert_eq!(socket::send_fds(&server, b"x", &[]).unwrap_err().errno(), Errno::PIPE);
}

#[test]
fn a_listener_that_hangs_is_not_waited_for() {
    let (_folder, path) = socket_path();
    let listener = bind_unix_listener(&path, SocketKind::SeqPacket, 0o600, None).unwrap();
    socket::listen(&listener, 0).unwrap();
    // The queue takes one more than it was asked to (unix(7) says nothing of it, the kernel does so).
    let _waiting = socket::connect_seqpacket(&path).unwrap();
    let error = socket::connect_seqpacket_within(&path, Duration::from_millis(10)).unwrap_err();
    assert_eq!(error.errno(), Errno::AGAIN);
    socket::accept(&listener).unwrap();
    socket::connect_seqpacket_within(&path, Duration::from_mins(1)).unwrap();
}

#[test]
fn a_stream_takes_more_than_its_buffer() {
    let (left, right) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let sender = std::thread::spawn(move || {
        let file = std::fs::File::open("/dev/null").unwrap();
        socket::send_fds(&left, &vec![5; 4 << 20], &[file.as_fd()]).unwrap();
    });
    let (mut bytes, mut fds) = (0, 0);
    let mut buffer = vec![0; 65536];
    loop {
        let received = socket::recv_fds(&right, &mut buffer).unwrap();
        if received.length == 0 {
            break;
        }
        bytes += received.length;
        fds += received.fds.len();
    }
    sender.join().unwrap();
    assert_eq!((bytes, fds), (4 << 20, 1));
}

#[test]
fn watch_sees_a_new_file() {
    let folder = tempdir().unwrap();
    let watch = Watch::new(folder.path()).unwrap();
    assert!(!watch.wait(Some(Duration::from_millis(10))).unwrap());
    let path = folder.path().join("new");
    let writer = std::thread::spawn(move || std::fs::write(path, "x").unwrap());
    assert!(watch.wait(Some(Duration::from_secs(10))).unwrap());
    writer.join().unwrap();
    let _ = watch.wait(Some(Duration::ZERO)).unwrap();
    assert!(!watch.wait(Some(Duration::ZERO)).unwrap(), "what was seen is not told again");

    let other = tempdir().unwrap();
    watch.add(other.path()).unwrap();
    std::fs::write(other.path().join("new"), "x").unwrap();
    assert!(watch.wait(Some(Duration::ZERO)).unwrap(), "one more is watched");
    assert_eq!(watch.add(&other.path().join("none")).unwrap_err().errno(), Errno::NOENT);
}

#[test]
fn what_is_written_back_early_is_the_same_and_a_pipe_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    write_atomic(&path, &[7; 10_000], 0o600).unwrap();
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    begin_write_back(&file).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [7; 10_000]);
    let (_reader, writer) = std::io::pipe().unwrap();
    assert_eq!(begin_write_back(&writer).unwrap_err().errno(), Errno::SPIPE);
}
