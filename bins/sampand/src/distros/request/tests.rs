use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use sampan_backend::engine::Engine;
use sampan_model::distro::{ENGINE, Guid};
use sampan_model::document::render;
use sampan_model::instance::Instance;
use sampan_model::registry::{Entry, Registry};
use sampan_model::session::{Folder, Program, SessionSpec};
use sampan_model::words::Word;
use sampan_model::wsl::service::Target;
use sampan_native::Native;
use sampan_native::distros::Distros;
use sampan_sys::socket;

use super::*;
use crate::service::Service;

/// A desk over an instance in `base` of which nothing runs.
fn desk(base: &Path) -> Desk {
    let instance = Instance::new("t", &base.join("s"), &base.join("r")).unwrap();
    std::fs::create_dir_all(instance.distros()).unwrap();
    let native = Arc::new(Native::unprepared(instance.clone(), PathBuf::from("/no/such/guest")));
    let engine = Engine::new(instance.clone(), Arc::<Native>::clone(&native));
    Desk {
        instance,
        distros: Distros::new(native),
        service: Arc::new(Service::new(engine)),
        under_way: Mutex::new(0),
        ended: Condvar::new(),
    }
}

/// What a client hears that says `words` with `fds` descriptors.
fn said(desk: &Desk, words: &[u8], fds: usize) -> Vec<Reply> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    socket::send_message(&ours, words, &vec![file.as_fd(); fds]).unwrap();
    let client = Client::new(theirs).unwrap();
    answer(desk, &client);
    drop(client);
    let next = || socket::recv_message(&ours).unwrap();
    std::iter::from_fn(next).map(|message| serde_json::from_slice(&message.bytes).unwrap()).collect()
}

fn asked(desk: &Desk, request: Request, fds: usize) -> Vec<Reply> {
    let state = Word::from(desk.instance.state().as_os_str());
    said(desk, &serde_json::to_vec(&Call { state, request }).unwrap(), fds)
}

/// The last line that `wsl` prints for the only reply.
fn code_path(replies: &[Reply]) -> String {
    let [Reply::Failed { failure }] = replies else { panic!("{replies:?}") };
    let text = failure.clone().in_context(Context::Wsl).render();
    text.lines().last().unwrap().to_owned()
}

fn session(target: Target, system: bool) -> Request {
    let spec = SessionSpec {
        user: None,
        default_uid: 0,
        program: Program::Shell { login: true },
        folder: Folder::Home,
        environment: Vec::new(),
        terminal: None,
        first_run: false,
    };
    Request::Session { target, system, spec: Box::new(spec) }
}

#[test]
fn what_is_no_request_is_answered_too() {
    let base = tempfile::tempdir().unwrap();
    let desk = desk(base.path());
    for words in [&b"{"[..], b"[]", b"{\"state\":\"/x\",\"request\":{\"op\":\"dance\"}}"] {
        assert_eq!(code_path(&said(&desk, words, 0)), "Error code: Wsl/Service/E_INVALIDARG");
    }
    let call = Call { state: "/somewhere/else".into(), request: Request::List };
    let refused = said(&desk, &serde_json::to_vec(&call).unwrap(), 0);
    assert_eq!(code_path(&refused), "Error code: Wsl/Service/E_UNEXPECTED");
    let import = Request::Import {
        name: "d".to_owned(),
        location: base.path().join("d"),
        version: None,
        vhd: false,
        source: "d.tar".to_owned(),
    };
    assert_eq!(code_path(&asked(&desk, import, 0)), "Error code: Wsl/Service/E_INVALIDARG");
}

#[test]
fn an_instance_without_distributions() {
    let base = tempfile::tempdir().unwrap();
    let desk = desk(base.path());
    let done = Reply::Done { installed: None };
    let listed = asked(&desk, Request::List, 0);
    assert_eq!(listed, [Reply::Distributions { distributions: Vec::new() }, done.clone()]);
    assert_eq!(asked(&desk, Request::Status, 0), [Reply::Status { default: None, version: 2 }, done.clone()]);
    assert_eq!(asked(&desk, Request::SetDefaultVersion { version: 1 }, 0), std::slice::from_ref(&done));
    assert_eq!(asked(&desk, Request::Status, 0), [Reply::Status { default: None, version: 1 }, done]);
    let default = asked(&desk, session(Target::Default, false), 3);
    assert!(code_path(&default).contains("--install"), "{default:?}");
    let unknown = asked(&desk, session(Target::Id { id: Guid::NIL }, false), 3);
    assert_eq!(
        code_path(&unknown),
        "Error code: Wsl/Service/CreateInstance/ReadDistroConfig/WSL_E_DISTRO_NOT_FOUND"
    );
}

#[test]
fn e25_a_disk_that_is_gone_and_the_engine_s_own_distribution() {
    let base = tempfile::tempdir().unwrap();
    let desk = desk(base.path());
    let entry = |byte, name| Entry::new(Guid::from_random([byte; 16]), name, 2);
    let registry =
        Registry { distributions: vec![entry(1, ENGINE), entry(2, "lost")], ..Registry::default() };
    let path = desk.instance.registry();
    sampan_sys::fs::write_atomic(&path, render(&registry).as_bytes(), 0o600).unwrap();
    let lost = asked(&desk, session(Target::Name { name: "LOST".to_owned() }, false), 3);
    assert_eq!(code_path(&lost), "Error code: Wsl/Service/CreateInstance/MountDisk/HCS/ERROR_PATH_NOT_FOUND");
    let internal = asked(&desk, session(Target::Name { name: ENGINE.to_owned() }, false), 3);
    assert_eq!(code_path(&internal), "Error code: Wsl/Service/E_ACCESSDENIED");
    let unregister = Request::Unregister { name: ENGINE.to_owned(), force: false };
    assert_eq!(code_path(&asked(&desk, unregister, 0)), "Error code: Wsl/Service/E_ACCESSDENIED");
}

#[test]
fn a_panic_is_a_failure_and_the_next_request_is_served() {
    let Answer::Last(reply) = guarded(|| panic!("on purpose")) else { panic!("it was not handed over") };
    assert_eq!(code_path(&[reply]), "Error code: Wsl/Service/E_UNEXPECTED");
}
