//! Starting a user's distribution.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use sampan_backend::platform::Platform;
use sampan_backend::settings;
use sampan_model::api::Event;
use sampan_model::config::value::Milliseconds;
use sampan_model::guest::{BootRoot, BootSpec, DistroCgroup};
use sampan_model::instance::Instance;
use sampan_model::integration;
use sampan_model::registry::Entry;
use sampan_model::settings::Settings;
use sampan_model::wsl::error::{Code, Context, Failure};
use sampan_model::wsl::hosts::TooLarge;
use sampan_model::wsl::service::Reply;
use sampan_sys::loopdev;

use super::failure::failure;
use super::fsck::{self, Repair};
use super::ids::Reserved;
use super::storage::cannot;
use super::{Distros, Tell, room, watch};
use crate::distro::{DistroError, Running, control_socket, record};
use crate::hub::{Hub, shared_folders};
use crate::layer::Layer;
use crate::tools::ToolError;
use crate::tools::guest::GuestError;
use crate::wslconfig::HostConfig;
use crate::{cgroup, disk, resolver};

/// How long a distribution runs on without a session, unless `.wslconfig` says otherwise. What WSL waits.
const IDLE: Duration = Duration::from_secs(15);

/// The largest `/etc/hosts` whose entries are handed on, in bytes. WSL's own limit.
const HOSTS_MAX: u64 = 8 << 20;

/// The root file system of a distribution of version 1, below its folder.
pub(super) const TREE: &str = "rootfs/fs";

impl Distros {
    /// Starts a stopped distribution. The caller has its turn.
    pub(super) fn boot(&self, entry: &Entry, tell: Tell<'_>) -> Result<(), Failure> {
        let booted = self.try_boot(entry, tell);
        let why = booted.as_ref().err().map(ToString::to_string);
        self.native.integration.remember_start(&entry.guid, why);
        booted.map_err(|failure| failure.in_context(Context::CreateInstance))
    }

    fn try_boot(&self, entry: &Entry, tell: Tell<'_>) -> Result<(), Failure> {
        let native = &*self.native;
        let warn = |message: String| tell(Reply::Warning { message });
        let sink = |event: Event| {
            if let Event::Warning { message } = event {
                warn(message);
            }
        };
        let file = HostConfig::read();
        file.warnings.iter().cloned().for_each(warn);
        let settings = settings::load(&native.instance.settings()).map_err(failure)?;
        find_storage(&native.instance, entry)?;
        if native.has_traces_of(&entry.guid).map_err(failure)? {
            native.clear_after(&entry.guid).map_err(failure)?;
        }

        let _ground = native.stand();
        native.prepare(&sink).map_err(failure)?;
        native.ensure_not_attached(&disk::image_of(&native.instance, entry))?;
        let limit = file.values.distribution_start_timeout.duration().unwrap_or(Duration::MAX);
        let reserved = self.reserve_ids(entry)?;
        let mut root = self.root(entry)?;
        native.layers.free_for_repair(entry).map_err(failure)?.into_iter().for_each(warn);
        let checked = repair_known(entry, &mut root, tell)?;
        // Whoever looks after a service that was killed now sees that a start was under way.
        let run = native.instance.distro_run(&entry.guid);
        fs::create_dir_all(&run).map_err(|error| cannot("make", &run, &error))?;
        // As early as can be, for it takes the longest.
        let layer = begin_layer(&root);
        let mut spec = self.spec(entry, root, &file, &settings, tell)?;
        spec.ids = reserved.as_ref().map(|reserved| reserved.range);
        // Before: it sees the folder. After: its groups can be seen.
        native.publish_askers_for(Some(&spec)).into_iter().for_each(warn);
        // Side by side: a program in it needs the network only when it runs.
        let started = std::thread::scope(|scope| {
            let network = (!spec.in_host_network).then(|| scope.spawn(|| native.connect(&settings, &sink)));
            let started = match Running::boot(&native.guest, &spec, layer, limit) {
                Err(error) if !checked && is_refused(&error) && self.mend(entry, &mut spec, tell) => {
                    Running::boot(&native.guest, &spec, begin_layer(&spec.root), limit)
                }
                started => started,
            };
            if let Some(network) = network
                && let Err(error) = network.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            {
                warn(format!("{} has no network: {error}", entry.name));
            }
            started
        });
        match started {
            Ok((running, warnings)) => {
                warnings.into_iter().for_each(warn);
                if let BootRoot::Image { image, .. } = &spec.root {
                    room::little_room(&entry.name, image).into_iter().for_each(warn);
                }
                if let BootRoot::Image { read_only: true, image, .. } = &spec.root {
                    warn(format!(
                        "The file system of {0} is damaged: it is started read-only. To repair it: \
                         `wsl --terminate {0}`, then `e2fsck -f {1}`",
                        entry.name,
                        image.display(),
                    ));
                }
                native.show_disks(&running).into_iter().for_each(warn);
                let on = spec.integration.as_ref().is_some_and(|integration| integration.on);
                // What could not be undone while its disk was not there is undone now.
                if on || native.has_files(&entry.guid) {
                    let aligned = native.align_files(entry).unwrap_or_else(|error| vec![error.to_string()]);
                    aligned.into_iter().for_each(warn);
                }
                native.publish_askers_for(Some(&spec)).into_iter().for_each(warn);
                watch::watch(&self.native, running);
                Ok(())
            }
            Err(error) => {
                self.clear_failed(entry);
                if let BootRoot::Image { image, .. } = &spec.root {
                    require_idle(image)?;
                }
                let failure = why(entry, error, limit);
                Err(match &spec.root {
                    BootRoot::Image { read_only: true, image, .. } => {
                        let hint = format!("`e2fsck -f {}` repairs what can be repaired", image.display());
                        Failure { code: Code::DiskCorrupted, ..failure }.hint(hint)
                    }
                    _ => failure,
                })
            }
        }
    }

