//! `wsl --install` and `wsl --list --online`: from files, and from lists on a server of the test's own.

use std::fs;
use std::path::{Path, PathBuf};

use sampan_e2e::case::{Case, Skip};
use sampan_e2e::disk::FullDisk;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::{Output, Tool};
use sampan_e2e::web::{Answer, Web};
use sampan_e2e::{files, images, roots};
use sampan_model::registry::Entry;
use serde_json::{Value, json};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("install::n01_n07_and_n08_a_name_of_the_image_s_own_and_a_place", names_and_places),
        Case::new("install::n02_n04_and_n05_an_image_s_name_that_does_not_do_leaves_nothing", bad_names),
        Case::new("install::i20_and_i26_whatever_tar_reads", formats),
        Case::new("install::archives_that_are_cut_off_leave_nothing", cut_archives),
        Case::new("install::n17_n20_n23_and_n32_from_a_list", from_list),
        Case::new("install::e17_n19_n25_n26_n28_n29_and_n31_refusals", refusals),
        Case::new("install::e19_and_e20_a_list_that_cannot_be_reached", unreachable),
        Case::new("install::downloads_that_go_wrong_leave_nothing", downloads),
        Case::new("install::a_full_disk_is_told_and_nothing_is_left", full),
        Case::new("install::a_service_that_dies_while_it_downloads_leaves_nothing", killed),
        Case::new("install::n34_o01_to_o08_the_first_shell", first_run),
        Case::new("install::o16_a_conversion_keeps_what_os_release_said", os_release),
        Case::skippable("install::debian_is_built_where_no_list_has_it", debian),
    ]
}

/// The small root with `conf` as its `/etc/wsl-distribution.conf`.
fn image(instance: &Instance, name: &str, conf: &str) -> PathBuf {
    let folder = instance.scratch("images");
    let tree = folder.join("tree");
    files::make_folder(&tree);
    Tool::new("tar").arg("-xpf").arg(roots::small()).arg("-C").arg(&tree).run().ok();
    files::write(&tree.join("etc/wsl-distribution.conf"), conf);
    roots::pack(&tree, &folder.join(name))
}

fn sha256(path: &Path) -> String {
    let line = Tool::new("sha256sum").arg(path).run().ok();
    line.split_whitespace().next().expect("the sum is first").to_owned()
}

/// An entry of a list, for either processor.
fn version(name: &str, friendly_name: &str, url: &str, sha256: &str) -> Value {
    let archive = json!({ "Url": url, "Sha256": sha256 });
    json!({ "Name": name, "FriendlyName": friendly_name, "Default": false, "Amd64Url": archive, "Arm64Url": archive })
}

fn default(mut version: Value) -> Value {
    version["Default"] = json!(true);
    version
}

fn flavor(name: &str, versions: &[Value]) -> Value {
    json!({ "ModernDistributions": { name: versions } })
}

/// Has the instance take its lists from `main` and `own`.
fn set_lists(instance: &Instance, main: &str, own: Option<&str>) {
    let mut settings = json!({ "schemaVersion": 1, "distributionListUrl": main });
    if let Some(own) = own {
        settings["distributionListUrlAppend"] = json!(own);
    }
    files::write(&instance.place().settings(), settings.to_string());
}

/// A file with a list; its address.
fn list_file(instance: &Instance, name: &str, list: &Value) -> String {
    let path = instance.scratch("lists").join(name);
    files::write(&path, list.to_string());
    format!("file://{}", path.display())
}

fn install(instance: &Instance, words: &[&str]) -> Output {
    instance.wsl_tool(&["--install", "--no-launch"]).args(words).run()
}

#[track_caller]
fn assert_fails(output: &Output, lines: &str, code: &str) {
    output.expect(255);
    let text = output.text();
    let last = text.lines().last().unwrap_or_default();
    assert!(text.starts_with(lines), "it should begin with {lines:?}: {output}");
    assert_eq!(last, format!("Error code: {code}"), "{output}");
}

fn entry(instance: &Instance, name: &str) -> Entry {
    instance.registry().find(name).cloned().unwrap_or_else(|| panic!("{name} is installed"))
}

