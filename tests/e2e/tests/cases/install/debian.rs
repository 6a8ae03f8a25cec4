//! Debian, built of packages where no list has it.

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, images};
use serde_json::json;

use super::{assert_fails, entry, install, list_file, set_lists};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::skippable("install::debian_is_built_where_no_list_has_it", debian)]
}

fn debian() -> Result<(), Skip> {
    if images::given_engine().is_some() {
        return Err(Skip("an engine image was given: there may be no Debian mirror".to_owned()));
    }
    let instance = Instance::new();
    set_lists(&instance, "http://127.0.0.1:1/list.json", None);
    let output = instance
        .wsl_tool(&["--install", "--no-launch", "debian"])
        .deadline(sampan_e2e::instance::FIRST_START)
        .run();
    output.expect(0).says("signed packages");
    assert!(output.text().ends_with("It can be launched via 'wsl -d Debian'\n"), "{output}");
    let script = "cat /etc/os-release /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null; \
                  dpkg --verify passwd; ls /etc/apt/apt.conf.d /etc/dpkg/dpkg.cfg.d; test -h /etc/resolv.conf && echo link";
    let said = instance.inside("Debian", script).ok();
    assert!(said.contains("ID=debian") && said.ends_with("link"), "{said}");
    assert!(
        said.contains("-security") && !said.contains("#later") && !said.contains("99mmdebstrap"),
        "{said}"
    );
    assert_eq!(entry(&instance, "Debian").flavor.as_deref(), Some("debian"));
    assert_eq!(files::names(&instance.place().cache()), Vec::<String>::new());

    // The same where the lists have no such entry; the name is judged before the build.
    set_lists(&instance, &list_file(&instance, "empty.json", &json!({})), None);
    let taken = install(&instance, &["Debian"]);
    assert_fails(&taken, "Cannot create a file", "Wsl/InstallDistro/ERROR_ALREADY_EXISTS");
    Ok(())
}
