//! Files on a real file system: one file, for they share what makes the folders they look at.

mod search;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use evonic_shared::kind::Kind;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::fixture::{Fixture, bash};
use evonic_backend::{Backend, Entry, FileType, Found, Rewrite, WorkplaceError};

fn is_outside<T: std::fmt::Debug>(result: Result<T, WorkplaceError>) -> bool {
    matches!(result, Err(WorkplaceError::Outside { .. }))
}

fn io_kind<T: std::fmt::Debug>(result: Result<T, WorkplaceError>) -> std::io::ErrorKind {
    match result {
        Err(WorkplaceError::Path { source, .. }) => source.kind(),
        other => panic!("no error of a path: {other:?}"),
    }
}

#[tokio::test]
async fn parts_of_a_file_are_read_with_its_size() {
    let fixture = Fixture::new();
    fixture.put("a", "0123456789");
    let read = async |offset, limit| {
        let (bytes, size) = fixture.read("a", offset, limit).await.expect("it is read");
        (String::from_utf8(bytes).expect("digits"), size)
    };
    assert_eq!(read(0, 100).await, ("0123456789".to_owned(), 10));
    assert_eq!(read(3, 4).await, ("3456".to_owned(), 10));
    assert_eq!(read(20, 4).await, (String::new(), 10));
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn paths_stay_below_the_root() {
    let fixture = Fixture::new();
    fs::write(fixture.outside("secret"), "secret").expect("a file is written");
    fixture.put("a/inside", "inside");
    symlink("../../secret", fixture.path("a/relative")).expect("a link");
    symlink(fixture.outside("secret"), fixture.path("absolute")).expect("a link");
    symlink(fixture.outside(""), fixture.path("up")).expect("a link");
    symlink("/nowhere/at/all", fixture.path("dangling")).expect("a link");
    let outside = fixture.outside("secret");
    let absolute = outside.to_str().expect("a path");
    let beyond = format!("{}/../secret", fixture.path("").display());
    let escapes = ["../secret", "a/../../secret", "a/relative", "absolute", "up/secret", absolute];
    for path in escapes.into_iter().chain(["dangling", "/etc/passwd", beyond.as_str()]) {
        assert!(is_outside(fixture.read(path, 0, 9).await), "read {path}");
        assert!(is_outside(fixture.local.read_lines(path, 1, None, 9).await), "lines {path}");
        assert!(
            is_outside(fixture.local.write(path, b"x".to_vec().into(), Rewrite::Whole).await),
            "write {path}"
        );
        assert!(is_outside(fixture.local.search("x", path, None, 9).await), "search {path}");
    }
    for path in ["..", "up", "/", "a/../.."] {
        assert!(is_outside(fixture.local.list(path, 1, 9).await), "list {path}");
        assert!(is_outside(fixture.local.search("x", path, None, 9).await), "search {path}");
        let inside = format!("{path}/new/folder/file");
        assert!(
            is_outside(fixture.local.write(&inside, Bytes::new(), Rewrite::Whole).await),
            "write {inside}"
        );
    }
    assert_eq!(fs::read_to_string(outside).expect("it is there"), "secret");
    assert!(!fixture.outside("new").exists());
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn links_and_absolute_paths_that_stay_inside_are_fine() {
    let fixture = Fixture::new();
    fixture.put("a/file", "content");
    symlink("a/file", fixture.path("relative")).expect("a link");
    symlink(fixture.path("a/file"), fixture.path("absolute")).expect("a link");
    symlink("../a", fixture.path("a/itself")).expect("a link");
    let whole = fixture.path("a/file");
    let paths = ["relative", "absolute", "a/itself/file", "a/../a/file", "./a//file"];
    for path in paths.into_iter().chain(whole.to_str()) {
        let (bytes, _) = fixture.read(path, 0, 99).await.expect(path);
        assert_eq!(bytes, b"content", "{path}");
        fixture
            .local
            .write(path, path.as_bytes().to_vec().into(), Rewrite::Whole)
            .await
            .expect(path);
        assert_eq!(fixture.get("a/file"), path);
        fixture.put("a/file", "content");
    }
    for link in ["relative", "absolute"] {
        assert!(fixture.path(link).is_symlink(), "{link} is replaced");
    }
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn an_unconfined_workplace_reaches_everything() {
    let fixture = Fixture::with(|config| config.workplace.confined = false);
    let outside = fixture.outside("new/file");
    let path = outside.to_str().expect("a path");
    fixture.local.write(path, b"one".to_vec().into(), Rewrite::Whole).await.expect("it is written");
    fixture
        .local
        .write("../new/file", b"two".to_vec().into(), Rewrite::Whole)
        .await
        .expect("it is replaced");
    assert_eq!(fixture.read(path, 0, 9).await.expect("it is read").0, b"two");
    assert_eq!(fixture.local.list("..", 1, 9).await.expect("it is listed").0.len(), 2);
    let found = fixture.local.search("two", "../new", None, 9).await.expect("it is searched");
    assert_eq!(found.matches[0].path, path);
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_home_is_not_expanded_and_this_is_said() {
    let fixture = Fixture::new();
    for path in ["~", "~/file"] {
        let error = fixture
            .local
            .write(path, Bytes::new(), Rewrite::Whole)
            .await
            .expect_err("it is refused");
        assert!(error.to_string().contains("~ is not expanded"), "{error}");
    }
    fixture
        .local
        .write("~file", Bytes::new(), Rewrite::Whole)
        .await
        .expect("it is a name like any other");
    fixture.local.write("./~/file", Bytes::new(), Rewrite::Whole).await.expect("so is this");
    assert!(fixture.path("~/file").exists());
}

/// Every other moment the path leads outside. Whatever is read, written, listed or found, it must
/// never be what is outside.
#[tokio::test]
async fn a_link_swapped_in_a_race_never_leads_outside() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.outside("out")).expect("a folder");
    fs::write(fixture.outside("out/file"), "secret").expect("a file is written");
    fixture.put("sub/file", "public");
    symlink(fixture.outside("out"), fixture.path("link")).expect("a link");
    let stop = AtomicBool::new(false);
    let (sub, link) = (fixture.path("sub"), fixture.path("link"));
    let swap = || {
        let mut swaps = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            renameat_with(CWD, &sub, CWD, &link, RenameFlags::EXCHANGE).expect("they are there");
            swaps += 1;
        }
        swaps
    };
    let runtime = tokio::runtime::Handle::current();
    let (swaps, [reads, refused]) = std::thread::scope(|scope| {
        let swapper = scope.spawn(swap);
        let tries = scope.spawn(|| runtime.block_on(try_to_escape(&fixture)));
        let tries = tries.join();
        stop.store(true, Ordering::Relaxed);
        (swapper.join().expect("it swaps"), tries.expect("nothing escapes"))
    });
    println!("{swaps} swaps, {reads} reads inside, {refused} refused");
    assert!(swaps > 100 && reads > 10 && refused > 10, "{swaps}, {reads}, {refused}: no race");
    assert_eq!(fs::read_to_string(fixture.outside("out/file")).expect("it is there"), "secret");
    assert_eq!(fs::read_dir(fixture.outside("out")).expect("it is there").count(), 1);
    fixture.assert_given_back().await;
}

async fn try_to_escape(fixture: &Fixture) -> [u64; 2] {
    let (mut reads, mut refused) = (0, 0);
    let [enough, deadline] = [1, 20].map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut is_enough = false;
    while !is_enough && Instant::now() < deadline {
        is_enough = Instant::now() > enough && reads > 10 && refused > 10;
        match fixture.read("sub/file", 0, 99).await {
            Ok((bytes, _)) => {
                assert_ne!(bytes, b"secret");
                reads += 1;
            }
            Err(_) => refused += 1,
        }
        let _refused = fixture.local.write("sub/new", b"new".to_vec().into(), Rewrite::Whole).await;
        let _refused =
            fixture.local.write("sub/file", b"public".to_vec().into(), Rewrite::Whole).await;
        if let Ok(found) = fixture.local.search("secret", ".", None, 9).await {
            assert_eq!(found.matches, []);
        }
        if let Ok((entries, _)) = fixture.local.list("sub", 2, 99).await {
            let sizes: Vec<_> = entries.iter().filter(|entry| entry.path == "file").collect();
            assert!(sizes.iter().all(|entry| entry.size_bytes == 6), "{sizes:?}");
        }
    }
    [reads, refused]
}

#[tokio::test]
async fn special_files_are_refused_without_being_opened() {
    let fixture = Fixture::new();
    let made = fixture.run(bash("mkfifo pipe"), &Default::default()).await;
    assert!(made.0.is_ok());
    let socket = std::os::unix::net::UnixListener::bind(fixture.path("socket"));
    let _socket = socket.expect("a socket");
    let since = Instant::now();
    for (path, kind) in [("pipe", "a named pipe"), ("socket", "a socket"), (".", "a folder")] {
        for result in [
            fixture.read(path, 0, 9).await.map(drop),
            fixture.local.read_lines(path, 1, None, 9).await.map(drop),
            fixture.local.write(path, b"x".to_vec().into(), Rewrite::Whole).await.map(drop),
            fixture.local.edit(path, 9, Box::new(|_| Some(vec![])), Rewrite::Whole).await.map(drop),
        ] {
            let Err(WorkplaceError::WrongType { found, .. }) = result else { panic!("{result:?}") };
            assert_eq!(found, kind);
        }
    }
    let search = fixture.local.search("x", ".", None, 9).await.expect("they are passed over");
    assert_eq!(search, Found::default());
    let (entries, _) = fixture.local.list(".", 1, 9).await.expect("they are listed");
    assert!(entries.iter().all(|entry| entry.file_type == FileType::Other), "{entries:?}");
    assert!(since.elapsed() < Duration::from_secs(1), "something waited");

    let devices = Fixture::with(|config| config.workplace.root = "/dev".into());
    let result = devices.read("null", 0, 9).await;
    assert!(matches!(result, Err(WorkplaceError::WrongType { .. })), "{result:?}");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn writing_makes_folders_and_keeps_modes() {
    let fixture = Fixture::new();
    fixture
        .local
        .write("a/b/c/file", b"one".to_vec().into(), Rewrite::Whole)
        .await
        .expect("it is written");
    let mode = |path: &str| {
        fs::metadata(fixture.path(path)).expect("it is there").permissions().mode() & 0o7777
    };
    fs::set_permissions(fixture.path("a/b/c/file"), fs::Permissions::from_mode(0o4751))
        .expect("it is ours");
    fixture
        .local
        .write("a/b/c/file", b"two".to_vec().into(), Rewrite::Whole)
        .await
        .expect("it is replaced");
    assert_eq!((fixture.get("a/b/c/file").as_str(), mode("a/b/c/file")), ("two", 0o4751));
    let left: Vec<_> = fs::read_dir(fixture.path("a/b/c")).expect("it is there").collect();
    assert_eq!(left.len(), 1, "no draft is left: {left:?}");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn what_is_no_file_is_not_written() {
    let fixture = Fixture::new();
    fixture.put("file", "content");
    symlink("missing", fixture.path("dangling")).expect("a link");
    let wrong_type = |result| matches!(result, Err(WorkplaceError::WrongType { .. }));
    assert!(wrong_type(fixture.local.write("new/", Bytes::new(), Rewrite::Whole).await));
    assert!(wrong_type(fixture.local.write(".", Bytes::new(), Rewrite::Whole).await));
    assert!(wrong_type(fixture.local.write("", Bytes::new(), Rewrite::Whole).await));
    let below_file = fixture.local.write("file/below", Bytes::new(), Rewrite::Whole).await;
    assert_eq!(io_kind(below_file), std::io::ErrorKind::NotADirectory);
    let dangling = fixture
        .local
        .write("dangling", Bytes::new(), Rewrite::Whole)
        .await
        .expect_err("it is refused");
    assert!(format!("{dangling:?}").contains("something that is missing"), "{dangling:?}");
    assert!(fixture.path("dangling").is_symlink());
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn readers_never_see_a_part_of_a_file() {
    let fixture = Fixture::new();
    let content = |letter: u8| vec![letter; 300_000];
    fixture.local.write("file", content(b'a').into(), Rewrite::Whole).await.expect("it is written");
    let stop = AtomicBool::new(false);
    let path = fixture.path("file");
    let read = || {
        let mut reads = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let seen = fs::read(&path).expect("it is always there");
            assert_eq!(seen.len(), 300_000);
            assert_eq!(seen, vec![seen[0]; 300_000], "two writes are mixed");
            reads += 1;
        }
        reads
    };
    let runtime = tokio::runtime::Handle::current();
    let write = async || {
        for letter in (b'a'..=b'z').cycle().take(100) {
            fixture
                .local
                .write("file", content(letter).into(), Rewrite::Whole)
                .await
                .expect("it is written");
        }
    };
    let reads = std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        scope.spawn(|| runtime.block_on(write())).join().expect("it writes");
        stop.store(true, Ordering::Relaxed);
        readers.map(|reader| reader.join().expect("it reads")).iter().sum::<u64>()
    });
    assert!(reads >= 20, "{reads} reads");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn an_edit_is_refused_when_somebody_else_was_faster() {
    let fixture = Fixture::new();
    fixture.put("file", "one");
    let path = fixture.path("file");
    let change = move |content: &[u8]| {
        assert_eq!(content, b"one");
        fs::write(path, "two, by somebody else").expect("it is ours");
        Some(b"three".to_vec())
    };
    let refused = fixture
        .local
        .edit("file", 99, Box::new(change), Rewrite::Whole)
        .await
        .expect_err("it is refused");
    assert!(format!("{refused:?}").contains("somebody else changed it"), "{refused:?}");
    assert_eq!(fixture.get("file"), "two, by somebody else");

    let large = fixture.local.edit("file", 5, Box::new(|_| Some(vec![])), Rewrite::Whole).await;
    let Err(WorkplaceError::TooLarge { size_bytes: 21, limit_bytes: 5, .. }) = large else {
        panic!("{large:?}");
    };
    fixture.local.edit("file", 99, Box::new(|_| None), Rewrite::Whole).await.expect("it is read");
    assert_eq!(fixture.get("file"), "two, by somebody else");
    fixture.assert_given_back().await;
}

fn entry(path: &str, file_type: FileType, size_bytes: u64) -> Entry {
    Entry { path: path.to_owned(), file_type, size_bytes }
}

#[tokio::test]
async fn folders_are_listed_in_order_to_a_depth_and_a_limit() {
    let fixture = Fixture::new();
    for path in ["b", "a/y/deep", "a/x", "c"] {
        fixture.put(path, "12345");
    }
    symlink("a", fixture.path("link")).expect("a link");
    let all = [
        entry("a", FileType::Folder, 0),
        entry("a/x", FileType::File, 5),
        entry("a/y", FileType::Folder, 0),
        entry("a/y/deep", FileType::File, 5),
        entry("b", FileType::File, 5),
        entry("c", FileType::File, 5),
        entry("link", FileType::Link, 0),
    ];
    let list = async |path: &str, depth, limit| {
        fixture.local.list(path, depth, limit).await.expect("it is listed")
    };
    assert_eq!(list(".", 9, 99).await, (all.to_vec(), false));
    assert_eq!(list("", 9, 7).await, (all.to_vec(), false));
    for limit in 0..7 {
        let (entries, more) = list(".", 9, limit).await;
        assert_eq!((entries.as_slice(), more), (&all[..limit as usize], true), "limit {limit}");
    }
    let (entries, _) = list(".", 1, 99).await;
    let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "b", "c", "link"]);
    assert_eq!(list("link", 1, 99).await.0.len(), 2, "a link that is named is followed");
    assert_eq!(io_kind(fixture.local.list("no", 1, 9).await), std::io::ErrorKind::NotFound);
    let file = fixture.local.list("b", 1, 9).await;
    assert!(matches!(file, Err(WorkplaceError::WrongType { .. })), "{file:?}");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_root_that_is_gone_or_replaced_is_named() {
    let fixture = Fixture::new();
    fixture.put("file", "x");
    let (root, away) = (fixture.path(""), fixture.outside("away"));
    fs::rename(&root, &away).expect("it is moved");
    let missing = fixture.read("file", 0, 9).await;
    let Err(WorkplaceError::Root { source, .. }) = &missing else { panic!("{missing:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);

    let root = root.to_str().expect("a path").trim_end_matches('/').to_owned();
    symlink(&away, &root).expect("a link");
    let replaced = fixture.local.list(".", 1, 9).await;
    let Err(WorkplaceError::Root { source, .. }) = &replaced else { panic!("{replaced:?}") };
    assert!(source.to_string().contains("symbolic link"), "{source}");
    let (command, _) = fixture.run(bash("true"), &Default::default()).await;
    assert!(matches!(command, Err(WorkplaceError::Root { .. })), "{command:?}");

    fs::remove_file(&root).expect("it is ours");
    fs::rename(&away, &root).expect("it is moved back");
    assert!(fixture.read("file", 0, 9).await.is_ok(), "it is back");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn many_operations_at_once_share_few_permits() {
    for handles in [2, 3] {
        let fixture = Fixture::with(|config| config.budget.file = handles);
        fixture.put("dir/file", "x");
        let all = (0..40).map(async |number: u32| match number % 4 {
            0 => fixture.read("dir/file", 0, 9).await.map(drop),
            1 => {
                (fixture.local.write(&format!("dir/{number}"), Bytes::new(), Rewrite::Whole).await)
                    .map(drop)
            }
            2 => fixture.local.list(".", 9, 99).await.map(drop),
            _ => fixture.local.search("x", ".", None, 99).await.map(drop),
        });
        let results = futures_util::future::join_all(all).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        fixture.assert_given_back().await;
        assert!(fixture.peak(Kind::File) <= handles);
    }
}
