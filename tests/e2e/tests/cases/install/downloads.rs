//! Downloads that go wrong.

use sampan_e2e::case::Case;
use sampan_e2e::disk::FullDisk;
use sampan_e2e::instance::Instance;
use sampan_e2e::web::{Answer, Web};
use sampan_e2e::{files, roots};

use super::{assert_fails, assert_nothing, flavor, install, list_file, set_lists, sha256, version};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("install::downloads_that_go_wrong_leave_nothing", downloads),
        Case::new("install::a_full_disk_is_told_and_nothing_is_left", full),
        Case::new("install::a_service_that_dies_while_it_downloads_leaves_nothing", killed),
    ]
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
