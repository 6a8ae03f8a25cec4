//! Paths that are the same to everybody on this kernel.

use std::path::{Component, Path};

use sampan_model::integration::KERNEL;
use sampan_relay::proxy::{Denied, StatusCode};

use super::host::{denied, text};

/// Links of a process to what it alone sees. dockerd would follow its own.
const OF_A_PROCESS: [&str; 7] = ["root", "cwd", "exe", "fd", "map_files", "ns", "task"];

/// What dockerd sees of the [`crate::tree::clean`] path `path`, `named` so by its asker; none: it is not of that kind.
pub(super) fn seen(path: &Path, named: &str) -> Option<Result<String, Denied>> {
    if !KERNEL.iter().any(|own| path.starts_with(own)) {
        return None;
    }
    if is_of_a_process(path) {
        let message = format!(
            "mounts denied: {named} is something else for each process, and containers would see dockerd's"
        );
        return Some(Err(denied(StatusCode::FORBIDDEN, message)));
    }
    Some(text(path, named).map(str::to_owned))
}

fn is_of_a_process(path: &Path) -> bool {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let names: Vec<_> = names.collect();
    match names[..] {
        ["dev", "fd" | "stdin" | "stdout" | "stderr", ..] => true,
        ["proc", process, what, ..] => {
            let is_process = ["self", "thread-self"].contains(&process)
                || process.bytes().all(|letter| letter.is_ascii_digit());
            is_process && OF_A_PROCESS.contains(&what)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_a_process_is_no_way_out() {
        let seen = |path: &str| seen(Path::new(path), path).map(|seen| seen.map_err(|denied| denied.status));
        for path in
            ["/proc", "/proc/meminfo", "/proc/1/status", "/proc/sys/fs", "/sys/fs/cgroup", "/dev/null"]
        {
            assert_eq!(seen(path), Some(Ok(path.to_owned())));
        }
        for path in [
            "/proc/self/root/etc",
            "/proc/1/cwd",
            "/proc/thread-self/fd/3",
            "/proc/7/task/7/root",
            "/proc/self/map_files",
            "/dev/fd/3/x",
            "/dev/stdin",
        ] {
            assert_eq!(seen(path), Some(Err(StatusCode::FORBIDDEN)), "{path}");
        }
        for path in ["/", "/process", "/home"] {
            assert_eq!(seen(path), None);
        }
    }
}
