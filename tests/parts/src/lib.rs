//! Real parts that tests start themselves, and that are gone when they are dropped.
//!
//! - [`Sshd`]: OpenSSH's server on a loopback port of its own, with users made for it.
//! - [`Engine`]: a Docker engine with folders of its own, and an image made without a registry. Most
//!   tests share one.
//! - [`Llama`]: a real model behind llama.cpp's server.
//! - [`Folder`]: a temporary folder, and the end of what runs in it.
//! - [`PeakMemory`]: how much memory the test's process took at most.
//!
//! The first two need root. A part that is missing fails the test, with the package that has it.

mod engine;
mod folder;
mod llama;
mod memory;
mod sshd;

use std::{
    fmt::Debug,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub use engine::{Engine, SHARED_ENGINE};
pub use folder::Folder;
pub use llama::Llama;
pub use memory::PeakMemory;
pub use sshd::{Account, Sshd};

/// How long a part may take, on a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Polls until this succeeds.
fn until<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match look() {
            Ok(value) => return value,
            Err(state) => {
                assert!(Instant::now() < deadline, "not within {TIMEOUT:?}: {what}: {state:?}");
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command that has to succeed; returns its standard output.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} is not installed: {error}"));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}: {message}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command that reads this.
///
/// # Errors
/// What it said when it failed.
fn feed(command: &mut Command, input: &[u8]) -> Result<(), String> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} is not installed: {error}"));
    // One that fails at once does not read.
    let _read = child.stdin.take().expect("it is a pipe").write_all(input);
    let output = child.wait_with_output().expect("its end");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(message) }
}