/// Nothing is installed, and there is no file of an installation anywhere.
#[track_caller]
fn assert_nothing(instance: &Instance, installed: &[&str]) {
    assert_eq!(instance.wsl(&["-l", "-q", "--all"]).ok().lines().collect::<Vec<_>>(), installed);
    let place = instance.place();
    assert_eq!(files::names(&place.cache()), Vec::<String>::new());
    assert_eq!(files::names(&place.distros()).len(), installed.len());
}

fn names_and_places() {
    let instance = Instance::new();
    // N11: what the start menu would show is not looked at.
    let conf = "[shortcut]\nicon = /no/such.ico\n[oobe]\ndefaultName = test-default-name\n";
    let tar = image(&instance, "named.tar", conf);
    let tar = tar.to_str().expect("paths of tests are text");

    let said = install(&instance, &["--from-file", tar]);
    assert_eq!(
        said.expect(0).text(),
        format!(
            "Installing: {tar}\nDistribution successfully installed. It can be launched via 'wsl -d test-default-name'\n"
        ),
        "N01"
    );
    assert_eq!(said.errors(), "", "no bar where there is no terminal");
    instance.inside("test-default-name", "echo OK").says("OK");
    assert_eq!(
        instance.wsl(&["--status"]).ok(),
        "Default Distribution: test-default-name\nDefault Version: 2"
    );
    let folder = entry(&instance, "test-default-name").folder(instance.place());
    assert!(folder.starts_with(instance.place().distros()) && folder.exists());
    instance.wsl(&["--unregister", "test-default-name"]).expect(0);
    assert!(!folder.exists());

    let there = instance.scratch("there");
    instance.wslconfig("[general]\ndistributionInstallPath = C:/wsl\n");
    let relative = install(&instance, &["--from-file", tar, "--name", "n07"]);
    assert_fails(&relative, "", "Wsl/Service/RegisterDistro/E_INVALIDARG");
    instance.wslconfig(&format!("[general]\ndistributionInstallPath = {}\n", there.display()));
    install(&instance, &["--from-file", tar, "--name", "n07"]).expect(0);
    let folder = entry(&instance, "n07").folder(instance.place());
    assert_eq!(folder.parent(), Some(there.as_path()), "N07");
    instance.inside("n07", "echo OK").says("OK");
    instance.wsl(&["--unregister", "n07"]).expect(0);
    assert!(!folder.exists() && there.exists());

    // Relative to where the command is typed, as everything of wsl's.
    let own = instance.scratch("own");
    instance
        .wsl_tool(&["--install", "--no-launch", "--from-file", tar, "--version", "1"])
        .args(["--location", "test-distro-folder"])
        .folder(&own)
        .run()
        .expect(0);
    let folder = entry(&instance, "test-default-name").folder(instance.place());
    assert_eq!(folder, own.join("test-distro-folder"), "N08");
    assert_eq!(entry(&instance, "test-default-name").version, 1);
    instance.inside("test-default-name", "echo OK").says("OK");

    let sized = install(&instance, &["--from-file", tar, "--name", "sized", "--vhd-size", "3GB"]);
    sized.expect(0);
    let disk = entry(&instance, "sized").folder(instance.place()).join("ext4.img");
    let size = fs::metadata(disk).expect("it has a disk").len();
    assert_eq!(size, 3 << 30);
    let fixed = install(&instance, &["--from-file", tar, "--name", "x", "--vhd-size", "3GB", "--fixed-vhd"]);
    assert_fails(&fixed, "", "Wsl/E_NOTIMPL");
}

