//! `sampan.privateNetwork`: a distribution with a network of its own beside the engine.

use sampan_e2e::case::Case;
use sampan_e2e::instance::Instance;
use sampan_e2e::roots;

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("hardening::a_private_network_is_apart_from_the_engine_s", apart)]
}

fn apart() {
    let instance = Instance::started();
    for name in ["own", "shared"] {
        instance.import(name, &roots::small(), 2);
    }
    instance.inside("own", "printf '[sampan]\\nprivateNetwork=true\\n' > /etc/wsl.conf").ok();
    instance.wsl(&["--terminate", "own"]).expect(0);
    let boot = instance.inside("own", "echo here");
    boot.expect(0).says("here");
    assert_eq!(boot.errors(), "");
    let links = |name: &str| {
        let said =
            instance.inside(name, "tail -n +3 /proc/net/dev | cut -d: -f1; echo; ls /sys/class/net").ok();
        said.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(links("own"), ["lo", "lo"], "in /proc and in /sys");
    assert!(links("shared").contains(&"eth0".to_owned()), "the other one has the network of all");
    // It may do in its own what it may not in that of all.
    let change = "ip addr add 203.0.113.9/32 dev lo && echo OPEN";
    instance.inside("own", change).says("OPEN");
    assert!(!instance.inside("shared", change).text().contains("OPEN"));
    assert!(!instance.inside("shared", "ip addr").ok().contains("203.0.113.9"));
    // A container in either can mount its own view of the devices: the engine's is read-only for itself alone.
    for name in ["own", "shared"] {
        let nested =
            "mkdir -p /tmp/s && unshare -U -r -m -n sh -c 'mount -t sysfs s /tmp/s && ls /tmp/s/class/net'";
        assert_eq!(instance.inside(name, nested).ok(), "lo", "{name}");
    }
    instance.docker(&["version"]).expect(0);
}