    /// The ids it gets; none for one that is privileged.
    fn reserve_ids(&self, entry: &Entry) -> Result<Option<Reserved<'_>>, Failure> {
        if entry.privileged {
            return Ok(None);
        }
        let running = || Running::all(&self.native.instance).iter().filter_map(Running::ids).collect();
        let all_taken =
            || Failure::new(Code::Fail).with_message("Every range of ids for distributions is in use.");
        self.ids.reserve(&entry.guid, running).map(Some).ok_or_else(all_taken)
    }

    /// The root file system it has.
    fn root(&self, entry: &Entry) -> Result<BootRoot, Failure> {
        let instance = &self.native.instance;
        if entry.version != 2 {
            return Ok(BootRoot::Folder { path: entry.folder(instance).join(TREE) });
        }
        Ok(BootRoot::Image {
            hub: self.native.living_hub().map_err(failure)?.process,
            image: disk::image_of(instance, entry),
            at: Hub::view(&entry.guid),
            read_only: false,
        })
    }

    fn spec(
        &self,
        entry: &Entry,
        root: BootRoot,
        file: &HostConfig,
        settings: &Settings,
        tell: Tell<'_>,
    ) -> Result<BootSpec, Failure> {
        let instance = &self.native.instance;
        let guid = entry.guid;
        let in_host_network = match &root {
            BootRoot::Image { .. } => self.native.living_hub().map_err(failure)?.mirrored,
            BootRoot::Folder { .. } => true,
        };
        let idle = file.values.instance_idle_timeout.map_or(Some(IDLE), Milliseconds::duration);
        Ok(BootSpec {
            name: entry.name.clone(),
            guid,
            record: record(instance, &guid),
            root,
            ids: None,
            cgroup: self.make_cgroups(entry)?,
            control: control_socket(instance, &guid),
            paths: instance.integration().join(integration::path_socket(&guid)),
            programs: instance.programs(),
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            resolv_conf: if in_host_network {
                resolver::of_the_host()
            } else {
                resolver::by_gateway(self.native.claim_subnet(settings.vpnkit_cidr))
            }
            .render(),
            hosts: hosts(Path::new("/etc/hosts"), tell) + own_names(in_host_network && entry.version == 2),
            in_host_network,
            folders: shared_folders(settings),
            integration: Some(self.native.integration_of(entry, settings)),
            idle_timeout_ms: idle.map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
            safe_mode: file.values.safe_mode,
            log: instance.log(&log_of(entry)),
        })
    }

    fn make_cgroups(&self, entry: &Entry) -> Result<DistroCgroup, Failure> {
        let cgroups = cgroup::Host::detect().map_err(failure)?;
        cgroups.create_for_user(&self.native.instance.cgroup(), &entry.guid).map_err(failure)
    }

    /// After a start that failed: repairs the disk. Whether another start makes sense.
    fn mend(&self, entry: &Entry, spec: &mut BootSpec, tell: Tell<'_>) -> bool {
        self.clear_failed(entry);
        let Ok(cgroup) = self.make_cgroups(entry) else { return false };
        spec.cgroup = cgroup;
        repair(entry, &mut spec.root, tell)
    }

    /// Whatever a failed start left: its init may still run when the launcher was too slow.
    fn clear_failed(&self, entry: &Entry) {
        let native = &self.native;
        if let Ok(Some(running)) = Running::find(&native.instance, &entry.guid) {
            let _ = running.terminate(&native.instance, Duration::ZERO);
        }
        // What is still there is found by the next start, which tells of it.
        let _ = native.clear_after(&entry.guid);
        // The disk may need repair; where the layer is to be, it comes back when the request has ended.
        let _ = native.layers.take_off(entry);
    }
}

/// An error when the storage is not where the registry says.
pub(super) fn find_storage(instance: &Instance, entry: &Entry) -> Result<(), Failure> {
    let folder = entry.folder(instance);
    let (path, there) = match entry.version {
        2 => {
            let image = disk::image_of(instance, entry);
            let there = fs::metadata(&image).is_ok_and(|meta| meta.is_file() && meta.len() > 0);
            (image, there)
        }
        _ => (folder.join(TREE), folder.join(TREE).is_dir()),
    };
    if there {
        return Ok(());
    }
    let hint = format!("put it back there, or give {0} up: `wsl --unregister {0}`", entry.name);
    let path = path.display().to_string();
    Err(Failure::disk_not_attached(&path, Code::PathNotFound).hint(hint))
}