fn bad_names() {
    let instance = Instance::new();
    instance.import("taken", &roots::small(), 2);
    let without = image(&instance, "without.tar", "");
    let conflict = image(&instance, "conflict.tar", "[oobe]\ndefaultName = TAKEN\n");
    let invalid = image(&instance, "invalid.tar", "[oobe]\ndefaultName = invalid!\n");
    let internal = image(&instance, "internal.tar", "[oobe]\ndefaultName = docker-desktop\n");
    let rows = [
        (
            "N02",
            &without,
            "This distribution doesn't contain a default name. Use --name to choose the distribution name.",
            "WSL_E_DISTRIBUTION_NAME_NEEDED",
        ),
        (
            "N04",
            &conflict,
            "A distribution with the supplied name already exists. Use --name to choose a different name.",
            "ERROR_ALREADY_EXISTS",
        ),
        ("N05", &invalid, "Invalid distribution name: \"invalid!\".", "E_INVALIDARG"),
        (
            "internal",
            &internal,
            "The name docker-desktop belongs to an internal distribution",
            "ERROR_ALREADY_EXISTS",
        ),
    ];
    let before = files::names(&instance.place().distros());
    let there = instance.scratch("above").join("new");
    for (id, tar, said, code) in rows {
        let tar = tar.to_str().expect("paths of tests are text");
        let there = there.to_str().expect("paths of tests are text");
        for version in ["1", "2"] {
            for place in [&[][..], &["--location", there]] {
                let output =
                    install(&instance, &[&["--from-file", tar, "--version", version], place].concat());
                let lines = format!("Installing: {tar}\n{said}");
                assert_fails(&output, &lines, &format!("Wsl/Service/RegisterDistro/{code}"));
                assert_eq!(files::names(&instance.place().distros()), before, "{id}: {output}");
                assert!(!Path::new(there).exists(), "{id}: {output}");
                assert_eq!(instance.wsl(&["-l", "-q", "--all"]).ok(), "taken");
            }
        }
    }
    // A name given with the command is judged before anything is unpacked.
    let tar = without.to_str().expect("paths of tests are text");
    let output = install(&instance, &["--from-file", tar, "--name", "in valid"]);
    let lines = format!("Installing: {tar}\nInvalid distribution name: \"in valid\".\n");
    assert_fails(&output, &lines, "Wsl/Service/RegisterDistro/E_INVALIDARG");
    install(&instance, &["--from-file", tar, "--name", "given"]).expect(0);
    instance.inside("given", "echo OK").says("OK");
}

fn formats() {
    let instance = Instance::new();
    let small = roots::small();
    for (program, ending) in [("bzip2", "tar.bz2"), ("gzip", "tar.gz"), ("xz", "tar.xz"), ("zstd", "wsl")] {
        let packed = instance.scratch("packed").join(format!("small.{ending}"));
        let script = format!("{program} -c < \"$1\" > \"$2\"");
        Tool::new("sh").args(["-c", &script, "sh"]).arg(&small).arg(&packed).run().ok();
        let packed = packed.to_str().expect("paths of tests are text");
        install(&instance, &["--from-file", packed, "--name", "test-format"]).expect(0);
        assert_eq!(instance.wsl(&["-d", "test-format", "echo", "OK"]).text(), "OK\n", "I26: {packed}");
        instance.wsl(&["--unregister", "test-format"]).expect(0);
    }

    let tree = instance.scratch("etc-only");
    files::write(&tree.join("etc/wsl.conf"), "");
    let tar = roots::pack(&tree, &instance.scratch("packed").join("etc-only.tar"));
    let piped = instance
        .wsl_tool(&[
            "--install",
            "--from-file",
            "-",
            "--name",
            "empty-distro",
            "--no-launch",
            "--version",
            "2",
        ])
        .input(files::read(&tar))
        .run();
    assert_eq!(
        piped.expect(0).text(),
        "Installing: <stdin>\n\
         Distribution successfully installed. It can be launched via 'wsl -d empty-distro'\n",
        "I20"
    );
    assert_eq!(entry(&instance, "empty-distro").version, 2);
}

