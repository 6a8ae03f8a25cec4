//! From files: names, places, formats.

use std::fs;
use std::path::Path;

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::tools::Tool;
use sampan_e2e::{files, roots};

use super::{assert_fails, assert_nothing, entry, image, install};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("install::n01_n07_n08_and_n11_a_name_of_the_image_s_own_and_a_place", names_and_places),
        Case::new("install::n02_n04_and_n05_an_image_s_name_that_does_not_do_leaves_nothing", bad_names),
        Case::new("install::i20_and_i26_whatever_tar_reads", formats),
        Case::new("install::archives_that_are_cut_off_leave_nothing", cut_archives),
        Case::new("install::o16_a_conversion_keeps_what_os_release_said", os_release),
    ]
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
        .wsl_tool(&["--install", "--from-file", "-", "--name", "empty-distro"])
        .args(["--no-launch", "--version", "2"])
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
