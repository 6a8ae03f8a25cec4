//! The distributions whose files containers name, whether they run or not.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use sampan_model::distro::Guid;
use sampan_model::views::VIEWS;

/// Where dockerd writes down what containers and volumes are, one folder each, and the file in it with sources.
const RECORDS: [(&str, &str); 2] = [("containers", "hostconfig.json"), ("volumes", "opts.json")];

/// More than any of these files has, in bytes.
const LONGEST: u64 = 8 << 20;

/// The distributions that anything in dockerd's folder `data` names a path of. What can't be read names none: dockerd can't
/// read it either.
pub(super) fn below(data: &Path) -> BTreeSet<Guid> {
    let mut found = BTreeSet::new();
    for (folder, file) in RECORDS {
        for entry in fs::read_dir(data.join(folder)).into_iter().flatten().flatten() {
            let mut text = Vec::new();
            let read = File::open(entry.path().join(file))
                .and_then(|file| file.take(LONGEST).read_to_end(&mut text));
            if read.is_ok() {
                found.extend(named(&text));
            }
        }
    }
    found
}

fn named(text: &[u8]) -> impl Iterator<Item = Guid> {
    let prefix = format!("{VIEWS}/");
    let text = String::from_utf8_lossy(text).into_owned();
    let guid = |rest: &str| rest.get(..36)?.parse().ok();
    text.split(&prefix).skip(1).filter_map(guid).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_volumes_name_distributions() {
        let data = tempfile::tempdir().unwrap();
        assert!(below(data.path()).is_empty(), "an engine that never ran");
        let guid = |byte| Guid::from_random([byte; 16]);
        let write = |path: &str, text: String| {
            let path = data.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            sampan_sys::fs::write_atomic(&path, text.as_bytes(), 0o600).unwrap();
        };
        let binds = format!(
            r#"{{"Binds":["/views/{}/srv:/a","/views/host/home:/h"],"Mounts":[
            {{"Type":"bind","Source":"/views/{}","Target":"/m"}}]}}"#,
            guid(1),
            guid(2)
        );
        write("containers/0a/hostconfig.json", binds);
        write("containers/0b/hostconfig.json", "{\"Binds\":[\"/views/no-guid:/x\",\"/views/".to_owned());
        write("containers/0c/other.json", format!("/views/{}", guid(4)));
        write(
            "volumes/v/opts.json",
            format!(r#"{{"MountOpts":"bind","MountDevice":"/views/{}/v"}}"#, guid(3)),
        );
        fs::create_dir_all(data.path().join("volumes/plain/_data")).unwrap();
        assert_eq!(below(data.path()), BTreeSet::from([guid(1), guid(2), guid(3)]));
    }
}
