//! The sources of a container that is started: whoever can write to a folder on the way to one may have put a link there
//! since the container was made, which dockerd would follow in its own tree.

use hyper::StatusCode;
use serde_json::Value;

use super::asker::{Asker, Denied};
use super::sources::bind_source;

/// Paths of folders and files in the inspection of a container.
pub(super) fn of_container(inspection: &Value) -> Vec<&str> {
    let list = |pointer: &str| inspection.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let binds = list("/HostConfig/Binds").filter_map(Value::as_str);
    let binds = binds.filter_map(|bind| bind_source(bind).map(|length| &bind[..length]));
    let mounts = list("/HostConfig/Mounts").filter(|mount| mount["Type"] == "bind");
    binds.chain(mounts.filter_map(|mount| mount["Source"].as_str())).collect()
}

/// The volumes in it that may be folders of somebody's.
pub(super) fn volumes_of(inspection: &Value) -> Vec<&str> {
    let mounts = inspection["Mounts"].as_array().into_iter().flatten();
    let volumes = mounts.filter(|mount| mount["Type"] == "volume" && mount["Driver"] == "local");
    volumes.filter_map(|mount| mount["Name"].as_str()).collect()
}

/// The folder in the inspection of a volume.
pub(super) fn of_volume(inspection: &Value) -> Option<&str> {
    inspection["Options"]["device"].as_str()
}

/// Whether dockerd's path is still that of the same place of the asker's; paths of others are theirs to look at.
pub(super) async fn look<A: Asker>(path: &str, asker: &A) -> Result<(), Denied> {
    let Some(own) = asker.reveal(path) else { return Ok(()) };
    if asker.translate(&own).await? == path {
        return Ok(());
    }
    let message = format!(
        "mounts denied: {own} leads somewhere else than when the container was made; make the container anew"
    );
    Err(Denied { status: StatusCode::FORBIDDEN, message })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources_of_a_container() {
        let inspection = json!({ "HostConfig": {
            "Binds": ["/views/x/a:/a:ro", "name:/n"],
            "Mounts": [{ "Type": "bind", "Source": "/views/x/m" }, { "Type": "volume", "Source": "v" }] },
            "Mounts": [{ "Type": "volume", "Name": "v", "Driver": "local", "Source": "/var/lib/docker/volumes/v/_data" },
                { "Type": "volume", "Name": "w", "Driver": "sshfs" }, { "Type": "bind", "Source": "/views/x/a" }] });
        assert_eq!(of_container(&inspection), ["/views/x/a", "/views/x/m"]);
        assert_eq!(volumes_of(&inspection), ["v"]);
        assert_eq!(
            of_volume(&json!({ "Options": { "o": "bind", "device": "/views/x/d" } })),
            Some("/views/x/d")
        );
        assert_eq!(of_volume(&json!({ "Options": null })), None);
        assert!(of_container(&Value::Null).is_empty() && volumes_of(&Value::Null).is_empty());
    }
}
