//! The options of log drivers: dockerd opens the files that they name, as the engine sees them.

use super::super::asker::Denied;
use super::super::json::Json;
use super::{Found, Text, bad};

/// Options that are files.
const FILES: [&str; 4] = ["syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "splunk-capath"];
/// Options that are addresses, which may be sockets.
const ADDRESSES: [&str; 2] = ["syslog-address", "fluentd-address"];
const SOCKETS: [&str; 2] = ["unix://", "unixgram://"];
/// What is no letter of a path in an address.
const URL: [char; 3] = ['?', '#', '%'];

/// Finds the paths in them. They are a map, whose keys mind case.
pub(super) fn find<'a>(options: Option<Json<'a>>, found: &mut Found<'a>) -> Result<(), Denied> {
    let Some(options) = options else { return Ok(()) };
    for (name, prefixes) in
        FILES.map(|name| (name, &[""][..])).into_iter().chain(ADDRESSES.map(|name| (name, &SOCKETS[..])))
    {
        let Some(option) = options.entry(name)? else { continue };
        let Some(value) = option.string()?.filter(|value| !value.is_empty()) else { continue };
        let is_prefix = |prefix: &&&str| {
            value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let Some(prefix) = prefixes.iter().find(is_prefix) else { continue };
        let path = prefix.len()..value.len();
        let ends = if prefix.is_empty() { &[][..] } else { &URL };
        if !value[path.clone()].starts_with('/') || value.contains(ends) {
            return Err(bad(format!("the log option {name}={value} does not name a plain absolute path")));
        }
        found.add(Text { json: option, value, paths: vec![path], ends })?;
    }
    Ok(())
}
