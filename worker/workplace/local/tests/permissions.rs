//! What the service's user may not do. A process of its own, which gives up being root first:
//! root may do everything.

use std::{fs, os::unix::fs::PermissionsExt};

use evonic_backend::{Backend, Rewrite, WorkplaceError};
use evonic_handles::{Budget, Page};
use evonic_local::Local;
use evonic_shared::config::Config;
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};

/// The user `nobody`.
const NOBODY: u32 = 65534;

fn give_up_root() {
    if geteuid().is_root() {
        nix::unistd::setgid(NOBODY.into()).expect("root may");
        nix::unistd::setuid(NOBODY.into()).expect("root may");
        // Changing users takes the right to look into one's own /proc, which a program that was
        // started as that user has.
        set_dumpable_behavior(DumpableBehavior::Dumpable).expect("a process may");
    }
    assert!(!geteuid().is_root());
}

fn is_denied<T: std::fmt::Debug>(result: Result<T, WorkplaceError>) -> bool {
    let denied = std::io::ErrorKind::PermissionDenied;
    matches!(&result, Err(WorkplaceError::Path { source, .. }) if source.kind() == denied)
}

#[test]
fn permissions_are_those_of_the_services_user() {
    give_up_root();
    let folder = evonic_parts::Folder::new().expect("a temporary folder");
    let mut config = Config::defaults(folder.path().to_owned(), folder.path().to_owned());
    config.workplace.root = folder.path().join("root");
    let page = Page::private().expect("a page");
    let budget = Budget::new(&config.budget, page, config.fd.threshold);
    let local = Local::new(&config, budget.clone());
    let local = local.expect("a workplace");
    let root = config.workplace.root;
    let mode = |path: &str, mode| {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).expect("ours");
    };
    fs::create_dir(root.join("closed")).expect("a folder");
    fs::create_dir(root.join("fixed")).expect("a folder");
    for path in ["open", "unreadable", "read-only", "closed/file", "fixed/file"] {
        fs::write(root.join(path), "needle\n").expect("a file");
    }
    mode("unreadable", 0o000);
    mode("read-only", 0o444);
    mode("closed", 0o000);
    mode("fixed", 0o555);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        assert!(is_denied(local.download("unreadable", 0).await.map(drop)));
        assert!(is_denied(local.read_lines("unreadable", 1, None, 9).await));
        assert!(is_denied(local.download("closed/file", 0).await.map(drop)));
        assert!(is_denied(local.list("closed", 1, 9).await));
        assert!(
            is_denied(local.write("read-only", b"x".to_vec().into(), Rewrite::Whole).await),
            "rename would do it"
        );
        assert!(is_denied(local.write("closed/new", b"x".to_vec().into(), Rewrite::Whole).await));
        assert!(is_denied(local.write("fixed/file", b"x".to_vec().into(), Rewrite::Whole).await));
        assert!(is_denied(
            local.write("fixed/deep/new", b"x".to_vec().into(), Rewrite::Whole).await
        ));

        let found = local.search("needle", ".", None, 99).await.expect("the rest is searched");
        let paths: Vec<_> = found.matches.iter().map(|found| found.path.as_str()).collect();
        assert_eq!((paths, found.unreadable), (vec!["fixed/file", "open", "read-only"], 2));
        let (entries, _) = local.list(".", 9, 99).await.expect("the rest is listed");
        assert_eq!(entries.len(), 6, "a closed folder is listed and not entered: {entries:?}");
    });
    assert_eq!(fs::read_to_string(root.join("read-only")).expect("it is there"), "needle\n");
    assert!(budget.usage().iter().all(|usage| usage.permits + usage.descriptors == 0));
    mode("closed", 0o700);
    mode("fixed", 0o700);
}
