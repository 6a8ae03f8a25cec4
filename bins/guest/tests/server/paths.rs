//! Where the server says that paths of the distribution lead.

use std::os::fd::OwnedFd;
use std::path::Path;

use sampan_model::guest::{ControlReply, ControlRequest};
use sampan_model::integration::{FoundPath, PathAnswer, PathPlace, PathQuestion};
use sampan_sys::socket;

use crate::single::Test;
use crate::world::{Distro, PATIENCE, Plan, sh, until};

pub(crate) const TESTS: &[Test] = &[
    ("links_are_followed_as_users_see_them", links_are_followed_as_users_see_them),
    ("what_is_missing_is_kept", what_is_missing_is_kept),
    ("mounts_inside_are_told", mounts_inside_are_told),
    ("what_others_share_is_told_by_their_names", what_others_share_is_told_by_their_names),
    ("questions_that_are_none_are_refused", questions_that_are_none_are_refused),
    ("who_asks_nothing_holds_up_nobody", who_asks_nothing_holds_up_nobody),
    ("a_link_that_is_swapped_leads_to_one_or_the_other", a_link_that_is_swapped_leads_to_one_or_the_other),
];

fn send(distro: &Distro, bytes: &[u8]) -> OwnedFd {
    let connection = distro.connect_to_paths();
    socket::send_message(&connection, bytes, &[]).expect("question");
    connection
}

fn answer(connection: &OwnedFd) -> PathAnswer {
    let message = socket::recv_message_within(connection, PATIENCE).expect("in time").expect("an answer");
    serde_json::from_slice(&message.bytes).expect("an answer")
}

fn place(distro: &Distro, path: &str) -> PathPlace {
    let question = PathQuestion { path: path.into() };
    answer(&send(distro, &serde_json::to_vec(&question).expect("plain data"))).place
}

/// The path on the root file system, and what is missing of it. The file is compared.
fn on_root(distro: &Distro, path: &str) -> (String, String) {
    match place(distro, path) {
        PathPlace::Root(found) => {
            is_that(distro, &found, &found.path);
            let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
            (text(&found.path), text(&found.missing))
        }
        other => panic!("{path}: {other:?}"),
    }
}

fn is_that(distro: &Distro, found: &FoundPath, inside: &Path) {
    let stat = distro.text(&format!("stat -c '%d %i' '{}'", inside.display()));
    assert_eq!(stat.trim(), format!("{} {}", found.device, found.inode), "{}", inside.display());
}

fn failure(distro: &Distro, path: &str) -> String {
    match place(distro, path) {
        PathPlace::Failed { message } => message,
        other => panic!("{path}: {other:?}"),
    }
}

fn whole(path: &str) -> (String, String) {
    (path.to_owned(), String::new())
}

fn links_are_followed_as_users_see_them() {
    let distro = Distro::start();
    distro.text(
        "mkdir -p /srv/real/deep && cd /srv && echo x > real/file && ln -s /srv/real absolute && \
         ln -s real/../real relative && ln -s ../../../../srv/real up && ln -s absolute again && \
         ln -s /no/where dangling && ln -s loop loop && ln -s there back && ln -s back there && \
         ln -s /proc/1/root magic",
    );
    for (path, leads) in [
        ("/", "/"),
        ("/srv/real/file", "/srv/real/file"),
        ("/srv/absolute", "/srv/real"),
        ("/srv/relative/deep/", "/srv/real/deep"),
        ("/srv/up/file", "/srv/real/file"),
        ("/srv/again/file", "/srv/real/file"),
        // As dockerd reads it, by name.
        ("/srv/absolute/../real/./file", "/srv/real/file"),
        ("/../../srv//real", "/srv/real"),
    ] {
        assert_eq!(on_root(&distro, path), whole(leads), "{path}");
    }
    for path in
        ["/srv/dangling", "/srv/dangling/x", "/srv/loop/x", "/srv/back", "/srv/magic/etc", "/srv/real/file/x"]
    {
        failure(&distro, path);
    }
    // The kernel follows 40 of them.
    distro.text("mkdir /srv/many; cd /srv/many; touch 0; for i in $(seq 3000); do ln -s $((i-1)) $i; done");
    assert_eq!(on_root(&distro, "/srv/many/40"), whole("/srv/many/0"));
    failure(&distro, "/srv/many/3000");
}

