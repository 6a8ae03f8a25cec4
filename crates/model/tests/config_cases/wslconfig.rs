//! Section 9 of the case table: `.wslconfig`, on a host with 16 GiB of memory and 8 processors.
//!
//! Line numbers of rows S count from the input here; in the table they have a prefix of 20 lines before them.

use super::{Row, changes, reads, round, unopened};

/// What nothing does, and why.
pub(crate) const NOT_MET: &[(&str, &str)] = &[
    ("S25", "the key is read and changes nothing: there is one network, and it is never bridged"),
    ("S29", "swap is the host's: there is no file of it to make"),
    ("S31", "swap is the host's: the key limits how much of it is used, which is no size of a device"),
];

/// What the program that prints does, with the file of its tests.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[("S28", "bins/sampan/src/commands/wsl/tests")];

/// `wsl2.networkingMode` has to be mirrored for the ports to count.
const MIRRORED: &[u8] = b"[wsl2]\nnetworkingMode=mirrored\n";

pub(crate) const ROWS: &[Row] = &[
    reads("S01", b"[wsl2]\na=b", &[], &["Unknown key 'wsl2.a' in CFG:2"]),
    reads("S02", b"[wsl2]\n[=b", &[], &["Invalid section name in CFG:2"]),
    reads(
        "S04",
        b"[wsl2]\nipv6=NotABoolean",
        &[("wsl2.ipv6", "false")],
        &["Invalid boolean value 'NotABoolean' for key 'wsl2.ipv6' in CFG:2"],
    ),
    reads("S05", b"[wsl2]\n[sectionNotComplete", &[], &["Expected ']' in CFG:2"]),
    reads(
        "S07",
        b"[wsl2]\nnetworkingMode=InvalidMode",
        &[("wsl2.networkingMode", "Nat")],
        &["Invalid value 'InvalidMode' for config key 'wsl2.networkingMode' in CFG:2 (Valid values: \
           Bridged, Consomme, Mirrored, Nat, None, VirtioProxy)"],
    ),
    reads("S08", b"[wsl2]\nnetworkingMode=a\\m", &[], &["Invalid escaped character: 'm' in CFG:2"]),
    reads(
        "S10",
        b"[wsl2]\nswap=0foo",
        &[],
        &["Invalid memory string '0foo' for .wslconfig entry 'wsl2.swap' in CFG:2"],
    ),
    reads("S11", b"[wsl2]\nswap=0GB", &[("wsl2.swap", "0")], &[]),
    reads(
        "S13",
        b"[wsl2]\nmemory=",
        &[("wsl2.memory", "8589934592")],
        &["Invalid memory string '' for .wslconfig entry 'wsl2.memory' in CFG:2"],
    ),
    reads(
        "S14",
        b"[wsl2]\ndebugConsole=",
        &[("wsl2.debugConsole", "false")],
        &["Invalid boolean value '' for key 'wsl2.debugConsole' in CFG:2"],
    ),
    reads(
        "S16",
        b"[wsl2]\nipv6=true\nipv6=false",
        &[("wsl2.ipv6", "true")],
        &["Duplicated config key 'wsl2.ipv6' in CFG:3 (Conflicting key: 'wsl2.ipv6' in CFG:2)"],
    ),
    reads(
        "S17",
        b"[wsl2]\nnetworkingMode=NAT\n[experimental]\nnetworkingMode=Mirrored",
        &[("wsl2.networkingMode", "Nat"), ("experimental.networkingMode", "Nat")],
        &["Duplicated config key 'experimental.networkingMode' in CFG:4 (Conflicting key: \
           'wsl2.networkingMode' in CFG:2)"],
    ),
    reads(
        "S19",
        b"[wsl2]\nprocessors=9",
        &[("wsl2.processors", "8")],
        &["wsl2.processors cannot exceed the number of logical processors on the system (9 > 8)"],
    ),
    reads(
        "S20",
        b"[experimental]\ndnsTunneling=true\ndnsTunnelingIpAddress=1.2.3",
        &[("experimental.dnsTunneling", "false"), ("experimental.dnsTunnelingIpAddress", "")],
        &["Invalid IP value '1.2.3' for key 'experimental.dnsTunnelingIpAddress' in CFG:3"],
    ),
    reads("S22", b"[experimental]\nswiotlb=64M", &[("experimental.swiotlb", "67108864")], &[]),
    reads("S22", b"[experimental]\nswiotlb=4096K", &[("experimental.swiotlb", "4194304")], &[]),
    reads(
        "S23",
        b"[experimental]\nswiotlb=garbage",
        &[("experimental.swiotlb", "0")],
        &["Invalid memory string 'garbage' for .wslconfig entry 'experimental.swiotlb' in CFG:2"],
    ),
    unopened("S26", "Permission denied", "Failed to open config file CFG, Permission denied"),
    round("R01", MIRRORED, "experimental.ignoredPorts", &[("1,2,300,4455,65535", "1,2,300,4455,65535")]),
    round(
        "R02",
        MIRRORED,
        "experimental.ignoredPorts",
        &[("10,20,-100,p", "10,20"), ("100,200,notaport", "100,200"), ("notaport", "")],
    ),
    round("R04", MIRRORED, "experimental.ignoredPorts", &[("1000,2000;3.4", "1000,2000")]),
    round(
        "R05",
        MIRRORED,
        "experimental.ignoredPorts",
        &[("10000, 20000,        30000,40000        ,50000", "10000,20000,30000,40000,50000")],
    ),
    round("R07", b"", "wsl2.swapFile", PATHS),
    round("R07", b"", "wsl2.kernel", PATHS),
    round("R07", b"", "wsl2.systemDistro", PATHS),
    changes(
        "R07",
        b"[wsl2]\n",
        &[("wsl2.swapFile", "C:\\DoesNotExit\\ext4.vhdx")],
        b"[wsl2]\nswapFile=C:\\\\DoesNotExit\\\\ext4.vhdx\n",
    ),
    round("R08", b"", "wsl2.processors", &[("-123443", "8"), ("-1", "8"), ("1234", "8"), ("2", "2")]),
    round("R10", b"", "wsl2.vmIdleTimeout", TIMES),
    round("R10", b"", "experimental.initialAutoProxyTimeout", TIMES),
    round("R11", b"", "wsl2.memory", &[("0", "8589934592")]),
    round(
        "R13",
        b"",
        "wsl2.memory",
        &[("34359738368", "17179869184"), ("17179869184", "17179869184"), ("1", "268435456")],
    ),
    round("R14", b"", "wsl2.swap", SIZES),
    round("R14", b"", "wsl2.defaultVhdSize", SIZES),
    round(
        "R16",
        b"[wsl2]\nsafeMode=true\n",
        "wsl2.hardwarePerformanceCounters",
        &[("true", "false"), ("false", "false")],
    ),
    changes(
        "R17",
        b"[wsl2] # all\nvmIdleTimeout=200     # first\n  vmIdleTimeout = 20000\t# second\nvmIdleTimeout=3\n",
        &[("wsl2.vmIdleTimeout", "1234")],
        b"[wsl2] # all\nvmIdleTimeout=1234     # first\n  vmIdleTimeout = 20000\t# second\nvmIdleTimeout=3\n",
    ),
    // A value over several lines is one value.
    changes(
        "R17",
        b"[wsl2]\nswapfile=E:\\\\a\\\nb\\\\c \t# kept\nbabyshark\n",
        &[("wsl2.swapFile", "C:\\x")],
        b"[wsl2]\nswapfile=C:\\\\x \t# kept\nbabyshark\n",
    ),
    changes(
        "R19",
        b"[wsl2]\nswap=0\n# end\n\n[experimental]\nautoProxy=false\n\n\n[general]\n",
        &[("wsl2.ipv6", "true"), ("experimental.autoMemoryReclaim", "Gradual")],
        b"[wsl2]\nswap=0\n# end\nipv6=true\n\n[experimental]\nautoProxy=false\nautoMemoryReclaim=Gradual\n\n\
          \n[general]\n",
    ),
    // A comment on the next header stays with it.
    changes(
        "R19",
        b"[wsl2]\r\nswap=0\r\n\r\n# later\r\n[experimental]\r\n",
        &[("wsl2.ipv6", "true")],
        b"[wsl2]\r\nswap=0\r\nipv6=true\r\n\r\n# later\r\n[experimental]\r\n",
    ),
    changes("R20", b"[wsl2]\nswap=0\n", &[("wsl2.guiApplications", "true")], b"[wsl2]\nswap=0\n"),
    changes(
        "R22",
        b"[wsl2]\nmemory=32G\nprocessors=12 # why\nbabyshark\ndefaultVhdSize=1TB\nautoProxy=false\n",
        &[
            ("wsl2.memory", "8589934592"),
            ("wsl2.processors", "8"),
            ("wsl2.autoProxy", "true"),
            ("wsl2.defaultVhdSize", "1099511627775"),
        ],
        b"[wsl2]\n# why\nbabyshark\ndefaultVhdSize=1099511627775\n",
    ),
    changes(
        "R23",
        b"[wsl2]\n[experimental]\n[wsl2]\n",
        &[("wsl2.memory", "17825792000")],
        b"[wsl2]\nmemory=17825792000\n[experimental]\n[wsl2]\n",
    ),
    changes(
        "R25",
        b"[wsl2]\nprocessors=4\n\n[experimental]\nautoProxy=true\n\n[WSL2]\nswap=0\n",
        &[("wsl2.memory", "4GB")],
        b"[wsl2]\nprocessors=4\nmemory=4GB\n\n[experimental]\nautoProxy=true\n\n[WSL2]\nswap=0\n",
    ),
    changes("R26", b"[wsl2]\nprocessors=2", &[("wsl2.memory", "3GB")], b"[wsl2]\nprocessors=2\nmemory=3GB\n"),
    changes("R28", b"[wsl2]", &[("wsl2.memory", "6GB")], b"[wsl2]\nmemory=6GB\n"),
    reads("Y01", b"[wsl2]\nmemory=8GB", &[("wsl2.memory", "8589934592")], &[]),
    reads(
        "Y02",
        b"[wsl2]\nmemory=8gb",
        &[("wsl2.memory", "8589934592")],
        &["Invalid memory string '8gb' for .wslconfig entry 'wsl2.memory' in CFG:2"],
    ),
    // 2^64 - 1 before it is kept to what there is.
    reads("Y04", b"[wsl2]\nmemory=-1", &[("wsl2.memory", "17179869184")], &[]),
    reads(
        "Y05",
        b"bad line\n[wsl2]\nmemory=4GB\n",
        &[("wsl2.memory", "4294967296")],
        &["Expected '=' in CFG:1"],
    ),
];

const PATHS: &[(&str, &str)] = &[
    ("C:\\DoesNotExit\\ext4.vhdx", "C:\\DoesNotExit\\ext4.vhdx"),
    ("\\DoesNotExit\\ext4.vhdx", "\\DoesNotExit\\ext4.vhdx"),
    ("", ""),
];

const TIMES: &[(&str, &str)] =
    &[("-132445", "-132445"), ("0", "0"), ("1", "1"), ("13456", "13456"), ("100000000", "100000000")];

const SIZES: &[(&str, &str)] =
    &[("0", "0"), ("1", "1"), ("13456", "13456"), ("9223372036854775807", "9223372036854775807")];
