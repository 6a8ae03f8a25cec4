//! `sampan-guest boot`: starts a user's distribution.
//!
//! The launcher prepares with the host's rights and view all that a process in a user namespace can't make itself: the
//! root with shifted ids, `/dev`, `/sys`, the host's folders. It stays on the host's side; its one child is born into the
//! new namespaces, builds the root of what it was handed, gives up what would reach the host, and becomes PID 1. The order
//! of the steps matters, and each trap it avoids is named where it is avoided.

mod cgroup;
mod confinement;
mod folders;
mod ids;
mod integration;
mod names;
mod outside;
mod program;
mod root;
pub(crate) mod settings;

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use sampan_model::guest::{Answer, BootRoot, BootSpec, DistroRecord};
use sampan_sys::mount::{self, Propagation};
use sampan_sys::namespace::{self, Namespaces};
use sampan_sys::process::{self, Forked, ProcessRecord};
use sampan_sys::socket;

pub(crate) use self::cgroup::allow_disks;
use self::outside::Outside;
use crate::server::{Ready, ServerSpec};
use crate::verb;

/// Open files, for each process: the limit, and how far it may be raised. What WSL has.
const FILES: (u64, u64) = (10_240, 1 << 20);
/// Memory that a process may lock.
const LOCKED_MEMORY: u64 = 64 << 20;

/// Starts the distribution and answers when it serves.
pub(crate) fn run(spec: &BootSpec, input: &mut dyn BufRead) -> anyhow::Result<Answer> {
    // What the asker left open may lead out of the distribution. Nothing in this process owns a descriptor yet.
    process::close_fds_from(3, &[])?;
    let mut traces = Traces::default();
    start(spec, input, &mut traces).map_err(|error| {
        traces.remove();
        error.context(format!("cannot start {}", spec.name))
    })
}

fn start(spec: &BootSpec, input: &mut dyn BufRead, traces: &mut Traces) -> anyhow::Result<Answer> {
    let outside = Outside::prepare(spec, traces)?;
    raise_limits();
    let (ready, tell) = std::io::pipe().context("cannot make a pipe")?;
    let (go, wait) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .context("cannot make a pair of sockets")?;
    let mut kinds = Namespaces::MOUNT | Namespaces::PID | Namespaces::UTS;
    if spec.ids.is_some() {
        kinds = kinds | Namespaces::USER;
    }
    let born = match outside.cgroups.birth() {
        Some(cgroup) => process::clone_into_cgroup(kinds, cgroup),
        None => process::clone_into(kinds),
    };
    match born? {
        Forked::Child => {
            drop((ready, go));
            let Err(error) = become_server(spec, &outside, &wait, &tell);
            let last_word = Ready { warnings: Vec::new(), error: Some(verb::chain(&error)) };
            let mut tell = tell;
            // The launcher takes silence for a failure, too.
            let _ = tell.write_all(&serde_json::to_vec(&last_word).unwrap_or_default());
            process::exit_now(1)
        }
        Forked::Parent { pid, pidfd } => {
            drop((tell, wait));
            let started = introduce(spec, pid, traces).and_then(|answer| {
                let root = outside.root(spec, input)?;
                socket::send_message(&go, verb::GO, &[root.as_fd()])?;
                let ready = last_word(&verb::all_of(ready)?, spec)?;
                Ok(answer(ready.warnings))
            });
            if started.is_err() {
                verb::end_child(&pidfd)?;
            }
            started
        }
    }
}

/// Gives the child its ids and its record; the result makes the answer of the warnings.
fn introduce(
    spec: &BootSpec,
    pid: i32,
    traces: &mut Traces,
) -> anyhow::Result<impl FnOnce(Vec<String>) -> Answer> {
    if let Some(range) = spec.ids {
        namespace::set_id_maps(pid, &[ids::all(range)])?;
    }
    let process = verb::process_id(ProcessRecord::of(pid)?);
    let record =
        DistroRecord { name: spec.name.clone(), guid: spec.guid, process: process.clone(), ids: spec.ids };
    // Recorded before it does anything: whoever dies in between, nothing runs that nobody can find.
    traces.files.push(spec.record.clone());
    verb::record(&spec.record, &record)?;
    Ok(move |warnings| Answer::Started { process, warnings })
}

fn last_word(said: &str, spec: &BootSpec) -> anyhow::Result<Ready> {
    if said.is_empty() {
        return Err(anyhow!("its first process died; the log is {}", spec.log.display()));
    }
    let ready: Ready = serde_json::from_str(said).context("its first process is not understood")?;
    match ready.error {
        None => Ok(ready),
        Some(error) => Err(anyhow!(error)),
    }
}