fn what_is_missing_is_kept() {
    let distro = Distro::start();
    distro.text(
        "mkdir -p '/srv/a b:c' && ln -s '/srv/a b:c' /srv/link && mkdir \"/srv/$(printf 'new\\nline ü')\"",
    );
    for (path, existing, missing) in [
        ("/none", "/", "none"),
        ("/srv/a b:c/x/y", "/srv/a b:c", "x/y"),
        ("/srv/link/ü \n:", "/srv/a b:c", "ü \n:"),
        ("/srv/new\nline ü/x", "/srv/new\nline ü", "x"),
    ] {
        assert_eq!(on_root(&distro, path), (existing.to_owned(), missing.to_owned()));
    }
    let message = failure(&distro, &format!("/{}", "x".repeat(300)));
    assert!(message.contains("too long"), "{message}");
    failure(&distro, &"/x".repeat(5000));
    distro.text("cd /srv && mkdir \"$(printf '\\377')\" && ln -s \"$(printf '\\377')\" bytes");
    assert!(failure(&distro, "/srv/bytes").contains("not UTF-8"));
}

fn mounts_inside_are_told() {
    let distro = Distro::start();
    distro.text(
        "mkdir -p /srv/ram /srv/data/deep /srv/bound /srv/link && mount -t tmpfs ram /srv/ram && mkdir /srv/ram/x && \
         mount --bind /srv/data /srv/bound && ln -s /srv/ram/x /srv/link/ram",
    );
    let foreign = |path: &str| match place(&distro, path) {
        PathPlace::Foreign { mount, kind } => (mount.to_str().expect("UTF-8").to_owned(), kind),
        other => panic!("{path}: {other:?}"),
    };
    for (path, mount) in [
        ("/srv/ram", "/srv/ram"),
        ("/srv/link/ram/new", "/srv/ram"),
        ("/run", "/run"),
        ("/run/some.sock", "/run"),
    ] {
        assert_eq!(foreign(path), (mount.to_owned(), "tmpfs".to_owned()), "{path}");
    }
    // Its own files, by another way.
    let PathPlace::Root(found) = place(&distro, "/srv/bound/deep/new") else {
        panic!("a bind mount of the disk")
    };
    assert_eq!((found.path.to_str(), found.missing.to_str()), (Some("/srv/data/deep"), Some("new")));
    is_that(&distro, &found, Path::new("/srv/data/deep"));
    // A name that the mount table has to escape.
    distro.text("d=\"$(printf '/srv/new\\nline \\\\040')\" && mkdir \"$d\" && mount -t tmpfs ram \"$d\"");
    assert_eq!(foreign("/srv/new\nline \\040/x").0, "/srv/new\nline \\040");
    for (path, kernel_s) in [
        ("/proc", "/proc"),
        ("/proc/self/status", "/proc/self/status"),
        ("/sys/fs", "/sys/fs"),
        ("/dev/null", "/dev/null"),
        ("/dev", "/dev"),
        ("/etc/../dev/zero", "/dev/zero"),
    ] {
        assert_eq!(place(&distro, path), PathPlace::Kernel { path: kernel_s.into() });
    }
    assert_eq!(foreign("/dev/pts").1, "devpts");
}