fn cut_archives() {
    let instance = Instance::new();
    let folder = instance.scratch("cut");
    let whole = files::read(&roots::small());
    files::write(&folder.join("half.tar"), &whole[..whole.len() / 2 + 100]);
    let script = "gzip -c < \"$1\" | head -c 200000 > \"$2\"";
    let packed = folder.join("half.tar.gz");
    Tool::new("sh").args(["-c", script, "sh"]).arg(roots::small()).arg(&packed).run().ok();
    files::write(&folder.join("text.wsl"), "this is no archive\n");
    for name in ["half.tar", "half.tar.gz", "text.wsl"] {
        let path = folder.join(name);
        let path = path.to_str().expect("paths of tests are text");
        for version in ["1", "2"] {
            let output = install(&instance, &["--from-file", path, "--name", "x", "--version", version]);
            let lines = format!("Installing: {path}\n");
            assert_fails(&output, &lines, "Wsl/Service/RegisterDistro/WSL_E_IMPORT_FAILED");
            assert_nothing(&instance, &[]);
        }
    }
    install(&instance, &["--from-file", "no-such-file"]).expect(255).says("Wsl/ERROR_FILE_NOT_FOUND");
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

fn downloads() {
    let instance = Instance::new();
    let web = Web::new();
    let small = files::read(&roots::small());
    let sum = sha256(&roots::small());
    let mut garbage = small.clone();
    garbage[small.len() / 2] ^= 1;
    // Cut off by whoever made it: its own checksum is right.
    let cut = instance.scratch("x").join("cut.tar");
    files::write(&cut, &small[..small.len() / 2 + 100]);
    let round = Answer::Moved("/round".to_owned());
    let rows = [
        ("half", Answer::Half(small.clone()), &sum, "Failed to download", "E_FAIL"),
        ("round", round, &sum, "Failed to download", "E_FAIL"),
        ("missing", Answer::Error(404), &sum, "Failed to download", "HTTP_E_STATUS_NOT_FOUND"),
        (
            "garbage",
            Answer::Bytes(garbage),
            &sum,
            "The distribution hash",
            "VerifyChecksum/TRUST_E_BAD_DIGEST",
        ),
        (
            "cut",
            Answer::File(cut.clone()),
            &sha256(&cut),
            "Importing the distribution failed.",
            "Service/RegisterDistro/WSL_E_IMPORT_FAILED",
        ),
    ];
    for (name, answer, sum, said, code) in rows {
        let url = web.put(&format!("/{name}"), answer);
        let list = flavor("x", &[version(name, "F", &url, sum)]);
        set_lists(&instance, &list_file(&instance, "list.json", &list), None);
        let output = install(&instance, &[name]);
        assert_fails(&output, "Downloading: F\n", &format!("Wsl/InstallDistro/{code}"));
        output.says(said);
        assert_nothing(&instance, &[]);
    }
}

fn full() {
    let instance = Instance::new();
    let disk = FullDisk::below(&instance, 40);
    let web = Web::new();
    let huge = web.put("/huge.tar", Answer::Bytes(vec![0; 64 << 20]));
    let small = web.put("/small.tar", Answer::File(roots::small()));
    let list = flavor(
        "x",
        &[version("huge", "F", &huge, "00"), version("small", "F", &small, &sha256(&roots::small()))],
    );
    set_lists(&instance, &web.put("/list.json", Answer::Bytes(list.to_string().into_bytes())), None);
    for words in [&["huge"][..], &["debian"]] {
        let output = install(&instance, words);
        assert_fails(&output, "", "Wsl/InstallDistro/ERROR_DISK_FULL");
        assert_nothing(&instance, &[]);
    }
    disk.make_room();
    install(&instance, &["small"]).expect(0);
    instance.inside("small", "echo OK").says("OK");
}

fn killed() {
    let instance = Instance::new();
    let web = Web::new();
    let url = web.put("/a.tar", Answer::Stuck(files::read(&roots::small())));
    let list = flavor("x", &[version("a", "F", &url, &sha256(&roots::small()))]);
    set_lists(&instance, &list_file(&instance, "list.json", &list), None);
    let job = instance.wsl_tool(&["--install", "--no-launch", "a"]).spawn();
    job.wait_for_text("Downloading: F");
    web.wait_for("/a.tar");
    instance.service().kill();
    job.finish().expect(255);
    drop(web);
    assert_nothing(&instance, &[]);
    let web = Web::new();
    let url = web.put("/a.tar", Answer::File(roots::small()));
    let list = flavor("x", &[version("a", "F", &url, &sha256(&roots::small()))]);
    set_lists(&instance, &list_file(&instance, "list.json", &list), None);
    install(&instance, &["a"]).expect(0);
    instance.inside("a", "echo OK").says("OK");
}

fn first_run() {
    let instance = Instance::new();
    // Started before, so that what is said is the session's own.
    let said = |name: &str| {
        instance.inside(name, "true").ok();
        instance.wsl(&["-d", name, "--cd", "~"])
    };
    let first_run_of = |name: &str| entry(&instance, name).first_run;

    // O01, O02: only an interactive shell runs it, once.
    let plain = image(&instance, "plain.tar", "[oobe]\ncommand = /bin/sh -c 'echo OOBE'\n");
    let plain = plain.to_str().expect("paths of tests are text");
    install(&instance, &["--from-file", plain, "--name", "plain"]).expect(0);
    assert_eq!(instance.wsl(&["-d", "plain", "echo", "no", "oobe"]).text(), "no oobe\n", "O01");
    assert!(first_run_of("plain"), "O01");
    assert_eq!(said("plain").expect(0).all(), "OOBE\n", "O02");
    assert!(!first_run_of("plain"), "O02");
    assert_eq!(said("plain").expect(0).all(), "", "O02");
    assert_eq!(entry(&instance, "plain").default_uid, 0, "O07");
    instance.wsl(&["--terminate", "plain"]).expect(0);
    assert_eq!(said("plain").expect(0).all(), "", "O02");

    // O04, O05: one that fails is tried again.
    let failing = "/bin/sh -c 'echo failed OOBE && exit 1'";
    let tar = image(&instance, "failing.tar", &format!("[oobe]\ncommand = {failing}\n"));
    install(&instance, &["--from-file", tar.to_str().expect("text"), "--name", "failing"]).expect(0);
    for id in ["O04", "O05"] {
        let output = said("failing");
        assert_eq!(output.expect(1).text(), "failed OOBE\n", "{id}");
        assert_eq!(output.errors(), format!("OOBE command \"{failing}\" failed, exiting\n"), "{id}");
        assert!(first_run_of("failing"), "{id}");
        instance.wsl(&["--terminate", "failing"]).expect(0);
    }
    assert_eq!(instance.wsl(&["-d", "failing", "echo", "OK"]).text(), "OK\n");

    // O08: who imports an image wants it as it is.
    instance.import("imported", Path::new(plain), 2);
    assert!(!first_run_of("imported"), "O08");
    assert_eq!(said("imported").expect(0).all(), "", "O08");

    // N34: a list and an archive on a server, a command that makes a user, who is the default one from then on.
    let web = Web::new();
    let conf = "[oobe]\ncommand = /bin/sh -c 'echo OOBE && echo my:x:1011:1011::/:/bin/sh >> /etc/passwd'\n \
                defaultUid = 1011\n";
    let tar = image(&instance, "end2end.tar", conf);
    let url = web.put("/distro.tar", Answer::File(tar.clone()));
    let list = flavor("end2end", &[default(version("end2end", "FriendlyName", &url, &sha256(&tar)))]);
    set_lists(&instance, &web.put("/", Answer::Bytes(list.to_string().into_bytes())), None);
    let output = install(&instance, &["end2end"]);
    assert_eq!(
        output.expect(0).text(),
        "Downloading: FriendlyName\nInstalling: FriendlyName\n\
         Distribution successfully installed. It can be launched via 'wsl -d end2end'\n"
    );
    assert_eq!(output.errors(), "");
    assert_eq!(said("end2end").expect(0).all(), "OOBE\n");
    assert_eq!(said("end2end").expect(0).all(), "");
    assert_eq!(instance.wsl(&["-d", "end2end", "id", "-u"]).text(), "1011\n");
    assert_eq!(entry(&instance, "end2end").default_uid, 1011);

    // Without `--no-launch` that shell follows at once.
    let output = instance.wsl(&["--install", "end2end", "--name", "launched"]);
    assert!(output.expect(0).text().ends_with("Launching launched...\nOOBE\n"), "{output}");
}

fn os_release() {
    let instance = Instance::new();
    let small = roots::small();
    let small = small.to_str().expect("paths of tests are text");
    let known = || {
        let entry = entry(&instance, "d");
        (entry.version, entry.flavor.unwrap_or_default(), entry.os_version.unwrap_or_default())
    };
    for versions in [[1, 2], [2, 1]] {
        let text = versions.map(|version| version.to_string());
        install(&instance, &["--from-file", small, "--name", "d", "--version", &text[0]]).expect(0);
        assert_eq!(known(), (versions[0], "small".into(), "1".into()), "O16");
        instance.wsl(&["--set-version", "d", &text[1]]).expect(0);
        assert_eq!(known(), (versions[1], "small".into(), "1".into()), "O16");
        instance.wsl(&["--unregister", "d"]).expect(0);
    }
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