fn begin_layer(root: &BootRoot) -> Option<Layer> {
    match root {
        BootRoot::Image { hub, image, at, read_only } => Some(Layer::begin(hub, image, at, *read_only)),
        BootRoot::Folder { .. } => None,
    }
}

/// Repairs the disk if it is known to have errors. Whether it was looked at.
fn repair_known(entry: &Entry, root: &mut BootRoot, tell: Tell<'_>) -> Result<bool, Failure> {
    let BootRoot::Image { image, read_only, .. } = root else { return Ok(true) };
    if fsck::is_given_up(image) {
        *read_only = true;
        return Ok(true);
    }
    let known = fsck::has_errors(image).map_err(|error| {
        let message = format!("The disk {} cannot be read: {error}", image.display());
        Failure::new(Code::Fail).with_message(message)
    })?;
    if known {
        require_idle(image)?;
    }
    if known && fsck::no_room(image) {
        let message = format!("The disk of {} needs repair, and the host's disk is full.", entry.name);
        return Err(Failure::new(Code::DiskFull)
            .with_message(message)
            .hint("free some space, then try again"));
    }
    if known {
        repair(entry, root, tell);
    }
    Ok(known)
}

/// An error when a program is at work on the disk.
pub(super) fn require_idle(image: &Path) -> Result<(), Failure> {
    if !fsck::is_worked_on(image) {
        return Ok(());
    }
    let held = Failure::disk_not_attached(&image.display().to_string(), Code::SharingViolation);
    Err(held.hint("it is being resized or checked: wait until `resize2fs` or `e2fsck` has ended"))
}

/// Repairs the disk, or lets it be looked at only. Whether that changed something.
fn repair(entry: &Entry, root: &mut BootRoot, tell: Tell<'_>) -> bool {
    let BootRoot::Image { image, read_only, .. } = root else { return false };
    let warn = |message: String| tell(Reply::Warning { message });
    // Somebody sees it, so that it is not ours alone to change.
    if fsck::is_worked_on(image) || loopdev::loops_of(image).map_or(true, |loops| !loops.is_empty()) {
        return false;
    }
    match fsck::repair(image) {
        Ok(Repair::Sound) => false,
        Ok(Repair::Done) => {
            warn(format!("The file system of {} had errors, which were repaired.", entry.name));
            true
        }
        Ok(Repair::Impossible) => {
            *read_only = true;
            true
        }
        Err(error) => {
            let why = sampan_backend::error::chain(&error);
            warn(format!("The file system of {} could not be checked: {why}", entry.name));
            // Nobody knows what a write would do to it.
            *read_only = true;
            true
        }
    }
}

/// The unit of a distribution's log. By identity: users choose names, and there are other logs.
pub(super) fn log_of(entry: &Entry) -> String {
    format!("distro-{}", entry.guid)
}

/// Whether the start was tried and said no, as it does to a file system that can't be mounted.
fn is_refused(error: &DistroError) -> bool {
    matches!(error, DistroError::Launch(GuestError::Refused { .. }))
}

fn why(entry: &Entry, error: DistroError, limit: Duration) -> Failure {
    if matches!(error, DistroError::Launch(GuestError::Tool(ToolError::Deadline { .. }))) {
        let message = format!("{} did not start within {} s.", entry.name, limit.as_secs());
        let hint = "`wsl2.distributionStartTimeout` in .wslconfig gives it longer (in milliseconds)";
        return Failure::new(Code::Timeout).with_message(message).hint(hint);
    }
    failure(error)
}

/// Every shared folder that is there, under its path: what is `/srv/data` outside is `host/srv/data` inside.
fn hosts(path: &Path, tell: Tell<'_>) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(HOSTS_MAX + 1).read_to_end(&mut bytes));
    if read.is_ok_and(|length| length as u64 > HOSTS_MAX) {
        tell(Reply::Warning { message: TooLarge.to_string() });
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Names of the host, for who would have them by the relay and has the host's resolvers instead.
fn own_names(mirrored: bool) -> &'static str {
    if mirrored { "\n127.0.0.1 host.docker.internal gateway.docker.internal\n" } else { "" }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_huge_hosts_file_is_left_out_with_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let told = Mutex::new(Vec::new());
        let tell = |reply| told.lock().unwrap().push(reply);
        sampan_sys::fs::write_atomic(&path, b"10.0.0.1 a\n", 0o600).unwrap();
        assert_eq!(hosts(&path, &tell), "10.0.0.1 a\n");
        fs::File::create(&path).unwrap().set_len(HOSTS_MAX + 1).unwrap();
        assert_eq!(hosts(&path, &tell), "");
        assert_eq!(hosts(&folder.path().join("none"), &tell), "");
        assert_eq!(told.lock().unwrap().len(), 1);
    }
}
