//! `sampan-guest launch`: starts a distribution whose disks are attached to the hub.
//!
//! The launcher stays in the host's namespaces and does what needs the host's view (sockets, cgroups, identity of the
//! result); its one child walks into the hub, builds the root, and becomes PID 1. The order of the steps matters: it
//! is the one proven in practice, and each trap it avoids is named where it is avoided.

mod cgroup;
mod root;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use sampan_model::guest::{Answer, DistroRecord, LaunchSpec};
use sampan_model::ports;
use sampan_sys::device::Node;
use sampan_sys::mount;
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Forked, ProcessRecord};
use sampan_sys::socket::{SocketKind, bind_unix_listener};

use crate::cgroup::Joining;
use crate::filesystems::{host_devices, host_folder, write_fresh};
use crate::init::{Inherited, InitSpec};
use crate::verb;

/// The socket every init serves, next to those that the specification names.
const CONTROL: &str = "control";

/// Starts the distribution and answers when its init is ready.
pub(crate) fn run(spec: &LaunchSpec) -> anyhow::Result<Answer> {
    let outside = Outside::prepare(spec)?;
    let (ready, tell) = std::io::pipe().context("cannot make a pipe")?;
    let (wait, go) = std::io::pipe().context("cannot make a pipe")?;
    let kinds = Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS | Namespaces::IPC;
    match process::clone_into(kinds)? {
        Forked::Child => {
            drop((ready, go));
            let Err(error) = become_init(spec, outside, wait, &tell);
            let mut tell = tell;
            let _ = tell.write_all(verb::chain(&error).as_bytes());
            process::exit_now(1)
        }
        Forked::Parent { pid, pidfd } => {
            drop((tell, wait));
            let process = verb::process_id(ProcessRecord::of(pid)?);
            let record = DistroRecord {
                name: spec.name.clone(),
                guid: spec.guid,
                process: process.clone(),
                ids: None,
            };
            // Recorded before it does anything: whoever dies in between, nothing runs that nobody can find.
            let started = verb::record(&spec.record, &record)
                .and_then(|()| outside.cgroups.join(pid))
                .and_then(|()| match verb::let_go(go, ready)?.as_str() {
                    "ok" => Ok(()),
                    "" => bail!("the new init died; its log is {}", spec.log.display()),
                    message => bail!("{message}"),
                });
            if let Err(error) = started {
                verb::end_child(&pidfd)?;
                return Err(error.context(format!("cannot start {}", spec.name)));
            }
            Ok(Answer::Started { process, warnings: Vec::new() })
        }
    }
}

/// What is opened with the host's view, before the child leaves it.
struct Outside {
    hub: OwnedFd,
    folders: Vec<OwnedFd>,
    devices: Vec<Node<'static>>,
    cgroups: Joining,
    sockets: Vec<(String, OwnedFd)>,
    files: Vec<(String, OwnedFd)>,
    log: File,
    program: OwnedFd,
    docker_proxy: OwnedFd,
}

impl Outside {
    fn prepare(spec: &LaunchSpec) -> anyhow::Result<Self> {
        let hub =
            verb::open_process(&spec.hub)?.context("the hub is gone: `sampan restart` builds a new one")?;
        let folders = spec.folders.iter().map(|folder| host_folder(&folder.from, false));
        let folders = folders.collect::<anyhow::Result<_>>()?;
        let run = spec.sockets.first().and_then(|socket| socket.path.parent());
        let run = run.context("a distribution has at least its control socket")?;
        std::fs::create_dir_all(run).with_context(|| format!("cannot make {}", run.display()))?;
        let mut sockets = Vec::new();
        for socket in &spec.sockets {
            let kind = if socket.name == CONTROL { SocketKind::SeqPacket } else { SocketKind::Stream };
            let listener = bind_unix_listener(&socket.path, kind, socket.mode, socket.gid)?;
            sockets.push((socket.name.clone(), listener));
        }
        let mut files = Vec::new();
        for (name, path) in [("hostnet", "/proc/self/ns/net"), ("hostproc", "/proc")] {
            let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
            files.push((name.to_owned(), file.into()));
        }
        let docker_proxy = host_folder(&spec.docker_proxy, false)
            .with_context(|| format!("{} belongs beside sampan-guest", spec.docker_proxy.display()))?;
        let log = verb::open_log(&spec.log)?;
        let program = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .context("cannot open this program")?;
        let cgroups = Joining::open(cgroup::folders(&spec.cgroup))?;
        let devices = host_devices(root::HOST_DEVICES);
        Ok(Self { hub, folders, devices, cgroups, sockets, files, log, program, docker_proxy })
    }
}

/// The child: from a copy of the launcher to PID 1 of the distribution.
fn become_init(
    spec: &LaunchSpec,
    outside: Outside,
    mut wait: std::io::PipeReader,
    tell: &std::io::PipeWriter,
) -> anyhow::Result<std::convert::Infallible> {
    // Until the launcher has recorded this process and moved it into its cgroups.
    verb::wait_for_go(&mut wait)?;
    drop(wait);
    process::set_session()?;
    process::set_name("sampan-init")?;
    namespace::unshare(Namespaces::CGROUP)?;
    // The network first: a sysfs shows the network namespace of the process that mounts it.
    namespace::enter(&outside.hub, Namespaces::NET)?;
    namespace::enter(&outside.hub, Namespaces::MOUNT)?;
    namespace::unshare(Namespaces::MOUNT)?;
    root::build(spec, &outside.folders, &outside.devices)?;
    // Mounted, not copied: there may be thousands of processes of it, and this tmpfs is the engine's memory.
    write_fresh(Path::new(ports::PROXY), "")?;
    mount::attach(&outside.docker_proxy, Path::new(ports::PROXY))?;
    drop(outside.hub);

    let inherited = |given: &[(String, OwnedFd)]| {
        given.iter().map(|(name, fd)| Inherited { name: name.clone(), fd: fd.as_raw_fd() }).collect()
    };
    let init = InitSpec {
        name: spec.name.clone(),
        guid: spec.guid,
        ready_fd: tell.as_raw_fd(),
        sockets: inherited(&outside.sockets),
        files: inherited(&outside.files),
        services: spec.services.clone(),
        unified: matches!(spec.cgroup, sampan_model::guest::CgroupView::V2 { .. }),
    };
    for (_, given) in outside.sockets.iter().chain(&outside.files) {
        process::clear_cloexec(given)?;
    }
    process::clear_cloexec(tell)?;
    process::drop_stdio_to_null()?;
    process::redirect(&outside.log, process::Standard::Error)?;
    process::reset_signals();
    let mut environment = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "HOME=/root".to_owned(),
        "container=sampan".to_owned(),
        format!("SAMPAN_NETNS={}", spec.netns),
        format!("{}={}", InitSpec::VARIABLE, serde_json::to_string(&init)?),
    ];
    environment.extend(spec.host_gateway.map(|address| format!("SAMPAN_HOST_GATEWAY={address}")));
    // Executed anew, so that the memory of PID 1 belongs to this side of the namespaces.
    Err(process::exec_fd(&outside.program, &["sampan-guest", "init"], &environment).into())
}
