//! The program of the attempts that need a system call of their own.

use std::{path::Path, process::Command};

/// What the program is made of.
const SOURCES: [&str; 5] = ["main.c", "path.c", "process.c", "kernel.c", "socket.c"];

/// Makes it. Linked statically: it runs where this machine's libraries are
/// not.
///
/// # Panics
/// When there is no compiler.
pub(super) fn compile(program: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/escape/native");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o"]).arg(program);
    compiler.args(SOURCES.map(|name| folder.join(name)));
    let compiled = compiler.output().expect("cc is installed: package gcc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