fn what_others_share_is_told_by_their_names() {
    let mut plan =
        Plan { folders: vec![("/job", "/m/host/job"), ("/job/x/in", "/m/host/job/x/in")], ..Plan::default() };
    "/m/".clone_into(&mut plan.conf.automount.root);
    let distro = Distro::of(&plan);
    distro.text(
        "mkdir -p /m/host/job /m/wsl /bound /run/sampan/integration && mount -t tmpfs job /m/host/job && \
         mkdir -p /m/host/job/deep /m/host/job/x/in && mount -t tmpfs in /m/host/job/x/in && \
         mount -t tmpfs wsl /m/wsl && mkdir /m/wsl/disk && mount -t tmpfs disk /m/wsl/disk && mkdir /m/wsl/disk/d && \
         mount --bind /m/host/job/deep /bound && ln -s /m/host/job/deep /srv && \
         touch /run/sampan/integration/docker.sock && ln -s sampan/integration/docker.sock /run/docker.sock && \
         ln -s /run/docker.sock /my.sock",
    );
    let host = |path: &str| match place(&distro, path) {
        PathPlace::Host(found) => format!("{}+{}", found.path.display(), found.missing.display()),
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(host("/m/host/job"), "/job+");
    assert_eq!(host("/m/host/job/deep/new"), "/job/deep+new");
    assert_eq!(host("/m/host/job/x/in/y"), "/job/x/in+y");
    assert_eq!(host("/srv"), "/job/deep+");
    assert_eq!(host("/bound/new"), "/job/deep+new", "by a bind mount");
    let shared = |path: &str| match place(&distro, path) {
        PathPlace::Shared(found) => format!("{}+{}", found.path.display(), found.missing.display()),
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(shared("/m/wsl"), "/+");
    assert_eq!(shared("/m/wsl/disk/d/new"), "/disk/d+new");
    // What is above the folders of the host, and beside them, is the host's to refuse, and nothing on this disk.
    distro.text("mkdir -p /m/host/var/deep && ln -s /m/host/etc /etc-of-host");
    assert_eq!(host("/m/host"), "/+");
    assert_eq!(host("/m/host/etc/new"), "/etc/new+");
    assert_eq!(host("/m/host/var/deep"), "/var/deep+");
    assert!(failure(&distro, "/etc-of-host").contains("No such file"));
    assert_eq!(on_root(&distro, "/m"), whole("/m"));
    for path in ["/run/docker.sock", "/my.sock", "/run/sampan/integration/docker.sock"] {
        assert_eq!(place(&distro, path), PathPlace::Socket);
    }
    let question = serde_json::to_vec(&PathQuestion { path: "/".into() }).expect("plain data");
    assert_eq!(answer(&send(&distro, &question)).automount, Path::new("/m"));
}

fn questions_that_are_none_are_refused() {
    let distro = Distro::start();
    for bytes in [b"".as_slice(), b"?", b"{}", b"{\"path\":7}", &vec![b'['; 100 << 10], &vec![b' '; 3 << 20]]
    {
        let place = answer(&send(&distro, bytes)).place;
        assert!(matches!(place, PathPlace::Failed { .. }), "{place:?}");
    }
    let place = answer(&send(&distro, br#"{"path":"/a\u0000b"}"#)).place;
    assert!(matches!(place, PathPlace::Failed { .. }), "{place:?}");
    // No message at all, and one that is longer than any.
    let connection = distro.connect_to_paths();
    socket::send_fds(&connection, b"?", &[]).expect("send");
    assert!(socket::recv_message_within(&connection, PATIENCE).expect("in time").is_none());
    let connection = distro.connect_to_paths();
    // The socket may take it or not.
    let _ = socket::send_fds(&connection, &vec![b'='; 150 << 10], &[]);
    drop(connection);
    assert_eq!(on_root(&distro, "/root"), whole("/root"));
}

fn who_asks_nothing_holds_up_nobody() {
    let distro = Distro::start();
    let silent: Vec<OwnedFd> = (0..100).map(|_| distro.connect_to_paths()).collect();
    // Only as many at once as there is room for.
    let count = "grep -lx sampan-paths /proc/[0-9]*/comm 2>/dev/null | wc -l";
    until("they are served", || distro.text(count).trim() == "16");
    assert!(matches!(distro.ask(&ControlRequest::Hello), ControlReply::Hello { .. }));
    assert_eq!(distro.sh("exit 3").code(), Some(3));
    drop(silent);
    assert_eq!(on_root(&distro, "/root"), whole("/root"));
    // One that stays silent is let go of.
    let silent = distro.connect_to_paths();
    assert!(socket::recv_message_within(&silent, PATIENCE).expect("in time").is_none());
}

fn a_link_that_is_swapped_leads_to_one_or_the_other() {
    let distro = Distro::start();
    distro.text("mkdir -p /srv/one/x /srv/two/x && ln -s one /srv/link && ln -s /srv/two /srv/next");
    let swap = "touch /tmp/swapping; while :; do ln -sfn /srv/two /srv/new; mv -fT /srv/new /srv/link; \
                ln -sfn ../srv/one /srv/new; mv -fT /srv/new /srv/link; done";
    let _swapping = distro.open(&sh(swap));
    until("it swaps", || distro.sh("test -e /tmp/swapping").code() == Some(0));
    for _ in 0..200 {
        match place(&distro, "/srv/link/x") {
            PathPlace::Root(found) => {
                assert!(["/srv/one/x", "/srv/two/x"].iter().any(|path| found.path == Path::new(path)));
                assert_eq!(found.missing, Path::new(""));
                is_that(&distro, &found, &found.path);
            }
            // The kernel can't vouch for `..` while others rename.
            PathPlace::Failed { message } => {
                assert!(message.contains("temporarily unavailable"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}
