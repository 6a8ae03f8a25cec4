//! The two programs that are the engine: where they are, how they are called, what they leave behind.

use std::fmt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_model::engine::Stage;
use sampan_model::proxies;

/// The engine's socket, which the host's one is relayed to.
pub(crate) const DOCKER_SOCKET: &str = "/run/docker.sock";

/// Where programs are looked for, in the engine image and in one that the user brings.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The variable that has the address of the host's services; there is none without a network.
const HOST_GATEWAY: &str = "SAMPAN_HOST_GATEWAY";

const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
const CONTAINERD_CONFIG_FILE: &str = "/run/sampan/containerd.toml";
const DOCKER_PID_FILE: &str = "/run/docker.pid";

/// Only what dockerd uses: the rest costs time at the start, writes to the log that something is missing, or opens
/// services nobody asked for (CRI listens on TCP). Version 2 is read by containerd 1.4 and later, 2.x included;
/// names that a version does not know are ignored by it.
const CONTAINERD_CONFIG: &str = r#"# Written by sampan at each start.
version = 2
root = "/var/lib/docker/containerd/daemon"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.grpc.v1.cri",
  "io.containerd.image-verifier.v1.bindir",
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.restart",
  "io.containerd.internal.v1.tracing",
  "io.containerd.nri.v1.nri",
  "io.containerd.podsandbox.controller.v1.podsandbox",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "/run/containerd/containerd.sock"
"#;

/// A program of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Containerd,
    Dockerd,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Dockerd => "dockerd",
        }
    }

    /// The stage in which it is waited for.
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Containerd => Stage::Containerd,
            Self::Dockerd => Stage::Dockerd,
        }
    }

    pub(super) fn socket(self) -> &'static Path {
        Path::new(match self {
            Self::Containerd => CONTAINERD_SOCKET,
            Self::Dockerd => DOCKER_SOCKET,
        })
    }

    pub(super) fn log(self) -> PathBuf {
        format!("/var/log/sampan/{}.log", self.name()).into()
    }

    /// The sentence for a part that runs but is not ready in time.
    pub(super) fn too_late(self, deadline: Duration) -> String {
        let missed = match self {
            Self::Containerd => "open its socket",
            Self::Dockerd => "answer",
        };
        format!("{self} did not {missed} within {} s", deadline.as_secs())
    }

    pub(super) fn arguments(self) -> Vec<String> {
        let fixed: &[&str] = match self {
            Self::Containerd => &["--config", CONTAINERD_CONFIG_FILE],
            Self::Dockerd => &[
                "--host=unix:///run/docker.sock",
                "--containerd=/run/containerd/containerd.sock",
                "--data-root=/var/lib/docker",
                "--exec-root=/run/docker",
                "--pidfile=/run/docker.pid",
                "--group=root",
                "--userland-proxy-path=/run/sampan/docker-proxy",
            ],
        };
        // What `--add-host NAME:host-gateway` means: without it the bridge's own address, which is not the host.
        let gateway = std::env::var(HOST_GATEWAY).ok().filter(|_| self == Self::Dockerd);
        let gateway = gateway.map(|address| format!("--host-gateway-ip={address}"));
        fixed.iter().map(|&word| word.to_owned()).chain(gateway).collect()
    }

    /// What it gets in its environment besides what every program does. dockerd reaches the web by the gateway, always:
    /// whatever the proxies become, it need not be restarted.
    pub(super) fn environment(self) -> Vec<(&'static str, String)> {
        if self != Self::Dockerd || std::env::var_os(HOST_GATEWAY).is_none() {
            return Vec::new();
        }
        let proxy = format!("http://{}:{}", proxies::NAME, proxies::PORT);
        vec![
            ("HTTP_PROXY", proxy.clone()),
            ("HTTPS_PROXY", proxy),
            ("NO_PROXY", proxies::ENGINE_S_OWN.to_owned()),
        ]
    }

    /// Its program file.
    pub(super) fn program(self) -> Option<PathBuf> {
        let executable = |path: &PathBuf| {
            path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        PATH.split(':').map(|folder| Path::new(folder).join(self.name())).find(executable)
    }

    /// Makes what it needs and removes what an earlier one left. To be called while none of it runs.
    pub(super) fn prepare(self) -> anyhow::Result<()> {
        self.remove_remains();
        if self == Self::Containerd {
            // Made here so that the folder can be watched before containerd is there; the rights are containerd's.
            std::fs::DirBuilder::new().recursive(true).mode(0o711).create("/run/containerd")?;
            let config = CONTAINERD_CONFIG.as_bytes();
            sampan_sys::fs::write_atomic(Path::new(CONTAINERD_CONFIG_FILE), config, 0o644)?;
        }
        Ok(())
    }

    /// Removes the traces of a part that has ended.
    ///
    /// A socket that is missing is looked for again at once by all who wait for it, one that refuses only after their
    /// back-off (a second in dockerd's case). A pid file makes dockerd refuse to start when its number is in use again.
    pub(super) fn remove_remains(self) {
        let _ = std::fs::remove_file(self.socket()); // mostly there is none
        if self == Self::Dockerd {
            let _ = std::fs::remove_file(DOCKER_PID_FILE);
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
