//! From lists, and lists that are wrong or out of reach.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::web::{Answer, Web};
use sampan_e2e::{files, roots};
use serde_json::{Value, json};

use super::{assert_fails, default, flavor, install, list_file, set_lists, sha256, version};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("install::n17_n20_n23_and_n32_from_a_list", from_list),
        Case::new("install::e17_n19_n25_n26_n28_n29_and_n31_refusals", refusals),
        Case::new("install::e19_and_e20_a_list_that_cannot_be_reached", unreachable),
    ]
}

/// A list with the small root under some names.
fn from_list() {
    let instance = Instance::new();
    let web = Web::new();
    let small = roots::small();
    let sum = sha256(&small);
    let url = web.put("/distro.tar", Answer::File(small.clone()));
    let local = format!("file://{}", small.display());
    let list = |name: &str, default_name: &str, list: &Value| {
        let mut list = list.clone();
        list["Default"] = json!(default_name);
        web.put(&format!("/{name}"), Answer::Bytes(list.to_string().into_bytes()))
    };
    let debian = flavor(
        "debian",
        &[
            version("debian-nondefault", "Nothing", "http://127.0.0.1:1/never", &sum),
            default(version("debian-12", "DebianFriendlyName", &local, &sum)),
            version(
                "debian-net",
                "Debian of the net",
                &format!("{url}?foo=bar&key=value"),
                &format!("0x{sum}"),
            ),
        ],
    );
    set_lists(&instance, &list("main.json", "debian", &debian), None);
    let installed =
        |name: &str| format!("Distribution successfully installed. It can be launched via 'wsl -d {name}'\n");

    let said = install(&instance, &["debian", "--name", "n17"]);
    assert_eq!(said.expect(0).text(), format!("Installing: DebianFriendlyName\n{}", installed("n17")), "N17");
    let said = install(&instance, &["--name", "n20"]);
    assert_eq!(said.expect(0).text(), format!("Installing: DebianFriendlyName\n{}", installed("n20")), "N20");
    let said = install(&instance, &["DEBIAN-NET"]);
    let lines = "Downloading: Debian of the net\nInstalling: Debian of the net\n";
    assert_eq!(said.expect(0).text(), format!("{lines}{}", installed("debian-net")), "N32");
    assert_eq!(said.errors(), "");
    assert!(web.asked().contains(&"/distro.tar?foo=bar&key=value".to_owned()));
    for name in ["n17", "n20", "debian-net"] {
        instance.inside(name, "echo OK").says("OK");
    }
    assert_eq!(files::names(&instance.place().cache()), Vec::<String>::new());

    // The user's own list goes before the other one, of which the rest is still there.
    let own = flavor("debian", &[version("debian-12", "Overridden", &local, &sum)]);
    set_lists(
        &instance,
        &list("main.json", "debian", &debian),
        Some(&list_file(&instance, "own.json", &own)),
    );
    let said = install(&instance, &["debian-12", "--name", "n23"]);
    assert_eq!(said.expect(0).text(), format!("Installing: Overridden\n{}", installed("n23")), "N23");
    assert_eq!(said.errors(), "wsl: The distribution \"debian-12\" is provided by an override manifest.\n");
    let said = install(&instance, &["debian-net", "--name", "n23-net"]);
    assert_eq!((said.expect(0).errors().as_str(), said.text().starts_with(lines)), ("", true), "N23");
    let listed = instance.wsl(&["--list", "--online"]);
    let names: Vec<String> = listed
        .ok()
        .lines()
        .skip(4)
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    assert_eq!(names, ["debian-12", "debian-nondefault", "debian-net"], "{listed}");
}

