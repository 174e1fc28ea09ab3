//! The third layer: system calls that no command of an agent needs. See
//! <https://man7.org/linux/man-pages/man2/seccomp.2.html>.

use std::{collections::BTreeMap, io};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use crate::spec::Level;

/// Flags of `clone` and `unshare` that make a namespace. See
/// <https://man7.org/linux/man-pages/man7/namespaces.7.html>.
const NEW_NAMESPACE: [u64; 8] = [
    0x0000_0080, // time
    0x0002_0000, // mount
    0x0200_0000, // cgroup
    0x0400_0000, // uts
    0x0800_0000, // ipc
    0x1000_0000, // user
    0x2000_0000, // pid
    0x4000_0000, // net
];

/// Types what it likes into the terminal of another program.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// x32 numbers begin here; the filters below compare plain ones.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// What is refused with these errors, and when.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filters on this thread, and on all that it will start. Programs can no longer gain
/// privileges by what they run.
///
/// # Errors
/// The operating system's. The thread must start nothing then.
pub(crate) fn restrict(level: Level) -> io::Result<()> {
    let refused = libc::EPERM.unsigned_abs();
    let missing = libc::ENOSYS.unsigned_abs();
    apply(compile(missing_calls(), missing)?)?;
    apply(compile(refused_calls()?, refused)?)?;
    if level != Level::Namespaces {
        apply(compile(calls_on_others()?, refused)?)?;
    }
    #[cfg(target_arch = "x86_64")]
    apply(no_x32())?;
    Ok(())
}

/// Calls that answer as on a kernel without them, so that programs use what there was before.
fn missing_calls() -> Rules {
    // The flags of `clone3` are in memory, where no filter can look.
    let calls = [
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_userfaultfd,
    ];
    calls.map(|call| (call, Vec::new())).into()
}

fn refused_calls() -> io::Result<Rules> {
    let calls = [
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_setns,
    ];
    let mut rules: Rules = calls.map(|call| (call, Vec::new())).into();
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        let has = |flag| rule(0, SeccompCmpOp::MaskedEq(flag), flag);
        rules.insert(call, NEW_NAMESPACE.map(has).into_iter().collect::<io::Result<_>>()?);
    }
    let is = |operation| rule(1, SeccompCmpOp::Eq, operation);
    rules.insert(libc::SYS_ioctl, vec![is(TIOCSTI)?, is(TIOCLINUX)?]);
    Ok(rules)
}

/// What reaches other processes of the same user, where no pid namespace keeps them away.
fn calls_on_others() -> io::Result<Rules> {
    let calls = [
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
    ];
    let mut rules: Rules = calls.map(|call| (call, Vec::new())).into();
    let by_pid = [
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ];
    for call in by_pid {
        rules.insert(call, vec![is_not(0, 0)?]);
    }
    // Of a process (`PRIO_PROCESS`, `IOPRIO_WHO_PROCESS`), and that the caller itself.
    rules.insert(libc::SYS_setpriority, vec![is_not(0, 0)?, is_not(1, 0)?]);
    rules.insert(libc::SYS_ioprio_set, vec![is_not(0, 1)?, is_not(1, 0)?]);
    Ok(rules)
}

fn is_not(argument: u8, value: u64) -> io::Result<SeccompRule> {
    rule(argument, SeccompCmpOp::Ne, value)
}

fn rule(argument: u8, compare: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    // The kernel takes these arguments as 32 bits.
    let condition = SeccompCondition::new(argument, Dword, compare, value);
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(io::Error::other)
}

fn compile(rules: Rules, errno: u32) -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(errno));
    let filter = SeccompFilter::new(rules, allow, refuse, arch).map_err(io::Error::other)?;
    BpfProgram::try_from(filter).map_err(io::Error::other)
}

fn apply(program: BpfProgram) -> io::Result<()> {
    apply_filter(&program).map_err(io::Error::other)
}

/// Refuses the numbers of x32, which would pass the other filters.
#[cfg(target_arch = "x86_64")]
fn no_x32() -> BpfProgram {
    use seccompiler::sock_filter;
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS, at offset 0
    const JUMP_IF_GE: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let refuse = u32::from(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_GE, 0, 1, X32),
        step(RETURN, 0, 0, refuse),
        step(RETURN, 0, 0, u32::from(SeccompAction::Allow)),
    ]
}
