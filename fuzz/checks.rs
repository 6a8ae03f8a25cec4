//! What holds for any bytes as a configuration file. The fuzz targets call it, and so do the tests of
//! `sampan-model`, so that it is always built and run.

use sampan_model::config::distribution::DistributionConf;
use sampan_model::config::distro::WslConf;
use sampan_model::config::edit::{self, EditError};
use sampan_model::config::host::{HostFacts, WslConfig};
use sampan_model::config::syntax::{self, BadLines, Content};
use sampan_model::config::value::Key;
use sampan_model::config::{self, ConfigFile};

const HOST: HostFacts = HostFacts { memory_bytes: 16 << 30, processors: 8 };

/// Values of every type, and such that are hard to write.
const VALUES: [&str; 12] =
    ["true", "0", "1234", "8GB", "v1", "mirrored", "10,20", "1.2.3.4", " front", "back\t", "a#b", "\\\"é\n="];

/// Reads `data` as both files of a distribution, and edits the first.
pub fn wsl_conf(data: &[u8]) {
    reads::<WslConf>(data, &());
    reads::<DistributionConf>(data, &());
    edits::<WslConf>(data, &());
}

/// Reads `data` as `.wslconfig`, and edits it.
pub fn wslconfig_edit(data: &[u8]) {
    reads::<WslConfig>(data, &HOST);
    edits::<WslConfig>(data, &HOST);
}

/// The items are in order and within the file; nothing but a malformed line ends the reading.
fn reads<C: ConfigFile>(data: &[u8], host: &C::Host) {
    let parsed = config::parse::<C>(data, "F", host);
    let mut end = 0;
    let mut malformed = None;
    for item in syntax::items(data, C::BAD_LINES) {
        assert!(end <= item.start && item.start < item.end && item.end <= data.len(), "{item:?}");
        assert_eq!(malformed, None, "an item behind the last");
        assert!(item.terminated || item.end == data.len(), "{item:?}");
        if let Content::Assignment { written, .. } = &item.content {
            assert!(item.start < written.start && written.end <= item.end, "{item:?}");
        }
        if C::BAD_LINES == BadLines::Stop && matches!(item.content, Content::Malformed(_)) {
            malformed = Some(item.line);
        }
        end = item.end;
    }
    assert_eq!(parsed.stopped_at, malformed);
}

/// One key, picked by the data, set to some values and removed.
fn edits<C: ConfigFile>(data: &[u8], host: &C::Host) {
    let pick = data.iter().fold(data.len(), |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    let key = &C::KEYS[pick % C::KEYS.len()];
    let name = key.names[pick / 7 % key.names.len()];
    for value in VALUES.iter().cycle().skip(pick % VALUES.len()).take(2) {
        sets::<C>(data, key, name, value, host);
    }
    let removed = edit::remove::<C>(data, name).expect("a known key");
    assert_eq!(first(&removed, key), None);
    assert_eq!(edit::remove::<C>(&removed, name).as_ref(), Ok(&removed));
    assert_eq!(others(&removed, key), others(data, key));
}

/// After a key is set it has that value, everything else is as it was, and setting it again changes nothing.
fn sets<C: ConfigFile>(data: &[u8], key: &Key<C>, name: &str, value: &str, host: &C::Host) {
    let alone = match edit::set::<C>(b"", name, value, host) {
        Ok(alone) => first(&alone, key),
        Err(EditError::InvalidValue { .. } | EditError::UnknownKey(_)) => return,
        Err(error) => panic!("{name}={value:?} into an empty file: {error}"),
    };
    // None where it is the default.
    assert!(alone.is_none() || alone.as_deref() == Some(value.as_bytes()), "{name}={value:?} is {alone:?}");
    let output = match edit::set::<C>(data, name, value, host) {
        Ok(output) => output,
        Err(EditError::Malformed { .. }) => {
            let stops = config::parse::<C>(data, "F", host).stopped_at.is_some();
            assert!(stops && first(data, key).is_none(), "{name} was refused");
            return;
        }
        Err(error) => panic!("{name}={value:?}: {error}"),
    };
    assert_eq!(first(&output, key), alone, "{name}={value:?}");
    assert_eq!(edit::set::<C>(&output, name, value, host).as_ref(), Ok(&output), "{name}={value:?} twice");

    let (before, after) = (others(data, key), others(&output, key));
    // All that may come new is a section, at the end.
    assert!(after.starts_with(&before) && after.len() <= before.len() + 1, "{before:?}, then {after:?}");
}

/// The value that counts.
fn first<C: ConfigFile>(data: &[u8], key: &Key<C>) -> Option<Vec<u8>> {
    syntax::items(data, C::BAD_LINES).find_map(|item| match item.content {
        Content::Assignment { name, value, .. } if key.is_called(&name) => Some(value),
        _ => None,
    })
}

/// What the file says besides `key`, in its order.
fn others<C: ConfigFile>(data: &[u8], key: &Key<C>) -> Vec<(String, Vec<u8>)> {
    syntax::items(data, C::BAD_LINES)
        .filter_map(|item| match item.content {
            Content::Assignment { name, .. } if key.is_called(&name) => None,
            Content::Assignment { name, value, .. } => Some((name, value)),
            Content::Section(name) => Some((format!("[{name}]"), Vec::new())),
            Content::Malformed(_) => Some((String::new(), Vec::new())),
        })
        .collect()
}
