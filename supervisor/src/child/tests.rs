use std::{
    ffi::CString,
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use rustix::fs::{Mode, OFlags};

use super::*;
use crate::sys::{ParentDeath, Step};

/// Starts `/bin/sh -c script` with its output on descriptor 3.
fn shell(script: &str, nofile: u64) -> (Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let child = start(c"/bin/sh", &[c"sh", c"-c", &CString::new(script).unwrap()], &theirs, nofile);
    (child.unwrap(), ours)
}

fn start(
    program: &std::ffi::CStr,
    arguments: &[&std::ffi::CStr],
    output: &UnixStream,
    nofile: u64,
) -> Result<Child, ForkExecError> {
    let null: OwnedFd =
        rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let arguments: Vec<CString> = arguments.iter().map(|&text| text.to_owned()).collect();
    Child::start(&Plan {
        program,
        arguments: &arguments,
        environment: &[c"PATH=/usr/bin:/bin".to_owned(), c"MARK=kept".to_owned()],
        input: null.as_fd(),
        descriptors: &[output.as_fd()],
        nofile,
        on_parent_death: ParentDeath::Nothing,
    })
}

fn text(mut stream: UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn wait(child: &Child) -> Exit {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(exit) = child.reap() {
            return exit;
        }
        assert!(Instant::now() < deadline, "the child does not end");
        std::thread::yield_now();
    }
}

#[test]
fn it_gets_what_is_named_and_nothing_else() {
    // Something that closes on no exec, as a careless parent leaves behind.
    let stray: OwnedFd = rustix::fs::open("/dev/zero", OFlags::RDONLY, Mode::empty()).unwrap();
    let script = "exec 1>&3; echo $LISTEN_PID $$ $MARK; ulimit -n; readlink /proc/self/fd/0; \
                  ls -l /proc/$$/fd | grep -c zero; \
                  grep -E 'Sig(Blk|Ign)' /proc/self/status; ps -o pgid= -p $$";
    let (child, output) = shell(script, 77);
    let pid = child.number().to_string();
    let output = text(output);
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(lines[0], format!("{pid} {pid} kept"));
    assert_eq!(lines[1..4], ["77", "/dev/null", "0"]);
    assert_eq!(lines[4], "SigBlk:\t0000000000000000");
    assert_eq!(lines[5], "SigIgn:\t0000000000000000");
    assert_eq!(lines[6], pid);
    assert_eq!(wait(&child), Exit::Code { code: 0 });
    drop(stray);
}

#[test]
fn a_program_that_cannot_run_says_why_and_leaves_nothing() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let error = start(c"/nowhere/evonic", &[c"evonic"], &theirs, 64).unwrap_err();
    let ForkExecError::Child { step, source } = error else { panic!("{error:?}") };
    assert_eq!((step, source.kind()), (Step::Execute, io::ErrorKind::NotFound));
    let error = start(c"/etc/passwd", &[c"evonic"], &theirs, 64).unwrap_err();
    let ForkExecError::Child { step, source } = error else { panic!("{error:?}") };
    assert_eq!((step, source.kind()), (Step::Execute, io::ErrorKind::PermissionDenied));
}

#[test]
fn ends_are_told_apart() {
    let (child, _output) = shell("exit 7", 64);
    assert_eq!(wait(&child), Exit::Code { code: 7 });

    let (child, _output) = shell("kill -SEGV $$", 64);
    assert_eq!(wait(&child), Exit::Signal { signal: "SIGSEGV".into(), after_grace: false });

    let (child, _output) = shell("exec sleep 60", 64);
    child.terminate().unwrap();
    assert_eq!(wait(&child), Exit::Signal { signal: "SIGTERM".into(), after_grace: false });

    let (child, _output) = shell("kill -KILL $$", 64);
    assert_eq!(wait(&child), Exit::Signal { signal: "SIGKILL".into(), after_grace: false });

    let deaf = "trap '' TERM; echo up >&3; while :; do sleep 60; done";
    let (mut child, mut output) = shell(deaf, 64);
    output.read_exact(&mut [0; 3]).unwrap();
    child.terminate().unwrap();
    child.kill().unwrap();
    assert_eq!(wait(&child), Exit::Signal { signal: "SIGKILL".into(), after_grace: true });

    let (child, _output) = shell("kill -35 $$", 64);
    assert_eq!(wait(&child), Exit::Signal { signal: "signal 35".into(), after_grace: false });
}

#[test]
fn what_is_left_of_its_group_goes_with_it() {
    // The helper holds descriptor 3 open: end of file is its death.
    let (child, output) = shell("sleep 60 & exit 0", 64);
    assert_eq!(wait(&child), Exit::Code { code: 0 });
    assert_eq!(text(output), "");
}
