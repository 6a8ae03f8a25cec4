//! Names and paths, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::{files, kernel, roots};
use serde_json::{Value, json};

use super::{assert_nothing_attached, folder, instance, mount, name_of, plain, record, seen, unmount};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("mounting::m14_names_that_are_none", names),
        Case::new("mounting::m19_m20_one_disk_by_many_paths", paths),
        Case::new("mounting::m25_e22_e23_what_is_refused", refused),
    ]
}

fn names() {
    let instance = instance();
    let disk = plain(&instance, "names.img");
    for name in ["", ".", "..", "foo/bar"] {
        let said = mount(&instance, &disk, &["--name", name]);
        assert_eq!(
            said.expect(255).text(),
            "The mount name cannot be empty, '.', '..', or contain '/'. Please retry with a valid mount name.\n\
             Error code: Wsl/Service/MountDisk/WSL_E_VM_MODE_INVALID_MOUNT_NAME\n",
            "M14: {name:?}"
        );
    }
    assert_eq!(record(&instance)["disks"][0]["mounts"], json!([]), "M14: attached, not mounted");
    mount(&instance, &disk, &["--name", "with blank, ünd more"]).expect(0);
    instance.inside("d", "test -d '/mnt/wsl/with blank, ünd more/lost+found'").expect(0);
    unmount(&instance, &disk).expect(0);
    // What a distribution has put there is not followed.
    instance.inside("p", "ln -s / /mnt/wsl/link; echo > /mnt/wsl/file").expect(0);
    for name in ["link", "file"] {
        mount(&instance, &disk, &["--name", name]).expect(1).says("failed to mount");
    }
    instance.inside("p", "rm /mnt/wsl/link /mnt/wsl/file").expect(0);
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn paths() {
    let instance = instance();
    let disk = plain(&instance, "by path.img");
    let home = folder(&instance);
    std::os::unix::fs::symlink("by path.img", home.join("link")).expect("a link");
    let ways =
        ["by path.img", "./by path.img", "../disks/link", &disk.display().to_string()].map(PathBuf::from);
    for (index, way) in ways.iter().enumerate() {
        let other = &ways[(index + 1) % ways.len()];
        instance.wsl_tool(&["--mount", "--vhd"]).arg(way).folder(&home).run().expect(0);
        assert!(seen(&instance, "d", &name_of(&disk, None)).is_some(), "M19: {}", way.display());
        instance.wsl_tool(&["--unmount"]).arg(other).folder(&home).run().expect(0);
        assert_nothing_attached(&instance);
    }
    let never = plain(&instance, "never.img");
    unmount(&instance, &never).expect(255).says("Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND");
    let nowhere = instance.wsl_tool(&["--unmount", "nowhere.img"]).folder(&home).run();
    assert_eq!(nowhere.code(), Some(255), "M20: {nowhere}");
    // A disk that was deleted meanwhile is still unmounted under its name, and one that took its place is another one.
    mount(&instance, &disk, &["--name", "gone"]).expect(0);
    fs::remove_file(&disk).expect("a file of the test");
    instance.inside("d", "echo x > /mnt/wsl/gone/x").expect(0);
    plain(&instance, "by path.img");
    unmount(&instance, &disk).expect(0);
    assert_nothing_attached(&instance);
}

fn refused() {
    let instance = Instance::new();
    instance.import("one", &roots::small(), 1);
    let disk = plain(&instance, "refused.img");
    let said = mount(&instance, &disk, &[]);
    assert_eq!(
        said.expect(255).text(),
        "This operation is only supported by WSL2.\nError code: Wsl/Service/AttachDisk/WSL_E_WSL2_NEEDED\n",
        "M25"
    );
    assert_eq!(kernel::loops_below(&folder(&instance)), []);
    instance.import("d", &roots::small(), 2);
    assert_eq!(
        mount(&instance, Path::new("DoesNotExist"), &[]).expect(255).text(),
        "Failed to attach disk 'DoesNotExist' to WSL2: The system cannot find the file specified. \n\
         Error code: Wsl/Service/AttachDisk/MountDisk/HCS/ERROR_FILE_NOT_FOUND\n",
        "E22"
    );
    assert_eq!(
        unmount(&instance, Path::new("DoesNotExist")).expect(255).text(),
        "The system cannot find the file specified. \n\
         Error code: Wsl/Service/DetachDisk/ERROR_FILE_NOT_FOUND\n",
        "E23"
    );
    instance.wsl(&["--unmount"]).expect(0);
    mount(&instance, &folder(&instance), &[]).expect(255).says("neither a disk image nor a block device");
    mount(&instance, Path::new("/dev/null"), &[]).expect(255).says("neither a disk image nor a block device");
    let virtual_disk = folder(&instance).join("x.vhdx");
    files::write(&virtual_disk, b"vhdxfile and more");
    let said = mount(&instance, &virtual_disk, &["--vhd"]);
    said.expect(255).says("VHDX").says(&format!("qemu-img convert -O raw '{}'", virtual_disk.display()));
    assert_eq!(kernel::loops_below(&folder(&instance)), []);
    assert_eq!(record(&instance), Value::Null);
}
