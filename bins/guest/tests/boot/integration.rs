//! WSL integration as a distribution sees it: folders of the host, and the link to the Docker socket.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use sampan_model::docker_cli::{PLACE as CLI, SHIM_PLACE as BIN};
use sampan_model::guest::{BootRoot, BootSpec, ControlReply, ControlRequest, IntegrationSpec};
use sampan_model::integration::PLACE;
use sampan_sys::socket;

use crate::machine::{IDS, Machine, run, try_run};
use crate::{mounts_inside, started, world};

const LINK: &str = "/run/docker.sock";
const OLD_LINK: &str = "/var/run/docker.sock";
const SOCKET: &str = "/run/sampan/integration/docker.sock";

/// The folders on the host, and whoever listens at the socket.
struct Host {
    spec: IntegrationSpec,
    _listener: UnixListener,
}

impl Host {
    /// The socket belongs to root and group 5 of the distribution.
    fn new(machine: &Machine, name: &str, base: u32) -> Self {
        let place = |kind: &str| machine.folder().join(format!("{kind}-{name}"));
        let spec = IntegrationSpec { folder: place("own"), cli: place("cli"), bin: place("bin"), on: true };
        fs::create_dir(&spec.folder).expect("folder");
        fs::write(spec.folder.join("notice.json"), name).expect("file");
        fs::create_dir(&spec.cli).expect("folder");
        fs::write(spec.cli.join("docker"), "cli").expect("file");
        let socket = spec.folder.join("docker.sock");
        let listener = UnixListener::bind(&socket).expect("socket");
        chown(&socket, Some(base), Some(base + 5)).expect("owner");
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).expect("mode");
        Self { spec, _listener: listener }
    }
}

/// A distribution of each version with a real folder `/var/run`; version 1 is the second.
fn both(machine: &mut Machine) -> [(BootSpec, Host); 2] {
    machine.start_hub();
    let old = |name: &str| fs::create_dir_all(machine.tree(name).join("var/run")).expect("folder");
    ["two", "one"].map(|name| {
        old(name);
        let root = if name == "two" { machine.image_root(name, false) } else { machine.folder_root(name) };
        let host = Host::new(machine, name, IDS.base);
        (BootSpec { integration: Some(host.spec.clone()), ..machine.spec(name, root) }, host)
    })
}

fn integrate(spec: &BootSpec, on: bool) -> Vec<String> {
    let control = socket::connect_seqpacket(&spec.control).expect("connect");
    world::send(&control, &ControlRequest::Integrate { on }, &[]);
    match world::reply(&control) {
        Some(ControlReply::Integrated { warnings }) => warnings,
        other => panic!("{other:?}"),
    }
}

fn options(machine: &Machine, spec: &BootSpec, at: &str) -> Option<String> {
    let mounts = mounts_inside(machine, spec);
    mounts.into_iter().find(|mount| mount.mount_point == Path::new(at)).map(|mount| mount.options)
}

pub(crate) fn folders_are_seen_and_nothing_in_them_changes() {
    let mut machine = Machine::new();
    for (spec, _host) in both(&mut machine) {
        assert_eq!(started(&machine, &spec), [""; 0]);
        for at in [PLACE, CLI] {
            let options = options(&machine, &spec, at).expect("it is mounted");
            for option in ["ro", "nosuid", "nodev"] {
                assert!(options.split(',').any(|one| one == option), "{at}: {options}");
            }
        }
        assert_eq!(options(&machine, &spec, BIN), None, "that folder is not there, which is no matter");
        run(&spec, "content_is", &[&format!("{PLACE}/notice.json"), &spec.name]);
        run(&spec, "content_is", &[&format!("{CLI}/docker"), "cli"]);
        run(&spec, "owner_is", &[SOCKET, "0", "5"]);
        for link in [LINK, OLD_LINK] {
            run(&spec, "link_is", &[link, SOCKET]);
            run(&spec, "connect_as", &["0", "0", link]);
            run(&spec, "connect_as", &["1000", "5", link]);
            try_run(&spec, "connect_as", &["1000", "1000", link]).expect_err("not of that group");
        }
        for file in ["docker.sock", "notice.json"] {
            run(&spec, "not_removed", &[PLACE, file]);
        }
        run(&spec, "not_removed", &[CLI, "docker"]);
        // What the host does there is seen at once.
        let folder = &spec.integration.as_ref().expect("set above").folder;
        fs::write(folder.join("later"), "new").expect("file");
        run(&spec, "content_is", &[&format!("{PLACE}/later"), "new"]);
    }
    let host = Host::new(&machine, "privileged", 0);
    let spec = machine.spec("privileged", machine.folder_root("privileged"));
    let spec = BootSpec { ids: None, integration: Some(host.spec.clone()), ..spec };
    assert_eq!(started(&machine, &spec), [""; 0]);
    run(&spec, "owner_is", &[SOCKET, "0", "5"]);
    run(&spec, "connect_as", &["0", "0", LINK]);
}

pub(crate) fn the_link_follows_the_switch_and_spares_what_is_foreign() {
    let mut machine = Machine::new();
    for (mut spec, _host) in both(&mut machine) {
        started(&machine, &spec);
        for _ in 0..2 {
            assert_eq!(integrate(&spec, false), [""; 0]);
        }
        for link in [LINK, OLD_LINK] {
            run(&spec, "link_is", &[link]);
        }
        assert_eq!(integrate(&spec, true), [""; 0]);
        for link in [LINK, OLD_LINK] {
            run(&spec, "link_is", &[link, SOCKET]);
        }
        integrate(&spec, false);
        run(&spec, "make", &[LINK]);
        let warnings = integrate(&spec, true);
        assert!(warnings.len() == 1 && warnings[0].contains(LINK), "{warnings:?}");
        run(&spec, "link_is", &[OLD_LINK, SOCKET]);
        assert_eq!(integrate(&spec, false), [""; 0]);
        run(&spec, "content_is", &[LINK, ""]);

        // What is on the disk goes with the switch, too.
        integrate(&spec, true);
        machine.stop(&spec);
        spec.integration.as_mut().expect("set above").on = false;
        assert_eq!(started(&machine, &spec), [""; 0]);
        for link in [LINK, OLD_LINK] {
            run(&spec, "link_is", &[link]);
        }
        run(&spec, "make", &[OLD_LINK]);
        machine.stop(&spec);
        spec.integration.as_mut().expect("set above").on = true;
        let warnings = started(&machine, &spec);
        assert!(warnings.len() == 1 && warnings[0].contains(OLD_LINK), "{warnings:?}");
        run(&spec, "content_is", &[OLD_LINK, ""]);
        run(&spec, "link_is", &[LINK, SOCKET]);
    }
}

pub(crate) fn without_its_folder_it_starts_all_the_same() {
    let machine = Machine::new();
    let none = |name: &str| PathBuf::from("/no/such/folder").join(name);
    let integration = IntegrationSpec { folder: none("own"), cli: none("cli"), bin: none("bin"), on: true };
    let root: BootRoot = machine.folder_root("one");
    let spec = BootSpec { integration: Some(integration), ..machine.spec("one", root) };
    let warnings = started(&machine, &spec);
    assert!(warnings.len() == 1 && warnings[0].starts_with("/run/sampan/integration is missing: "));
    run(&spec, "link_is", &[LINK, SOCKET]);
}
