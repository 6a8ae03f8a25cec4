//! The options of the volume driver `local`, which are those of mount(8): dockerd mounts what they name, as the engine sees it.

use std::ops::Range;

use super::super::asker::Denied;
use super::super::json::Json;
use super::{Found, Text, bad, forbidden, string};

/// File systems that are not made of anything the engine sees.
const HARMLESS: [&str; 9] = ["", "none", "tmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "glusterfs"];
/// File systems of disks.
const DISKS: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "exfat"];
/// Options of overlayfs that are folders; the first is a list.
const LAYERS: [&str; 3] = ["lowerdir", "upperdir", "workdir"];

/// Finds the paths in them. They are a map, whose keys mind case; another driver knows its own.
pub(super) fn find<'a>(
    driver: Option<Json<'a>>,
    options: Option<Json<'a>>,
    found: &mut Found<'a>,
) -> Result<(), Denied> {
    let driver = string(driver)?.unwrap_or_default();
    let Some(options) = options.filter(|_| matches!(driver.as_str(), "" | "local")) else { return Ok(()) };
    let flags = options.entry("o")?;
    let words = string(flags)?.unwrap_or_default();
    let kind = string(options.entry("type")?)?.unwrap_or_default();
    let device = options.entry("device")?;
    let name = string(device)?.unwrap_or_default();
    if words.split(',').any(|word| matches!(word, "bind" | "rbind")) {
        let Some(device) = device.filter(|_| !name.is_empty()) else { return Ok(()) };
        if !name.starts_with('/') {
            return Err(bad(format!("the device {name:?} of a volume that is bound is no absolute path")));
        }
        return found.add(Text::path(device, name));
    }
    match kind.as_str() {
        kind if HARMLESS.contains(&kind) => Ok(()),
        kind if DISKS.contains(&kind) && is_device(&name) => Ok(()),
        "overlay" => {
            let Some(flags) = flags else { return Ok(()) };
            let paths = layers(&words)?;
            found.add(Text { json: flags, value: words, paths, ends: &[',', ':', '\\'] })
        }
        _ => Err(forbidden(format!(
            "mounts denied: a volume of type {kind:?} of {name:?} would show what is the engine's; folders (`o=bind`), \
             tmpfs, nfs, cifs, overlay and disks in /dev can be mounted"
        ))),
    }
}

fn is_device(name: &str) -> bool {
    let names = name.strip_prefix("/dev/").map(|names| names.split('/'));
    names.is_some_and(|mut names| names.all(|name| !matches!(name, "" | "." | ".." | "fd")))
}

/// The folders in the options of overlayfs.
fn layers(words: &str) -> Result<Vec<Range<usize>>, Denied> {
    let mut paths = Vec::new();
    let mut at = 0;
    for word in words.split(',') {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let start = at + name.len() + 1;
        at += word.len() + 1;
        if !LAYERS.contains(&name) {
            // There are others with folders in them, and ways to write them.
            if value.contains('/') {
                return Err(forbidden(format!("mounts denied: overlay with {name:?} is not known here")));
            }
            continue;
        }
        let mut start = start;
        for folder in value.split(|letter| name == LAYERS[0] && letter == ':') {
            if !folder.starts_with('/') || folder.contains('\\') {
                return Err(bad(format!("{folder:?} in {name} of a volume is no plain absolute path")));
            }
            paths.push(start..start + folder.len());
            start += folder.len() + 1;
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_overlayfs() {
        let words = "ro,lowerdir=/a:/b c,upperdir=/u:v,workdir=/w,index=off";
        let found: Vec<_> = layers(words).unwrap().into_iter().map(|range| &words[range]).collect();
        assert_eq!(found, ["/a", "/b c", "/u:v", "/w"]);
        for words in
            ["lowerdir=a", "lowerdir=/a::/b", "lowerdir=/a\\:b", "upperdir=", "lowerdir+=/a", "datadir=/d"]
        {
            assert!(layers(words).is_err(), "{words}");
        }
    }

    #[test]
    fn devices() {
        for name in ["/dev/sda1", "/dev/disk/by-label/x", "/dev/mapper/a"] {
            assert!(is_device(name), "{name}");
        }
        for name in ["/views/x/sda", "dev/sda", "/dev/../x", "/dev/fd/7", "/dev//x", "/dev/", ""] {
            assert!(!is_device(name), "{name}");
        }
    }
}
