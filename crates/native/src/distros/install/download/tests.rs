//! Against a server on loopback that answers each connection with the next of some texts, and then is gone.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex};
use std::thread;

use sampan_model::wsl::service::Reply;

use super::*;
use crate::distros::{Asker, Tell};

/// Answers one connection per text. The address of what it serves; more connections are refused.
fn serve(answers: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.json", listener.local_addr().unwrap());
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            // Whoever asked may not want all of it.
            let _ = stream.write_all(&answer);
        }
    });
    url
}

fn ok(body: &[u8], announced: usize) -> Vec<u8> {
    let mut text =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n").into_bytes();
    text.extend_from_slice(body);
    text
}

fn moved(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        .into_bytes()
}

fn web(url: &str) -> Address {
    Address::of(url).unwrap()
}

fn silent() -> Progress<'static> {
    progress(&|_| {})
}

fn progress(tell: Tell<'_>) -> Progress<'_> {
    static NOBODY: LazyLock<Cancel> = LazyLock::new(Cancel::default);
    Progress::new(Asker { tell, cancel: &NOBODY }, "x")
}

fn list(at: &Address) -> Result<Vec<u8>, FetchError> {
    super::list(at, &Cancel::default())
}

fn code(error: &FetchError) -> Code {
    error.failure(|code, why| Failure::new(code).with_message(why)).code
}

#[test]
fn addresses_lead_to_the_net_or_to_a_file() {
    assert_eq!(Address::of("file:///srv/a b").unwrap(), Address::File("/srv/a b".into()));
    for url in ["http://x/y?z=1", "HTTPS://x"] {
        assert_eq!(Address::of(url).unwrap(), Address::Web(url.to_owned()));
    }
    for url in ["", "x", "file://x/y", "ftp://x/y", "-o/etc/passwd", "javascript:1", "é"] {
        assert!(matches!(Address::of(url), Err(FetchError::NoAddress(_))), "{url}");
    }
}

#[test]
fn lists_come_whole_through_redirections() {
    let last = serve(vec![ok(b"{}", 2)]);
    let first = serve(vec![moved(&last)]);
    assert_eq!(list(&web(&first)).unwrap(), b"{}");
}

#[test]
fn an_archive_is_hashed_and_its_progress_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..1_000_000).map(|n: u32| n.to_le_bytes()[1]).collect();
    let url = serve(vec![moved(&serve(vec![ok(&bytes, bytes.len())]))]);
    let told = Mutex::new(Vec::new());
    let tell = |reply| {
        if let Reply::Progress { permille, .. } = reply {
            told.lock().unwrap().push(permille);
        }
    };
    let mut fetched = archive(&web(&url), folder.path(), &progress(&tell)).unwrap();
    let mut read = Vec::new();
    fetched.file.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    assert_eq!(fetched.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
    let told = told.into_inner().unwrap();
    assert_eq!((told.first(), told.last()), (Some(&None), Some(&Some(999))));
    assert!(told.is_sorted());
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "it has no name");

    // The same from a file.
    let path = folder.path().join("a.tar");
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    let mut local = archive(&Address::File(path), folder.path(), &silent()).unwrap();
    assert_eq!((local.sha256, local.file.stream_position().unwrap()), (fetched.sha256, 0));
}

#[test]
fn what_is_cut_off_is_no_archive() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(vec![ok(b"half", 8)]);
    let error = archive(&web(&url), folder.path(), &silent()).unwrap_err();
    assert!(matches!(error, FetchError::Curl(ToolError::Failed { .. })), "{error:?}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn redirections_end_and_never_lead_to_a_file() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let round = serve(vec![moved("/a.json"); 12]);
    let error = list(&web(&round)).unwrap_err();
    let failure = error.failure(|code, why| Failure::new(code).with_message(why));
    assert!(failure.message.contains("redirects") && failure.hint.is_some(), "{failure:?}");
    let file = serve(vec![moved("file:///etc/passwd")]);
    assert!(list(&web(&file)).is_err());
    assert_eq!(code(&list(&web(&own)).unwrap_err()), Code::CannotConnect);
    let missing =
        serve(vec![b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()]);
    assert_eq!(code(&list(&web(&missing)).unwrap_err()), Code::HttpNotFound);
}

#[test]
fn a_list_has_a_largest_size_wherever_it_is() {
    let large = vec![b' '; usize::try_from(LIST_MAX).unwrap() + 1];
    let url = serve(vec![ok(&large, large.len())]);
    assert!(matches!(list(&web(&url)), Err(FetchError::TooLarge { .. })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.json");
    File::create(&path).unwrap().set_len(LIST_MAX + 1).unwrap();
    assert!(matches!(list(&Address::File(path.clone())), Err(FetchError::TooLarge { .. })));
    File::options().write(true).open(&path).unwrap().set_len(LIST_MAX).unwrap();
    assert_eq!(list(&Address::File(path)).unwrap().len() as u64, LIST_MAX);
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    for path in [pipe, "/dev/zero".into(), folder.path().to_owned()] {
        assert!(matches!(list(&Address::File(path)), Err(FetchError::NotRegular { .. })));
    }
    assert_eq!(code(&list(&Address::File(folder.path().join("none"))).unwrap_err()), Code::FileNotFound);
}

#[test]
fn the_size_is_that_of_the_last_response() {
    let total = AtomicU64::new(0);
    for line in ["HTTP/1.1 302 Found", "Content-Length: 5", "HTTP/2 200", "x: y"] {
        note_length(line, &total);
    }
    assert_eq!(total.load(Ordering::Relaxed), 0);
    note_length("content-length: 70", &total);
    assert_eq!(total.load(Ordering::Relaxed), 70);
}
