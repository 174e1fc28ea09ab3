//! The unit file, as systemd's own tools read it.

use std::{fs, path::Path, process::Command};

fn unit() -> (tempfile::TempDir, std::path::PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it");
    let text = fs::read_to_string(root.join("systemd/evonic.service")).expect("a unit");
    // `verify` looks for the programs, which are not installed here.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("evonic.service");
    fs::write(
        &path,
        text.replace("/usr/bin/evonic-supervisor", "/bin/true")
            .replace("/usr/bin/evonic", "/bin/true"),
    )
    .expect("a unit");
    (folder, path)
}

#[test]
fn the_unit_has_no_fault() {
    let (_folder, path) = unit();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&path)
        .output()
        .expect("`make test` installs systemd");
    // It exits with 0 for unknown keys: what counts is that it does not mention this unit.
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!message.contains("evonic"), "{message}");
}

#[test]
fn the_unit_is_hardened() {
    let (_folder, path) = unit();
    let output = Command::new("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true", "--threshold=35"])
        .arg(&path)
        .output()
        .expect("`make test` installs systemd");
    let message = String::from_utf8_lossy(&output.stdout);
    println!("{}", message.lines().last().unwrap_or(""));
    assert!(output.status.success(), "{message}");
}