/// The child: from a copy of the launcher to PID 1 of the distribution.
fn become_server(
    spec: &BootSpec,
    outside: &Outside,
    wait: &OwnedFd,
    tell: &PipeWriter,
) -> anyhow::Result<Infallible> {
    // Until the launcher has given it its ids, has recorded it, and has its root.
    let go = socket::recv_message(wait)?.filter(|message| message.bytes == verb::GO);
    let root = go.and_then(|go| go.fds.into_iter().next()).context("the launcher gave up")?;
    outside.cgroups.join()?;
    if spec.ids.is_some() {
        become_root()?;
    }
    process::set_session()?;
    // Made here and not at birth: the root of the first is where the process is now, and the second belongs to who it is now.
    namespace::unshare(Namespaces::CGROUP | Namespaces::IPC)?;
    // Slave, not private: what the host unmounts must leave this short-lived copy too.
    mount::set_propagation(Path::new("/"), Propagation::Slave, true)?;
    let mut warnings = outside.warnings.clone();
    let privileged_network = spec.ids.is_none() && !spec.in_host_network;
    let proc = root::enter(&root)?;
    let mut conf = settings::read(&mut warnings);
    if spec.safe_mode {
        conf.enter_safe_mode();
    }
    if conf.sampan.privileged && spec.ids.is_some() {
        warnings.push(format!(
            "its wsl.conf asks for privileged = true, which only you can allow: `sampan distro set {} --privileged`",
            spec.name
        ));
    }
    let own_network = conf.sampan.private_network || privileged_network;
    root::complete(outside, &proc, spec, conf.sampan.private_network)?;
    let folders = folders::mount(outside, &conf, &mut warnings);
    integration::mount(&outside.integration, &mut warnings);
    if let Some(integration) = &spec.integration {
        warnings.extend(crate::integration::link(integration.on));
    }
    let hostname = names::set(spec, &conf, &mut warnings)?;
    confinement::hide_host_files(own_network)?;
    // As systemd has it: a mount made inside reaches what is started with a copy of the mounts.
    mount::set_propagation(Path::new("/"), Propagation::Shared, true)?;

    let server = ServerSpec {
        name: spec.name.clone(),
        guid: spec.guid,
        version: if matches!(spec.root, BootRoot::Image { .. }) { 2 } else { 1 },
        in_host_network: spec.in_host_network && !conf.sampan.private_network,
        ready_fd: tell.as_raw_fd(),
        control_fd: outside.control.as_raw_fd(),
        paths_fd: outside.paths.as_raw_fd(),
        conf,
        warnings,
        folders,
        idle_timeout_ms: spec.idle_timeout_ms,
        hostname,
    };
    process::clear_cloexec(tell)?;
    process::clear_cloexec(&outside.control)?;
    process::clear_cloexec(&outside.paths)?;
    process::drop_stdio_to_null()?;
    process::redirect(&outside.log, process::Standard::Error)?;
    process::reset_signals();
    confinement::give_up_rights(own_network)?;
    let environment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "HOME=/root".to_owned(),
        "container=sampan".to_owned(),
        format!("container_uuid={}", spec.guid),
        format!("{}={}", ServerSpec::VARIABLE, serde_json::to_string(&server)?),
    ];
    // Executed anew, so that nothing of the launcher is left in the memory of PID 1; and from a copy, so that nothing of it
    // leads outside and nobody inside can look into it.
    Err(process::exec_fd(&outside.server, &["sampan-guest", "server"], &environment).into())
}

/// Until now this is the host's root without a name in the new user namespace.
fn become_root() -> anyhow::Result<()> {
    let (uid, gid) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .context("cannot become root of the user namespace")
}

/// A process in a user namespace can't raise what it was born with.
fn raise_limits() {
    let limit = |resource, soft: Option<u64>, hard: u64| {
        let maximum = rustix::process::getrlimit(resource).maximum;
        let raised = rustix::process::setrlimit(resource, within(soft, maximum.map(|now| now.max(hard))));
        if raised.is_err() {
            // Lower limits are no reason not to start.
            let _ = rustix::process::setrlimit(resource, within(soft, maximum));
        }
    };
    // The service's own limit, which comes along, is as high as may be: too high for programs that use select(2) or close
    // all files that they could have.
    limit(Resource::Nofile, Some(FILES.0), FILES.1);
    let locked = rustix::process::getrlimit(Resource::Memlock).current;
    limit(Resource::Memlock, locked.map(|now| now.max(LOCKED_MEMORY)), LOCKED_MEMORY);
}

/// A limit of `soft`, or of `maximum` if that is less; none is no limit.
fn within(soft: Option<u64>, maximum: Option<u64>) -> Rlimit {
    let current = match (soft, maximum) {
        (Some(soft), Some(maximum)) => Some(soft.min(maximum)),
        (soft, maximum) => soft.or(maximum),
    };
    Rlimit { current, maximum }
}

/// What a start leaves on the host, to be removed if it fails.
#[derive(Default)]
struct Traces {
    files: Vec<PathBuf>,
}

impl Traces {
    /// What can't be removed is found by the next start; the first failure is the one worth telling.
    fn remove(&self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}
