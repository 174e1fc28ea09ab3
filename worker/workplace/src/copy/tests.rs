//! Copies between real folders, over links that break.

mod flaky;

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use self::flaky::{Faults, Flaky};
use super::{CopyError, Copying, Progress};
use evonic_backend::Backend;
use evonic_local::fixture::Fixture;

const MIB: usize = 1024 * 1024;

fn copying(
    from: &Arc<dyn Backend>,
    from_path: &str,
    to: &Arc<dyn Backend>,
    to_path: &str,
) -> Copying {
    Copying {
        from: Arc::clone(from),
        from_path: from_path.to_owned(),
        to: Arc::clone(to),
        to_path: to_path.to_owned(),
        recursive: true,
        id: "test".to_owned(),
    }
}

fn backend(fixture: &Fixture) -> Arc<dyn Backend> {
    Arc::new(fixture.local.clone())
}

/// Copies, and returns everything that was reported.
async fn run(copying: Copying) -> (Result<(), CopyError>, Vec<Progress>) {
    let cancel = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(8);
    let gather = async {
        let mut reported = Vec::new();
        while let Some(progress) = receiver.recv().await {
            reported.push(progress);
        }
        reported
    };
    let both = async { tokio::join!(copying.run(sender, &cancel), gather) };
    timeout(Duration::from_secs(60), both).await.expect("it ends within a minute")
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

fn done(reported: &[Progress]) -> (u64, u64, u64) {
    match reported.last() {
        Some(Progress::Done { files, bytes, sent }) => (*files, *bytes, *sent),
        other => panic!("it is not done: {other:?}"),
    }
}

fn names(fixture: &Fixture, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(fixture.path(folder)).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).into_string().expect("a name")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_copied_with_its_mode_and_told() {
    let (here, there) = (Fixture::new(), Fixture::new());
    let content = noise(3 * MIB + 7);
    here.put("a", &content);
    fs::set_permissions(here.path("a"), fs::Permissions::from_mode(0o751)).expect("a mode");
    let (result, reported) = run(copying(&backend(&here), "a", &backend(&there), "new/b")).await;
    result.expect("it is copied");
    assert_eq!(fs::read(there.path("new/b")).expect("a file"), content);
    let mode = fs::metadata(there.path("new/b")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o751);
    let size = content.len() as u64;
    assert_eq!(reported[0], Progress::Planned { files: 1, bytes: size });
    assert_eq!(done(&reported), (1, size, size));
    assert!(
        reported
            .iter()
            .any(|reported| matches!(reported, Progress::Moved { bytes, .. } if *bytes > 0))
    );
    assert!(reported.iter().any(|reported| matches!(reported, Progress::Checked { .. })));
    assert_eq!(names(&there, "new"), ["b"], "nothing unfinished is left");
    here.assert_given_back().await;
    there.assert_given_back().await;
}

#[tokio::test]
async fn a_folder_that_is_there_takes_the_file_below_it() {
    let (here, there) = (Fixture::new(), Fixture::new());
    here.put("a/b", "content");
    there.put("folder/other", "");
    for target in ["folder", "folder/", "missing/", "folder/./"] {
        let (result, _) = run(copying(&backend(&here), "a/b", &backend(&there), target)).await;
        result.expect("it is copied");
        let folder = target.trim_end_matches('/');
        assert_eq!(there.get(&format!("{folder}/b")), "content");
    }
    let (result, reported) = run(copying(&backend(&here), "a/b", &backend(&there), "folder")).await;
    result.expect("it is there already");
    assert_eq!(done(&reported), (1, 7, 0), "nothing is sent again");
}

#[tokio::test]
async fn folders_are_copied_with_all_below_them() {
    let (here, there) = (Fixture::new(), Fixture::new());
    for path in ["a/one", "a/b/two", "a/b/c/with space", "a/b/c/it's", "a/b/-n"] {
        here.put(path, path);
    }
    fs::create_dir_all(here.path("a/empty/within")).expect("folders");
    std::os::unix::fs::symlink("one", here.path("a/link")).expect("a link");
    let copy = || copying(&backend(&here), "a", &backend(&there), "new");
    let (result, reported) = run(copy()).await;
    result.expect("it is copied");
    for path in ["one", "b/two", "b/c/with space", "b/c/it's", "b/-n"] {
        assert_eq!(there.get(&format!("new/{path}")), format!("a/{path}"));
    }
    assert!(there.path("new/empty/within").is_dir());
    assert_eq!(names(&there, ""), ["new"], "nothing unfinished is left");
    assert_eq!(names(&there, "new"), ["b", "empty", "one"]);
    assert_eq!(done(&reported).0, 5);
    let skipped = |reported: &Progress| matches!(reported, Progress::Skipped { path, .. } if path == "a/link");
    assert!(reported.iter().any(skipped), "{reported:?}");
    // A folder of that name is there now.
    run(copy()).await.0.expect("it is copied below it");
    assert_eq!(there.get("new/a/one"), "a/one");
}

#[tokio::test]
async fn what_cannot_be_copied_is_refused_once() {
    let (here, there) = (Fixture::new(), Fixture::new());
    here.put("a/b", "content");
    let (ours, theirs) = (backend(&here), backend(&there));
    let refused = async |copying: Copying| run(copying).await.0.expect_err("it is refused");
    let plain = |copying: Copying| Copying { recursive: false, ..copying };
    let error = refused(plain(copying(&ours, "a", &theirs, "b"))).await;
    assert!(matches!(error, CopyError::Folder { .. }), "{error:?}");
    for (from, to) in
        [("a/b", "a/b"), ("a/b", "./a/x/../b"), ("a", "a"), ("a", "a/new/c"), ("a", ".")]
    {
        let error = refused(copying(&ours, from, &ours, to)).await;
        assert!(matches!(error, CopyError::Itself { .. }), "{from} {to} {error:?}");
    }
    let error = refused(copying(&ours, "missing", &theirs, "b")).await;
    assert!(matches!(error, CopyError::Backend { .. }), "{error:?}");
    there.put("folder/b/c", "a folder stands where the file goes");
    let error = refused(copying(&ours, "a/b", &theirs, "folder")).await;
    assert!(matches!(error, CopyError::Backend { .. }), "{error:?}");
    assert_eq!(names(&there, ""), ["folder"]);
}

#[tokio::test]
async fn cuts_of_either_side_cost_little() {
    for (broken, side) in ["source", "target"].into_iter().enumerate() {
        let (here, there) = (Fixture::new(), Fixture::new());
        let content = noise(64 * MIB);
        here.put("a", &content);
        let faults = Arc::new(Faults::cuts(20, content.len() / 21));
        let flaky = |fixture: &Fixture| -> Arc<dyn Backend> {
            Arc::new(Flaky::new(fixture.local.clone(), Arc::clone(&faults)))
        };
        let (from, to) = if broken == 0 {
            (flaky(&here), backend(&there))
        } else {
            (backend(&here), flaky(&there))
        };
        let (result, reported) = run(copying(&from, "a", &to, "b")).await;
        result.expect("it is copied");
        assert!(fs::read(there.path("b")).expect("a file") == content, "{side}: other bytes");
        let paused =
            reported.iter().filter(|reported| matches!(reported, Progress::Paused { .. })).count();
        assert_eq!(paused, 20, "{side}");
        let (_, bytes, sent) = done(&reported);
        assert!(sent * 100 <= bytes * 105, "{side}: {sent} of {bytes} bytes");
        // What was read once is kept while the other side is away.
        let read = faults.read();
        assert!(read * 100 <= bytes * 105, "{side}: {read} of {bytes} bytes were read");
    }
}

#[tokio::test]
async fn an_unfinished_copy_is_gone_on_with_by_another_one() {
    let (here, there) = (Fixture::new(), Fixture::new());
    let content = noise(8 * MIB);
    here.put("a", &content);
    there.put(".b.test.part", &content[..5 * MIB]);
    let (result, reported) = run(copying(&backend(&here), "a", &backend(&there), "b")).await;
    result.expect("it is copied");
    assert!(fs::read(there.path("b")).expect("a file") == content);
    assert_eq!(done(&reported).2, 3 * MIB as u64);
    // Of another content, or longer: it is begun anew.
    for wrong in [noise(4 * MIB + 1), noise(9 * MIB)] {
        fs::remove_file(there.path("b")).expect("a file");
        there.put(".b.test.part", wrong);
        let (result, _) = run(copying(&backend(&here), "a", &backend(&there), "b")).await;
        result.expect("it is copied");
        assert!(fs::read(there.path("b")).expect("a file") == content);
    }
}

#[tokio::test]
async fn a_cancelled_folder_goes_on_where_it_was() {
    let (here, there) = (Fixture::new(), Fixture::new());
    for number in 0..40 {
        here.put(&format!("a/{}/{number}", number % 3), noise(100_000 + number));
    }
    let bytes: u64 = (0..40).map(|number| 100_000 + number).sum();
    let cancel = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(1);
    let cut = async {
        let mut checked = 0;
        while let Some(progress) = receiver.recv().await {
            checked += u32::from(matches!(progress, Progress::Checked { .. }));
            if checked == 20 {
                cancel.cancel();
            }
        }
    };
    let copy = || copying(&backend(&here), "a", &backend(&there), "new");
    let (result, ()) = tokio::join!(copy().run(sender, &cancel), cut);
    assert!(matches!(result, Err(CopyError::Cancelled)), "{result:?}");
    assert_eq!(names(&there, ""), [".new.test.part"], "a half folder has no name");
    let (result, reported) = run(copy()).await;
    result.expect("it is copied");
    let (files, all, sent) = done(&reported);
    assert_eq!((files, all), (40, bytes));
    assert!(sent < bytes * 6 / 10, "{sent} of {bytes} bytes are sent again");
    assert_eq!(names(&there, ""), ["new"]);
    assert_eq!(fs::read(there.path("new/1/1")).expect("a file"), noise(100_001));
    there.assert_given_back().await;
}

#[tokio::test]
async fn a_source_that_changes_is_noticed() {
    let (here, there) = (Fixture::new(), Fixture::new());
    for changes in [1, 2] {
        here.put("a", noise(4 * MIB));
        let growing = Faults::changes(changes, here.path("a"));
        let from: Arc<dyn Backend> = Arc::new(Flaky::new(here.local.clone(), Arc::new(growing)));
        let (result, _) = run(copying(&from, "a", &backend(&there), "b")).await;
        match result {
            Ok(()) => {
                assert_eq!(changes, 1);
                let (ours, theirs) = (fs::read(here.path("a")), fs::read(there.path("b")));
                assert!(ours.expect("a file") == theirs.expect("a file"));
            }
            Err(error) => {
                assert!(matches!(error, CopyError::Changing { .. }), "{error:?}");
                assert_eq!(changes, 2);
            }
        }
        assert!(!names(&there, "").iter().any(|name| name.ends_with(".part")));
        let _copied = fs::remove_file(there.path("b"));
    }
}

#[tokio::test]
async fn memory_does_not_grow_with_the_file() {
    let (here, there) = (Fixture::new(), Fixture::new());
    here.put("a", "");
    let file = fs::OpenOptions::new().write(true).open(here.path("a")).expect("a file");
    file.set_len(256 * MIB as u64).expect("a size");
    let faults = Arc::new(Faults::none());
    let from: Arc<dyn Backend> = Arc::new(Flaky::new(here.local.clone(), Arc::clone(&faults)));
    run(copying(&from, "a", &backend(&there), "b")).await.0.expect("it is copied");
    assert_eq!(fs::metadata(there.path("b")).expect("a file").len(), 256 * MIB as u64);
    let most = faults.most_alive();
    println!("{most} bytes of pieces were alive at once");
    assert!(most <= 10 * MIB, "{most} bytes of pieces were alive at once");
}
