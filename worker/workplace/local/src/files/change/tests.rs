//! Names made, given and removed, on a real file system.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
};

use evonic_shared::kind::Kind;

use crate::fixture::Fixture;
use evonic_backend::{Backend, FileType, Removal, Rewrite, WorkplaceError};
use evonic_domain::{LocalSettings, SessionId};

fn kind_of<T: std::fmt::Debug>(result: Result<T, WorkplaceError>) -> io::ErrorKind {
    match result {
        Err(WorkplaceError::Path { source, .. }) => source.kind(),
        other => panic!("no error of a path: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_at_a_path_is_told() {
    let fixture = Fixture::new();
    fixture.put("folder/file", "12345");
    fs::set_permissions(fixture.path("folder/file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("folder/file", fixture.path("link")).unwrap();
    let stat = fixture.local.stat("link").await.expect("it is there");
    assert_eq!((stat.file_type, stat.size_bytes, stat.mode), (FileType::File, 5, 0o640));
    assert!(stat.modified > 1_600_000_000);
    let folder = fixture.local.stat("folder").await.expect("it is there");
    assert_eq!((folder.file_type, folder.size_bytes), (FileType::Folder, 0));
    assert_eq!(kind_of(fixture.local.stat("missing").await), io::ErrorKind::NotFound);
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn folders_are_made_with_those_above_and_once() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture.local.make_folder("a/b/c").await.expect("it is made, or there");
    }
    assert!(fixture.path("a/b/c").is_dir());
    fixture.put("file", "");
    let refused = fixture.local.make_folder("file").await;
    assert!(matches!(refused, Err(WorkplaceError::WrongType { .. })), "{refused:?}");
    let outside = fixture.local.make_folder("../beside").await;
    assert!(matches!(outside, Err(WorkplaceError::Outside { .. })), "{outside:?}");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn one_name_or_a_whole_tree_is_removed_and_no_link_is_followed() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.outside("kept")).unwrap();
    fs::write(fixture.outside("kept/file"), "kept").unwrap();
    for number in 0..50 {
        fixture.put(&format!("tree/a/b/c/d/{number}"), "x");
        fixture.put(&format!("tree/other/{number}/file"), "x");
    }
    symlink(fixture.outside("kept"), fixture.path("tree/a/link")).unwrap();
    symlink("tree", fixture.path("to-tree")).unwrap();
    let one = fixture.local.remove("tree", Removal::One).await;
    assert_eq!(kind_of(one), io::ErrorKind::DirectoryNotEmpty);
    fixture.local.remove("to-tree/", Removal::All).await.expect("the link goes");
    assert!(fixture.path("tree/a/b/c/d/7").exists());
    fixture.local.remove("tree", Removal::All).await.expect("the tree goes");
    assert!(!fixture.path("tree").exists());
    assert!(fixture.outside("kept/file").exists());
    assert_eq!(kind_of(fixture.local.remove("tree", Removal::All).await), io::ErrorKind::NotFound);
    for path in [".", "", "..", "a/.."] {
        let refused = fixture.local.remove(path, Removal::All).await;
        assert!(matches!(refused, Err(WorkplaceError::WrongType { .. })), "{path}: {refused:?}");
    }
    let outside = fixture.local.remove("../kept", Removal::All).await;
    assert!(matches!(outside, Err(WorkplaceError::Outside { .. })), "{outside:?}");
    fixture.assert_given_back().await;
    assert!(fixture.peak(Kind::File) <= 2);
}

#[tokio::test]
async fn names_are_given_and_replace_files() {
    let fixture = Fixture::new();
    fixture.put("old", "old");
    fixture.put("folder/new", "replaced");
    fixture.local.rename("old", "folder/new").await.expect("it is renamed");
    assert_eq!(fixture.get("folder/new"), "old");
    assert!(!fixture.path("old").exists());
    fixture.local.rename("folder", "other").await.expect("a folder too");
    assert_eq!(fixture.get("other/new"), "old");
    let missing = fixture.local.rename("nothing", "x").await;
    assert_eq!(kind_of(missing), io::ErrorKind::NotFound);
    for (from, to) in [("other/new", "../stolen"), ("../root/../x", "y")] {
        let outside = fixture.local.rename(from, to).await;
        assert!(matches!(outside, Err(WorkplaceError::Outside { .. })), "{outside:?}");
    }
    fixture.assert_given_back().await;
    assert!(fixture.peak(Kind::File) <= 2);
}

#[tokio::test]
async fn a_session_has_a_folder_of_its_own() {
    let fixture = Fixture::new();
    let settings = LocalSettings { session_folders: true, ..LocalSettings::default() };
    let (one, two) = (SessionId::new(), SessionId::new());
    let place = fixture.local.at(&settings, Some(&one)).expect("it is made");
    let other = fixture.local.at(&settings, Some(&two)).expect("it is made");
    Backend::write(&place, "file", "mine".into(), Rewrite::Whole).await.expect("it is written");
    assert_eq!(fixture.get(&format!("sessions/{one}/file")), "mine");
    let across = other.stat(&format!("../{one}/file")).await;
    assert!(matches!(across, Err(WorkplaceError::Outside { .. })), "{across:?}");
    let home = place.home().await.expect("its folder");
    assert!(home.ends_with(&format!("sessions/{one}")), "{home}");
    let shared = fixture.local.at(&LocalSettings::default(), Some(&one)).expect("it is");
    assert_eq!(shared.home().await.unwrap(), fixture.local.home().await.unwrap());
    fixture.assert_given_back().await;
}