fn refusals() {
    let instance = Instance::new();
    instance.import("taken", &roots::small(), 2);
    let web = Web::new();
    let archive = web.put("/distro.tar", Answer::File(roots::small()));
    let sum = sha256(&roots::small());
    let lists = flavor(
        "debian",
        &[
            version("wrong", "F", &archive, "0x12"),
            version("format", "F", &archive, "wrongformat"),
            version("Taken", "F", &archive, &sum),
            version("dummy", "F", &archive, &sum),
            version("in valid", "F", &archive, &sum),
            version("nowhere", "F", "ftp://127.0.0.1/x.tar", &sum),
        ],
    );
    let mut lists = lists;
    lists["Distributions"] = json!([{ "Name": "old", "FriendlyName": "Old", "Amd64": true, "Arm64": true,
        "Amd64PackageUrl": archive, "Arm64PackageUrl": archive }]);
    set_lists(&instance, &web.put("/list.json", Answer::Bytes(lists.to_string().into_bytes())), None);

    let unknown = "Invalid distribution name: 'DoesNotExist'.\n\
                   To get a list of valid distributions, use 'wsl --list --online'.\n";
    let not_found = "Wsl/InstallDistro/WSL_E_DISTRO_NOT_FOUND";
    assert_fails(&install(&instance, &["-d", "DoesNotExist"]), unknown, not_found); // E17
    let unknown = "Invalid distribution name: 'DoesNotExists'.\n";
    assert_fails(&install(&instance, &["DoesNotExists"]), unknown, not_found); // N19
    let none = "No default distribution has been configured. Please provide a distribution to install.\n";
    set_lists(&instance, &list_file(&instance, "empty.json", &json!({})), None);
    assert_fails(&install(&instance, &[]), none, "Wsl/InstallDistro/E_UNEXPECTED");
    set_lists(&instance, &web.put("/list.json", Answer::Bytes(lists.to_string().into_bytes())), None);

    // Before anything is fetched.
    let taken = "Cannot create a file when that file already exists. \n";
    assert_fails(&install(&instance, &["taken"]), taken, "Wsl/InstallDistro/ERROR_ALREADY_EXISTS"); // N28
    let with_name = install(&instance, &["dummy", "--name", "TAKEN"]);
    assert_fails(&with_name, taken, "Wsl/InstallDistro/ERROR_ALREADY_EXISTS"); // N29
    for words in [&["in valid"][..], &["dummy", "--name", "in valid"]] {
        let output = install(&instance, words);
        assert_fails(&output, "Invalid distribution name: \"in valid\".\n", "Wsl/InstallDistro/E_INVALIDARG");
    }
    let hex = "Downloading: F\nInvalid hex string: wrongformat\n";
    assert_fails(&install(&instance, &["format"]), hex, "Wsl/InstallDistro/VerifyChecksum/E_INVALIDARG"); // N26
    for words in [&["old"][..], &["old", "--legacy"], &["--legacy"]] {
        let output = install(&instance, words);
        assert_fails(&output, "old is offered", "Wsl/InstallDistro/WSL_E_DISTRO_ONLY_AVAILABLE_FROM_STORE");
    }
    assert_fails(
        &install(&instance, &["dummy", "--legacy"]),
        "Invalid distribution name: 'dummy'.\n",
        not_found,
    );
    assert_fails(&install(&instance, &["nowhere"]), "", "Wsl/InstallDistro/E_INVALIDARG");
    assert!(!web.asked().iter().any(|path| path == "/distro.tar"), "{:?}", web.asked());

    let wrong = format!(
        "Downloading: F\nInstalling: F\nThe distribution hash doesn't match. Expected: 0x12, actual hash: 0x{sum}\n"
    );
    assert_fails(
        &install(&instance, &["wrong"]),
        &wrong,
        "Wsl/InstallDistro/VerifyChecksum/TRUST_E_BAD_DIGEST",
    ); // N25

    let bad = instance.scratch("lists").join("bad.json");
    files::write(&bad, "Bad json");
    set_lists(&instance, &format!("file://{}", bad.display()), None);
    let json = "Invalid JSON document. Parse error: ";
    assert_fails(&install(&instance, &["debian"]), json, "Wsl/InstallDistro/WSL_E_INVALID_JSON"); // N31
    assert_fails(&instance.wsl(&["-l", "--online"]), json, "Wsl/WSL_E_INVALID_JSON");
    let nothing_left = files::names(&instance.place().cache());
    assert_eq!(nothing_left, Vec::<String>::new());
    assert_eq!(instance.wsl(&["-l", "-q", "--all"]).ok(), "taken");
}

fn unreachable() {
    let instance = Instance::new();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on loopback is free");
        format!("http://{}/list.json", listener.local_addr().expect("a bound socket has an address"))
    };
    set_lists(&instance, &closed, None);
    let lines = format!(
        "Failed to fetch the distribution list from '{closed}'. \
         A connection with the server could not be established \n"
    );
    let output = install(&instance, &["-d", "ubuntu"]);
    assert_fails(&output, &lines, "Wsl/InstallDistro/WININET_E_CANNOT_CONNECT"); // E19
    let output = instance.wsl(&["--list", "--online"]);
    assert_fails(&output, &lines, "Wsl/WININET_E_CANNOT_CONNECT"); // E20
    output.says("check the address and the network");

    let web = Web::new();
    let round = web.put("/round.json", Answer::Moved("/round.json".to_owned()));
    let huge = web.put("/huge.json", Answer::Blanks(100 << 20));
    let file = web.put("/file.json", Answer::Moved("file:///etc/hosts".to_owned()));
    let half = web.put("/half.json", Answer::Half(b"{\"ModernDistributions\": {}}".to_vec()));
    let rows = [
        (round, "Maximum (10) redirects followed", "E_FAIL"),
        (huge, "It is larger than 8 MiB", "E_FAIL"),
        (file, "Protocol", "E_FAIL"),
        (half, "transfer closed", "E_FAIL"),
        (web.put("/broken.json", Answer::Error(500)), "500", "E_FAIL"),
        (web.put("/none.json", Answer::Error(404)), "Not found (404).", "HTTP_E_STATUS_NOT_FOUND"),
        ("file:///no/such/list.json".to_owned(), "No such file or directory", "ERROR_FILE_NOT_FOUND"),
        ("file:///dev/zero".to_owned(), "/dev/zero is not a regular file", "E_FAIL"),
    ];
    for (url, said, code) in rows {
        set_lists(&instance, &url, None);
        let output = instance.wsl(&["-l", "-o"]);
        let lines = format!("Failed to fetch the distribution list from '{url}'. ");
        assert_fails(&output, &lines, &format!("Wsl/{code}"));
        output.says(said);
    }
    // Settings that make no sense are named, whatever is asked for.
    set_lists(&instance, "/srv/list.json", None);
    instance.wsl(&["-l", "-o"]).expect(255).says("distributionListUrl").says("must begin with");
}
