//! Which devices may be opened in a cgroup: a BPF program at the cgroup (linux/bpf.h, `BPF_PROG_TYPE_CGROUP_DEVICE`). It
//! works wherever the unified hierarchy is mounted, with or without controllers; programs below can only narrow it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{Context, Result, last_errno};

/// Devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// Block devices, not character devices.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number; none: all.
    pub minor: Option<u32>,
}

/// From now on processes of `cgroup` (a folder of the unified hierarchy) and of all below it open no device but these, for
/// whatever purpose. Making nodes stays allowed, for archives contain them. A cgroup that has such a program keeps the one
/// it has. The program goes with its cgroup.
pub fn limit_devices(cgroup: &Path, allowed: &[DeviceRule]) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(cgroup, flags, Mode::empty()).on("open the cgroup", cgroup)?;
    if programs(&folder, cgroup)?.is_empty() {
        attach(&folder, cgroup, allowed)?;
    }
    Ok(())
}

/// The same for a cgroup that has such a program, which is replaced. In between both are in force.
pub fn replace_device_limits(cgroup: &Path, allowed: &[DeviceRule]) -> Result<()> {
    const WHAT: &str = "replace the device rules of";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(cgroup, flags, Mode::empty()).on("open the cgroup", cgroup)?;
    let old = programs(&folder, cgroup)?;
    attach(&folder, cgroup, allowed)?;
    for id in old {
        let mut by_id = ById { id, ..ById::default() };
        let fd = call(PROG_GET_FD_BY_ID, &mut by_id).on(WHAT, cgroup)?;
        // SAFETY: PROG_GET_FD_BY_ID succeeded, so this is a new descriptor that nobody else owns.
        let program = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut detach = Attach::new(&folder, &program, 0);
        call(PROG_DETACH, &mut detach).on(WHAT, cgroup)?;
    }
    Ok(())
}

fn attach(folder: &OwnedFd, cgroup: &Path, allowed: &[DeviceRule]) -> Result<()> {
    let program = load(&program(allowed), cgroup)?;
    let mut attach = Attach::new(folder, &program, ALLOW_MULTI);
    call(PROG_ATTACH, &mut attach).map(drop).on("limit the devices of", cgroup)
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`
const PROGRAM_TYPE: u32 = 15;
/// `BPF_CGROUP_DEVICE`
const CGROUP_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: cgroups below may have programs of their own, and those of all levels must agree.
const ALLOW_MULTI: u32 = 2;

/// `union bpf_attr` for `BPF_PROG_LOAD`, up to the last field needed.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// `union bpf_attr` for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

impl Attach {
    fn new(folder: &OwnedFd, program: &OwnedFd, flags: u32) -> Self {
        let number = |fd: &OwnedFd| fd.as_raw_fd().cast_unsigned();
        Self { target: number(folder), program: number(program), kind: CGROUP_DEVICE, flags }
    }
}

/// `union bpf_attr` for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

fn load(instructions: &[u64], cgroup: &Path) -> Result<OwnedFd> {
    let mut load = Load {
        program_type: PROGRAM_TYPE,
        instruction_count: u32::try_from(instructions.len()).expect("a few dozen"),
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: c"".as_ptr().expose_provenance() as u64,
        ..Load::default()
    };
    let fd = call(PROG_LOAD, &mut load).on("load the device rules of", cgroup)?;
    // SAFETY: PROG_LOAD succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The programs of this kind that are attached to the cgroup itself.
fn programs(folder: &OwnedFd, cgroup: &Path) -> Result<Vec<u32>> {
    // The kernel takes no more than that (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0_u32; 64];
    let target = folder.as_raw_fd().cast_unsigned();
    let count = u32::try_from(ids.len()).expect("64");
    let ids_at = ids.as_mut_ptr().expose_provenance() as u64;
    let mut query = Query { target, kind: CGROUP_DEVICE, ids: ids_at, count, ..Query::default() };
    call(PROG_QUERY, &mut query).on("ask for the device rules of", cgroup)?;
    Ok(ids[..(query.count as usize).min(ids.len())].to_vec())
}

fn call<T>(command: libc::c_int, attributes: &mut T) -> std::result::Result<libc::c_int, rustix::io::Errno> {
    // SAFETY: `attributes` is the part of bpf_attr that the command uses, of the size given; the kernel takes what is not
    // there for zero. What it points to is borrowed by the caller for longer than the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 { Err(last_errno()) } else { Ok(libc::c_int::try_from(result).unwrap_or(0)) }
}

/// The program gets a `struct bpf_cgroup_dev_ctx`: access << 16 | type, major, minor, and answers 1 for yes.
fn program(allowed: &[DeviceRule]) -> Vec<u64> {
    const MKNOD: i32 = 1;
    const BLOCK: i32 = 1;
    const CHARACTER: i32 = 2;
    let mut program = vec![
        load_word(2, 0),
        load_word(3, 4),
        load_word(4, 8),
        code(0xbf, 5, 2, 0, 0),      // r5 = r2
        code(0x77, 5, 0, 0, 16),     // r5 >>= 16
        code(0x57, 2, 0, 0, 0xffff), // r2 &= 0xffff
        unless_equal(5, MKNOD, 2),
        answer(1),
        EXIT,
    ];
    for DeviceRule { block, major, minor } in allowed {
        let minor = minor.map(|minor| unless_equal(4, minor.cast_signed(), 2));
        let over = 2 + i16::from(minor.is_some());
        program.push(unless_equal(2, if *block { BLOCK } else { CHARACTER }, over + 1));
        program.push(unless_equal(3, major.cast_signed(), over));
        program.extend(minor);
        program.extend([answer(1), EXIT]);
    }
    program.extend([answer(0), EXIT]);
    program
}

const EXIT: u64 = code(0x95, 0, 0, 0, 0);

/// `r = *(u32 *)(r1 + offset)`
const fn load_word(register: u8, offset: i16) -> u64 {
    code(0x61, register, 1, offset, 0)
}

/// `if r != value` skip so many instructions.
const fn unless_equal(register: u8, value: i32, skip: i16) -> u64 {
    code(0x55, register, 0, skip, value)
}

/// `r0 = value`
const fn answer(value: i32) -> u64 {
    code(0xb7, 0, 0, 0, value)
}

/// `struct bpf_insn`: opcode, destination and source register, offset, immediate value.
const fn code(opcode: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let [o0, o1] = offset.to_ne_bytes();
    let [v0, v1, v2, v3] = value.to_ne_bytes();
    u64::from_ne_bytes([opcode, registers, o0, o1, v0, v1, v2, v3])
}
