//! Section 8 of the case table: `/etc/wsl.conf`.
//!
//! Rows K are expectations of WSL's own tests; rows X were obtained by running its parser.

use super::{Row, reads, stops};

pub(crate) const ROWS: &[Row] = &[
    reads("K01", b"[foo]\na=b", &[], &["Unknown key 'foo.a' in /etc/wsl.conf:2"]),
    stops("K02", b"a=a\\m", &[], "Invalid escaped character: 'm' in /etc/wsl.conf:1"),
    reads("K04", b"\r\n\r\n[foo]\r\na=b", &[], &["Unknown key 'foo.a' in /etc/wsl.conf:5"]),
    reads("K05", b"[network]\r\nhostname=foo\r\n", &[("network.hostname", "foo")], &[]),
    reads("X01", b"[boot]\nsystemd = TRUE # c", &[("boot.systemd", "true")], &[]),
    reads("X01", b"[boot]\nsystemd = False", &[("boot.systemd", "false")], &[]),
    reads("X02", b"[Boot]\nSystemD=1", &[("boot.systemd", "true")], &[]),
    reads(
        "X04",
        b"[boot]\nsystemd=\n[user]\ndefault=ann",
        &[("boot.systemd", "false"), ("user.default", "ann")],
        &["Invalid boolean value '' for key 'boot.systemd' in /etc/wsl.conf:2"],
    ),
    reads("X05", b"[boot]\nsystemd=true", &[("boot.systemd", "true")], &[]),
    stops("X07", b"[boot ]\nsystemd=true", &[("boot.systemd", "false")], "Expected ']' in /etc/wsl.conf:1"),
    stops(
        "X08",
        b"[boot] systemd=true",
        &[("boot.systemd", "false")],
        "Expected ' ' or '\\n' in /etc/wsl.conf:1",
    ),
    stops(
        "X10",
        b"[]\nsystemd=true",
        &[("boot.systemd", "false")],
        "Invalid section name in /etc/wsl.conf:1",
    ),
    stops(
        "X10",
        b"[1boot]\nsystemd=true",
        &[("boot.systemd", "false")],
        "Invalid section name in /etc/wsl.conf:1",
    ),
    stops("X11", b"boot.systemd=true", &[("boot.systemd", "false")], "Expected '=' in /etc/wsl.conf:1"),
    stops("X13", b"[network]\nhost-name=a", &[("network.hostname", "")], "Expected '=' in /etc/wsl.conf:2"),
    reads(
        "X14",
        b"[boot]\ncommand=\"service docker start # not comment\"",
        &[("boot.command", "service docker start # not comment")],
        &[],
    ),
    reads(
        "X16",
        b"[boot]\ncommand=sh -c \"echo a; echo b\"",
        &[("boot.command", "sh -c echo a; echo b")],
        &[],
    ),
    reads("X17", b"[boot]\ncommand=sh -c \\\"echo a\\\"", &[("boot.command", "sh -c \"echo a\"")], &[]),
    // The row names line 3 and writes CRLF behind `[boot]` too. WSL's parser says 3 with a line feed there,
    // and 4 with CRLF, in which case the header counts as two lines.
    stops(
        "X19",
        b"[boot]\ncommand=a \\\r\n b\r\n",
        &[("boot.command", "a ")],
        "Expected '=' in /etc/wsl.conf:3",
    ),
    stops(
        "X19",
        b"[boot]\r\ncommand=a \\\r\n b\r\n",
        &[("boot.command", "a ")],
        "Expected '=' in /etc/wsl.conf:4",
    ),
    reads("X20", b"[boot]\ncommand=a\\\\b\\tc\\nd", &[("boot.command", "a\\b\tc\nd")], &[]),
    reads("X22", b"[boot]\ncommand=  lead and trail   ", &[("boot.command", "lead and trail")], &[]),
    stops(
        "X23",
        b"[boot]\ncommand=\"unterminated",
        &[("boot.command", "")],
        "Expected \" in /etc/wsl.conf:2",
    ),
    reads("X25", b"[boot]\ncommand=a\"b\"c\"d\"", &[("boot.command", "abcd")], &[]),
    reads(
        "X26",
        b"[automount]\noptions=\"metadata,umask=22,fmask=11\"",
        &[("automount.options", "metadata,umask=22,fmask=11")],
        &[],
    ),
    reads(
        "X28",
        b"[automount]\nenabled=false # x\ncgroups=V1",
        &[("automount.enabled", "false"), ("automount.cgroups", "v1")],
        &[],
    ),
    reads(
        "X29",
        b"[automount]\ncgroups=v3",
        &[("automount.cgroups", "v2")],
        &["Invalid value 'v3' for config key 'automount.cgroups' in /etc/wsl.conf:2 (Valid values: v1, v2)"],
    ),
    reads("X31", b"[filesystem]\numask=0x1f", &[("filesystem.umask", "31")], &[]),
    reads(
        "X32",
        b"[filesystem]\numask=089",
        &[("filesystem.umask", "18")],
        &["Invalid integer value '089' for key 'filesystem.umask' in /etc/wsl.conf:2"],
    ),
    reads(
        "X32",
        b"[filesystem]\numask=9z",
        &[("filesystem.umask", "18")],
        &["Invalid integer value '9z' for key 'filesystem.umask' in /etc/wsl.conf:2"],
    ),
    reads(
        "X34",
        b"[user]\ndefault=ann\n[user]\ndefault=bob",
        &[("user.default", "ann")],
        &["Duplicated config key 'user.default' in /etc/wsl.conf:4 (Conflicting key: 'user.default' in \
           /etc/wsl.conf:2)"],
    ),
    reads(
        "X35",
        b"[boot]\nsystemd=bogus\nsystemd=true",
        &[("boot.systemd", "false")],
        &[
            "Invalid boolean value 'bogus' for key 'boot.systemd' in /etc/wsl.conf:2",
            "Duplicated config key 'boot.systemd' in /etc/wsl.conf:3 (Conflicting key: 'boot.systemd' in \
             /etc/wsl.conf:2)",
        ],
    ),
    stops(
        "X37",
        b"[boot]\nsystemd=true\n[user]\ndefault=x\\qy\n[network]\nhostname=h",
        &[("boot.systemd", "true"), ("user.default", ""), ("network.hostname", "")],
        "Invalid escaped character: 'q' in /etc/wsl.conf:4",
    ),
    reads("X38", b"[network]\nhostname=a#b", &[("network.hostname", "a")], &[]),
    stops("X40", b"\xef\xbb\xbf[boot]\nsystemd=true", &[("boot.systemd", "false")], ""),
];
