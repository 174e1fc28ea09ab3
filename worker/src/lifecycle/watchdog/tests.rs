use std::{
    io::Read,
    process::{Command, Stdio},
    time::Duration,
};

use super::*;

const BODY: &str = "lifecycle::watchdog::tests::body";

/// Set in the process that is [`body`].
const HANGS: &str = "EVONIC_TEST_HANGS";

/// A process that hangs in every way it can: in its main thread, and in a destructor. Anywhere
/// else it does nothing.
#[test]
fn body() {
    if std::env::var_os(HANGS).is_none() {
        return;
    }
    let watchdog = Watchdog::start(log::Style::Plain).unwrap();
    let now = Instant::now();
    watchdog.arm(now + Duration::from_secs(3600), ExitCode::Software);
    watchdog.arm(now + Duration::from_millis(50), ExitCode::Watchdog);
    watchdog.arm(now + Duration::from_secs(1800), ExitCode::Orphaned);
    struct Hangs;
    impl Drop for Hangs {
        fn drop(&mut self) {
            let forever = Mutex::new(());
            let mut guard = forever.lock();
            Condvar::new().wait(&mut guard);
        }
    }
    drop(Hangs);
}

#[test]
fn it_ends_what_hangs_at_the_earliest_time_and_says_what_is_held() {
    #[expect(clippy::disallowed_methods, reason = "the test's own second process")]
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", BODY])
        .env(HANGS, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = process.wait().unwrap();
    assert_eq!(status.code(), Some(i32::from(ExitCode::Watchdog.code())), "{said}");
    assert!(said.contains("ending now with code 86; it had not started yet"), "{said}");
}
