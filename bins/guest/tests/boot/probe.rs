//! What root inside a distribution tries. A probe succeeds when the promise holds. None changes anything of the host, also
//! where nothing stops it: files are only opened, and values are invalid.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{CWD, FileType, makedev};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use rustix::thread::{ClockId, Timespec};
use sampan_sys::mount::{self, MountFlags};
use sampan_sys::namespace::{self, IdMap, Namespaces};
use sampan_sys::process::{self, ExitKind, Forked};

/// First argument of a probe.
pub(crate) const WORD: &str = "probe-inside";

type Outcome = Result<(), String>;
type Probe = (&'static str, fn(&[String]) -> Outcome);

/// What must be refused.
pub(crate) const REFUSED: &[Probe] = &[
    ("core_pattern", |_| closed("/proc/sys/kernel/core_pattern")),
    ("core_pattern_remounted", |_| {
        let _ = mount::remount_bind_rw(Path::new("/proc/sys"));
        closed("/proc/sys/kernel/core_pattern")
    }),
    ("core_pattern_unmounted", |_| {
        let _ = mount::unmount(Path::new("/proc/sys"), false);
        closed("/proc/sys/kernel/core_pattern")
    }),
    ("core_pattern_of_a_fresh_proc", |_| {
        let _ = mount_on_tmp("proc", "");
        closed("/tmp/mount/sys/kernel/core_pattern")
    }),
    ("swappiness_of_a_fresh_proc", |_| closed("/tmp/mount/sys/vm/swappiness")),
    ("remounted_sysfs", |_| {
        let _ = mount::remount_bind_rw(Path::new("/sys"));
        closed("/sys/kernel/mm/transparent_hugepage/enabled")
    }),
    ("fresh_sysfs", |_| {
        let _ = mount_on_tmp("sysfs", "");
        closed("/tmp/mount/kernel/mm/transparent_hugepage/enabled")
    }),
    ("debugfs", |_| not_mounted("debugfs")),
    ("tracefs", |_| not_mounted("tracefs")),
    ("securityfs", |_| not_mounted("securityfs")),
    ("devtmpfs", |_| not_mounted("devtmpfs")),
    ("new_cgroup_hierarchy", |_| match mount_on_tmp("cgroup", "none,name=sampan-probe") {
        Ok(()) => Err("mounted".to_owned()),
        Err(_) => Ok(()),
    }),
    ("limits_of_the_outer_cgroup", |_| {
        let _ = mount_on_tmp("cgroup", "memory");
        closed("/tmp/mount/memory.limit_in_bytes")
    }),
    ("foreign_devices", foreign_devices),
    ("clock", |_| {
        let never = Timespec { tv_sec: -1, tv_nsec: -1 };
        match rustix::time::clock_settime(ClockId::Realtime, never) {
            Err(Errno::PERM) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }),
    ("kernel_memory", |_| match fs::metadata("/proc/kcore") {
        Ok(found) if found.len() > 0 => Err("it has something in it".to_owned()),
        _ => Ok(()),
    }),
    ("signal_outside", |arguments| {
        let pid = arguments.first().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        match rustix::process::kill_process(pid.ok_or("which process?")?, Signal::WINCH) {
            Err(Errno::SRCH) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }),
    ("write_this_program", |_| {
        let _ = mount::remount_bind_rw(Path::new("/run/sampan/guest"));
        closed("/run/sampan/guest")
    }),
    ("shared_network", |_| match namespace::set_loopback_up() {
        Err(error) if error.errno() == Errno::PERM => Ok(()),
        other => Err(format!("{other:?}")),
    }),
    ("first_process", |_| {
        for file in ["exe", "root/etc/passwd", "fd/2", "environ", "mem"] {
            let path = Path::new("/proc/1").join(file);
            if fs::read_link(&path).is_ok() || File::open(&path).is_ok() {
                return Err(format!("{} is open", path.display()));
            }
        }
        Ok(())
    }),
];

/// What must work.
pub(crate) const NEEDED: &[Probe] = &[
    ("devices", |_| {
        for name in ["null", "zero", "full", "random", "urandom", "ptmx", "fd/0"] {
            said(File::open(Path::new("/dev").join(name)), name)?;
        }
        let tty = said(fs::metadata("/dev/tty"), "/dev/tty")?;
        check(tty.uid() == 0 && tty.mode() & 0o777 == 0o666, "/dev/tty is root's, for all")
    }),
    ("places_to_write", |_| {
        for folder in ["/run", "/run/lock", "/dev/shm", "/dev/mqueue", "/tmp", "/mnt"] {
            said(File::create(Path::new(folder).join("file")), folder)?;
        }
        Ok(())
    }),
    ("owners", |_| {
        said(File::create("/tmp/owned"), "/tmp/owned")?;
        said(chown("/tmp/owned", Some(1000), Some(65_535)), "chown")?;
        let owned = said(fs::metadata("/tmp/owned"), "/tmp/owned")?;
        check((owned.uid(), owned.gid()) == (1000, 65_535), "the owner is the one that was set")
    }),
    ("own_mounts", |_| {
        mount_on_tmp("tmpfs", "mode=0700").map_err(|error| error.to_string())?;
        mount::bind(Path::new("/etc"), Path::new("/tmp/mount"), false).map_err(|error| error.to_string())
    }),
    ("own_cgroups", |_| {
        if !Path::new("/sys/fs/cgroup/cgroup.procs").exists() {
            return Ok(());
        }
        said(fs::create_dir("/sys/fs/cgroup/probe"), "a cgroup")?;
        said(fs::write("/sys/fs/cgroup/probe/cgroup.procs", "0"), "a cgroup")
    }),
    ("nested_user_namespace", |_| {
        nested(|| mount_on_tmp("proc", "").and_then(|()| mount_on_tmp("sysfs", "")).is_ok())
    }),
    ("low_ports_or_the_host_s_rule", |_| {
        // Version 1 has the host's network, and so the host's rule.
        let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
        let bound = std::net::TcpListener::bind(("127.0.0.1", 81)).is_ok();
        check(bound == (first.trim() == "0"), "port 81")
    }),
];

/// Probes with arguments.
const OTHERS: &[Probe] = &[
    ("make", |arguments| said(File::create(&arguments[0]), &arguments[0]).map(drop)),
    ("is_there", |arguments| said(fs::metadata(&arguments[0]), &arguments[0]).map(drop)),
    ("content_is", |arguments| {
        let text = said(fs::read_to_string(&arguments[0]), &arguments[0])?;
        check(text == arguments[1], &text)
    }),
    ("host_name_is", |arguments| {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        check(name == arguments[0], &name)
    }),
    ("owner_is", |arguments| {
        let found = said(fs::metadata(&arguments[0]), &arguments[0])?;
        let owner = [found.uid().to_string(), found.gid().to_string()];
        check(owner == arguments[1..], &format!("{owner:?}"))
    }),
    ("link_is", |arguments| {
        let found = fs::read_link(&arguments[0]).ok().map(|target| target.to_string_lossy().into_owned());
        check(found.as_ref() == arguments.get(1), &format!("{}: {found:?}", arguments[0]))
    }),
    ("connect_as", |arguments| {
        become_user(&arguments[0], &arguments[1])?;
        said(UnixStream::connect(&arguments[2]), &arguments[2]).map(drop)
    }),
    ("not_removed", |arguments| {
        let folder = Path::new(&arguments[0]);
        let _ = mount::remount_bind_rw(folder);
        let path = folder.join(&arguments[1]);
        check(fs::remove_file(&path).is_err() && path.exists(), "it was removed")?;
        check(File::create(folder.join("new")).is_err(), "there is a new file")
    }),
    ("write_as", |arguments| {
        become_user(&arguments[0], &arguments[0])?;
        said(File::options().append(true).open(&arguments[1]), &arguments[1]).map(drop)
    }),
    ("take", |arguments| said(chown(&arguments[0], Some(0), Some(0)), &arguments[0])),
    ("mount_tmpfs", |arguments| {
        said(fs::create_dir_all(&arguments[0]), &arguments[0])?;
        mount::mount_tmpfs(Path::new(&arguments[0]), "").map_err(|error| error.to_string())
    }),
    ("own_network", |_| {
        namespace::set_loopback_up().map_err(|error| error.to_string())?;
        said(File::options().write(true).open("/proc/sys/net/ipv4/ip_forward"), "ip_forward")?;
        closed("/proc/sys/kernel/core_pattern")?;
        let names = said(fs::read_dir("/sys/class/net"), "/sys/class/net")?;
        check(names.count() == 1, "only lo is there")?;
        said(std::net::TcpListener::bind(("127.0.0.1", 81)), "port 81").map(drop)
    }),
];

/// Runs the probe `name`.
#[expect(clippy::print_stdout, reason = "the test outside reads it")]
pub(crate) fn run(name: &str, arguments: &[String]) -> ExitCode {
    let found = REFUSED.iter().chain(NEEDED).chain(OTHERS).find(|(known, _)| *known == name);
    let outcome = found.map_or(Err("no such probe".to_owned()), |(_, probe)| probe(arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn said<T>(result: std::io::Result<T>, object: &str) -> Result<T, String> {
    result.map_err(|error| format!("{object}: {error}"))
}

fn check(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn become_user(uid: &str, gid: &str) -> Outcome {
    let id = |text: &str| text.parse::<u32>().map_err(|_| "who?".to_owned());
    let (uid, gid) = (rustix::process::Uid::from_raw(id(uid)?), rustix::process::Gid::from_raw(id(gid)?));
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(gid, gid, gid))
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
        .map_err(|error| error.to_string())
}

/// The file is not there or cannot be written to.
fn closed(path: &str) -> Outcome {
    match File::options().write(true).open(path) {
        Ok(_) => Err(format!("{path} can be written to")),
        Err(_) => Ok(()),
    }
}

fn mount_on_tmp(fstype: &str, options: &str) -> sampan_sys::Result<()> {
    let _ = fs::create_dir("/tmp/mount");
    mount::mount_fs(fstype, "probe", Path::new("/tmp/mount"), MountFlags::empty(), options)
}

fn not_mounted(fstype: &str) -> Outcome {
    match mount_on_tmp(fstype, "") {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{fstype} can be mounted")),
    }
}

/// Devices that nodes may be made of, but that do not open.
fn foreign_devices(_: &[String]) -> Outcome {
    for (name, kind, major, minor) in [
        ("mem", FileType::CharacterDevice, 1, 1),
        ("kmsg", FileType::CharacterDevice, 1, 11),
        ("console", FileType::CharacterDevice, 5, 1),
        ("loop-control", FileType::CharacterDevice, 10, 237),
        ("kvm", FileType::CharacterDevice, 10, 232),
        ("loop0", FileType::BlockDevice, 7, 0),
    ] {
        for folder in ["/tmp", "/dev", "/dev/shm"] {
            let path = Path::new(folder).join(name);
            let _ = rustix::fs::mknodat(CWD, &path, kind, 0o666.into(), makedev(major, minor));
            match File::open(&path).map_err(|error| error.raw_os_error()) {
                // Not even made; refused; or (where devices open in general) refused by the rules.
                Err(Some(code))
                    if [Errno::NOENT, Errno::PERM, Errno::ACCESS]
                        .iter()
                        .any(|e| e.raw_os_error() == code) => {}
                other => return Err(format!("{}: {other:?}", path.display())),
            }
        }
    }
    Ok(())
}

/// Whether `body` is true as root of a user namespace made by an ordinary user.
fn nested(body: fn() -> bool) -> Outcome {
    let (wait, go) = rustix::pipe::pipe().map_err(|error| error.to_string())?;
    let kinds = Namespaces::USER | Namespaces::MOUNT | Namespaces::PID | Namespaces::NET;
    match process::clone_into(kinds).map_err(|error| error.to_string())? {
        Forked::Child => {
            drop(go);
            let _ = rustix::io::read(&wait, &mut [0; 1]);
            process::exit_now(i32::from(!body()))
        }
        Forked::Parent { pid, pidfd } => {
            let mapped = namespace::set_id_maps(pid, &[IdMap { inside: 0, outside: 0, count: 1000 }]);
            drop((go, wait));
            process::wait_exit(&pidfd, None).map_err(|error| error.to_string())?;
            mapped.map_err(|error| error.to_string())?;
            let ended = process::reap();
            check(ended.contains(&(pid, ExitKind::Exited(0))), &format!("{ended:?}"))
        }
    }
}
