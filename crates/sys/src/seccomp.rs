//! System calls that a container has no business with: they concern the host, and not all of them ask for a capability
//! that a container lacks.

mod calls;

use std::mem::offset_of;

use calls::{CALLS, Calls};
use libc::sock_filter;

use crate::error::{Result, SysError, last_errno};

/// Refuses, in the calling process and all it starts from now on, for ever: loading kernels and modules, swap, the clock,
/// file handles, BPF, performance counters, process accounting, quotas, I/O ports and the kernel log (EPERM); kernel keys
/// (ENOSYS, which programs take for a kernel without them); and every call of an architecture that is neither this one nor
/// its 32-bit companion (ENOSYS). `no_new_privs` stays off, so that sudo works; needs `CAP_SYS_ADMIN` in its place.
pub fn refuse_host_calls() -> Result<()> {
    let mut program = program();
    let length = u16::try_from(program.len()).expect("a few hundred instructions");
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies `len` instructions of the program, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            // Without it every process would pay for a protection of browsers' sandboxes.
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(SysError::new("refuse system calls of the host in", "this process", last_errno()))
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;

/// One block per architecture, each with a return at its end, and one for all others.
fn program() -> Vec<sock_filter> {
    let mut program = Vec::new();
    for calls in CALLS {
        let block = block(calls);
        program.push(instruction(LOAD, offset(offset_of!(libc::seccomp_data, arch))));
        let over = u8::try_from(block.len()).expect("a block is shorter than a jump can be");
        program.push(jump(IF_EQUAL, calls.architecture, 0, over));
        program.extend(block);
    }
    program.push(refuse(libc::ENOSYS));
    program
}

fn block(calls: &Calls) -> Vec<sock_filter> {
    let mut block = vec![instruction(LOAD, offset(offset_of!(libc::seccomp_data, nr)))];
    if let Some(first) = calls.foreign_from {
        block.push(jump(IF_NOT_BELOW, first, 0, 1));
        block.push(refuse(libc::ENOSYS));
    }
    for (numbers, errno) in [(calls.forbidden, libc::EPERM), (calls.absent, libc::ENOSYS)] {
        for number in numbers {
            block.push(jump(IF_EQUAL, *number, 0, 1));
            block.push(refuse(errno));
        }
    }
    block.push(instruction(RETURN, libc::SECCOMP_RET_ALLOW));
    block
}

fn refuse(errno: libc::c_int) -> sock_filter {
    instruction(RETURN, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned())
}

fn instruction(code: u32, operand: u32) -> sock_filter {
    jump(code, operand, 0, 0)
}

/// Goes on after so many instructions if the comparison holds, after so many if not.
fn jump(code: u32, operand: u32, holds: u8, holds_not: u8) -> sock_filter {
    let code = u16::try_from(code).expect("classic BPF has 16-bit codes");
    sock_filter { code, jt: holds, jf: holds_not, k: operand }
}

fn offset(offset: usize) -> u32 {
    u32::try_from(offset).expect("seccomp_data is 64 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would.
    fn verdict(architecture: u32, number: u32) -> u32 {
        let program = program();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match u32::from(code) {
                LOAD => loaded = if k == 0 { number } else { architecture },
                RETURN => return k,
                IF_EQUAL => at += usize::from(if loaded == k { jt } else { jf }),
                IF_NOT_BELOW => at += usize::from(if loaded >= k { jt } else { jf }),
                other => panic!("unknown instruction {other}"),
            }
        }
    }

    #[test]
    fn each_architecture_has_its_own_numbers() {
        let errno = |number: libc::c_int| libc::SECCOMP_RET_ERRNO | number.cast_unsigned();
        for calls in CALLS {
            for number in calls.forbidden {
                assert_eq!(verdict(calls.architecture, *number), errno(libc::EPERM), "{number}");
            }
            for number in calls.absent {
                assert_eq!(verdict(calls.architecture, *number), errno(libc::ENOSYS), "{number}");
            }
            // The last of them: none of them is so new.
            assert_eq!(verdict(calls.architecture, 9999), libc::SECCOMP_RET_ALLOW);
        }
        let native = CALLS[0].architecture;
        for allowed in [libc::SYS_reboot, libc::SYS_mount, libc::SYS_execve, libc::SYS_read] {
            assert_eq!(verdict(native, u32::try_from(allowed).unwrap()), libc::SECCOMP_RET_ALLOW);
        }
        assert_eq!(verdict(0xdead_beef, 0), errno(libc::ENOSYS));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(verdict(native, 0x4000_0000), errno(libc::ENOSYS), "x32");
    }
}
