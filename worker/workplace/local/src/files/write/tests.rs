//! Both ways to keep a draft: most file systems know only one of them to the product.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use evonic_backend::{Backend, Rewrite};
use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{Draft, FdScope, Operation, Target, find, replace};
use crate::{files::Root, fixture::Fixture};

fn scope(fixture: &Fixture) -> FdScope {
    let permit = || fixture.budget.try_acquire(evonic_shared::kind::Kind::File).expect("free");
    FdScope::new([permit(), permit()])
}

fn names(fixture: &Fixture) -> Vec<String> {
    let entries = fs::read_dir(fixture.path("")).expect("it is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn drafts_of_either_kind_become_the_file_and_leave_nothing() {
    for draft in [Draft::Unnamed, Draft::Named] {
        let fixture = Fixture::new();
        fixture.put("old", "old");
        fs::set_permissions(fixture.path("old"), fs::Permissions::from_mode(0o640)).expect("ours");
        let root = Root::new(fixture.path(""), true, None);
        let root = root.expect("a root");
        {
            let scope = scope(&fixture);
            for path in ["old", "new"] {
                let is_waiting = &|| true;
                let op = Operation { scope: &scope, root: &root, is_waiting, name: "write", path };
                let target = find(op).expect("a target");
                replace(op, &target, b"content", draft).expect("it is written");
                assert_eq!(fixture.get(path), "content", "{draft:?}");
            }
        }
        assert_eq!(names(&fixture), ["new", "old"], "{draft:?}");
        let mode = fs::metadata(fixture.path("old")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640, "{draft:?}");
        fixture.assert_given_back().await;
    }
}

#[tokio::test]
async fn a_draft_that_cannot_become_the_file_is_removed() {
    for draft in [Draft::Unnamed, Draft::Named] {
        let fixture = Fixture::new();
        fixture.put("folder/inside", "x");
        {
            let scope = scope(&fixture);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let open = || openat(CWD, fixture.path(""), flags, Mode::empty());
            let folder = scope.open(open).expect("the root is there");
            // A folder that is not empty cannot be replaced by a file.
            let target = Target { folder, name: PathBuf::from("folder"), existing: None };
            let root = Root::new(fixture.path(""), true, None).expect("a root");
            let is_waiting = &|| true;
            let op =
                Operation { scope: &scope, root: &root, is_waiting, name: "write", path: "folder" };
            replace(op, &target, b"content", draft).expect_err("it is refused");
        }
        assert_eq!(names(&fixture), ["folder"], "{draft:?}");
        fixture.assert_given_back().await;
    }
}

/// A disk that is full while a file is written: the old one stays as it was.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "root mounts a disk for the test")]
async fn a_full_disk_leaves_the_old_file() {
    if !rustix::process::geteuid().is_root() {
        // Only root may mount a small disk.
        return;
    }
    let fixture = Fixture::new();
    let script = |text: &str| {
        let mut sh = std::process::Command::new("sh");
        sh.args(["-ec", text]).current_dir(fixture.path("")).status().expect("it starts").success()
    };
    assert!(script("mkdir small; mount -t tmpfs -o size=64k none small; echo old > small/file"));
    let result =
        fixture.local.write("small/file", vec![b'x'; 1_000_000].into(), Rewrite::Whole).await;
    let left =
        (fixture.get("small/file"), fs::read_dir(fixture.path("small")).map(Iterator::count));
    let fits = fixture.local.write("small/file", b"new".to_vec().into(), Rewrite::Whole).await;
    assert!(script("umount small"));
    let full = result.expect_err("it does not fit");
    assert!(format!("{full:?}").contains("StorageFull"), "{full:?}");
    assert_eq!((left.0.as_str(), left.1.expect("it is there")), ("old\n", 1));
    fits.expect("what fits is written");
    fixture.assert_given_back().await;
}
