//! Copies that are refused for good, and folders of many small files.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use evonic_tests::{
    pair::Options,
    size,
    testbed::{QUICK_CLOSE, Testbed},
    troubleshooting::assert_documented,
};

/// A file system of its own, as small as this, for as long as it lives.
pub(crate) struct SmallDisk<'d>(&'d Path);

impl<'d> SmallDisk<'d> {
    pub(crate) fn mount(at: &'d Path, owner: Option<u32>, kib: u32) -> Self {
        fs::create_dir_all(at).expect("a folder");
        let owner = owner.unwrap_or(0);
        let options = format!("size={kib}k,mode=700,uid={owner}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at);
        assert!(mount.status().expect("mount").success());
        Self(at)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn owner(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).expect("it is there"))
}

/// Names below a folder that are of an unfinished copy.
fn unfinished(folder: &Path) -> String {
    let mut find = Command::new("find");
    let found = find.arg(folder).args(["-name", "*.part"]).output().expect("find");
    String::from_utf8_lossy(&found.stdout).into_owned()
}

#[test]
fn a_copy_that_is_refused_for_good_leaves_nothing_and_promises_nothing() {
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    let local = testbed.pair.state_dir().join("workplace");
    fs::create_dir_all(local.join("folder")).expect("a folder");
    fs::write(local.join("big"), vec![b'x'; 3 << 20]).expect("a file");
    fs::write(local.join("folder/big"), vec![b'x'; 3 << 20]).expect("a file");
    fs::write(local.join("folder/small"), "x").expect("a file");
    let full = account.home.join("full");
    let _disk = SmallDisk::mount(&full, Some(owner(&account.home)), 1024);
    let closed = account.home.join("closed");
    fs::create_dir(&closed).expect("a folder");
    for (from, to) in [("big", "full/big"), ("folder", "full/folder"), ("big", "closed/big")] {
        let (from, to) = (format!("local:{from}"), format!("ssh:{to}"));
        let output = testbed.pair.evonic(&["cp", "-r", &from, &to]);
        assert!(!output.status.success(), "{to}");
        let said = said(&output);
        assert!(!said.contains("goes on"), "{to}: {said}");
        if to.contains("full") {
            assert_documented("write … failed: No space left on device", &said);
        }
        assert_eq!(unfinished(&account.home), "", "{to}: {said}");
    }
}

#[test]
fn many_small_files_go_together_and_arrive_as_they_are() {
    let files = size::of("small_files", 400, 2000);
    let (testbed, account) = Testbed::whole(&Options::config(QUICK_CLOSE));
    let local = testbed.pair.state_dir().join("workplace");
    let source = local.join("many");
    for number in 0..files {
        let folder = source.join(format!("folder {}", number % 7));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("file {number}"));
        fs::write(&path, format!("{number}\n").repeat(200)).expect("a file");
        let mode = if number % 3 == 0 { 0o640 } else { 0o755 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    fs::write(source.join("back\\slash"), "alone").expect("a file");
    fs::write(source.join("large"), vec![b'x'; 200 << 10]).expect("a file");
    let same = |one: &Path, other: &Path| {
        let compared = Command::new("diff").arg("-r").args([one, other]).output().expect("diff");
        assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
        let modes = |folder: &Path| {
            let mut find = Command::new("find");
            let listed = find.current_dir(folder).args([".", "-type", "f", "-printf", "%P %m\\n"]);
            let listed = String::from_utf8(listed.output().expect("find").stdout).expect("text");
            let mut lines: Vec<_> = listed.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(modes(one), modes(other));
    };
    let timed = |from: &str, to: &str| {
        let began = Instant::now();
        let output = testbed.pair.evonic(&["cp", "-r", from, to]);
        assert!(output.status.success(), "{from} {to}: {}", said(&output));
        let each = began.elapsed().as_secs_f64() * 1000.0 / files as f64;
        size::report(&format!("{from} to {to}"), format!("{each:.1}"), "ms a file");
        each
    };
    let there = timed("local:many", "ssh:many");
    same(&source, &account.home.join("many"));
    let back = timed("ssh:many", "local:back");
    same(&source, &local.join("back"));
    assert!(there < 24.0 && back < 24.0, "one by one it is 48 ms a file: {there} {back}");
    let session = testbed.pair.session("docker");
    for (from, to) in [("local:many", "docker:many"), ("docker:many", "local:again")] {
        let output = testbed.pair.evonic(&["cp", "-r", "--session", &session, from, to]);
        assert!(output.status.success(), "{from} {to}: {}", said(&output));
    }
    same(&source, &local.join("again"));
    assert_eq!(unfinished(&local), "");
}
