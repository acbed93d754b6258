//! Takes everything from this process but what it needs to read a disk and to tell of it.

use super::apart::{MOST_SECONDS, MOST_WAITING_SECONDS};
use nix::libc;
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, alarm, close, geteuid, setgid, setgroups, setuid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::RawFd;

/// A user and a group that nobody has: Debian gives out no such numbers.
pub(super) const NOBODY_ELSE: u32 = 65_522;
const OOM_SCORE: &str = "1000";
/// Address space.
const MOST_BYTES: u64 = 256 << 20;

/// What memory, time and the pipe take; and what ends the process. Nothing that opens, connects, signals, starts or asks.
const CALLS: [i64; 16] = [
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Closes all files but standard input, output and error, whoever has left them open for this process. It must not have any
/// of its own yet.
///
/// # Errors
///
/// They can't be listed.
pub(super) fn close_others() -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?.flatten();
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    // That of the list itself is among them, and closed by then.
    let others: Vec<_> = numbers.filter(|&number| number > 2).collect();
    for number in others {
        let _ = close(number);
    }
    Ok(())
}

/// From here on this process can do what the module says, and nothing gives it back what it had.
///
/// # Errors
///
/// A step is refused; the disk must not be read then.
pub(super) fn confine() -> Result<(), Box<dyn Error>> {
    // The first to be killed when the machine has no memory left.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    // Where it is tried by somebody else there is less to take.
    if geteuid().is_root() {
        setgroups(&[])?;
        setgid(Gid::from_raw(NOBODY_ELSE))?;
        // The kernel takes all capabilities with it.
        setuid(Uid::from_raw(NOBODY_ELSE))?;
    }
    set_no_new_privs()?;
    // Nobody else of this user looks into it, and there is no core of it.
    set_dumpable(false)?;
    for (resource, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, MOST_SECONDS),
        (Resource::RLIMIT_AS, MOST_BYTES),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, 0),
        (Resource::RLIMIT_NPROC, 0),
    ] {
        setrlimit(resource, most, most)?;
    }
    alarm::set(MOST_WAITING_SECONDS);
    apply_filter(&filter()?)?;
    Ok(())
}

/// Any other call ends the process.
fn filter() -> Result<BpfProgram, Box<dyn Error>> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    // Memory of its own, with no code in it.
    let argument = |index, mask: libc::c_int, value: libc::c_int| {
        let is = SeccompCmpOp::MaskedEq(mask as u64);
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, is, value as u64)
    };
    let no_code = argument(2, libc::PROT_EXEC, 0)?;
    let no_file = argument(3, libc::MAP_ANONYMOUS, libc::MAP_ANONYMOUS)?;
    calls.insert(
        libc::SYS_mmap,
        vec![SeccompRule::new(vec![no_code.clone(), no_file])?],
    );
    calls.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![no_code])?]);
    let filter = SeccompFilter::new(
        calls,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )?;
    Ok(filter.try_into()?)
}
