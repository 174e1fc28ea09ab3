//! Files in pieces, on a real file system.

use std::{fs, os::unix::fs::PermissionsExt};

use bytes::Bytes;
use evonic_shared::kind::Kind;
use futures_util::TryStreamExt;

use super::{NAME_BYTES, part_name};
use crate::fixture::Fixture;
use evonic_backend::{Backend, WorkplaceError};

async fn all(fixture: &Fixture, path: &str, from: u64) -> Vec<u8> {
    let download = fixture.local.download(path, from).await.expect("it opens");
    let pieces: Vec<Bytes> = download.bytes.try_collect().await.expect("it is read");
    pieces.concat()
}

/// Permits and descriptors of files that are in use.
fn used(fixture: &Fixture) -> (u32, u32) {
    let usage = fixture.budget.usage()[Kind::File.slot()];
    (usage.permits, usage.descriptors)
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|number| u8::try_from(number % 251).expect("below 251")).collect()
}

#[tokio::test]
async fn a_download_goes_on_from_any_byte_and_holds_one_permit() {
    let fixture = Fixture::new();
    let content = content(1_000_003);
    fixture.put("big", &content);
    assert_eq!(all(&fixture, "big", 0).await, content);
    assert_eq!(all(&fixture, "big", 999_000).await, content[999_000..]);
    assert!(all(&fixture, "big", 2_000_000).await.is_empty());
    let mut download = fixture.local.download("big", 0).await.expect("it opens");
    assert_eq!(download.stat.size_bytes, 1_000_003);
    download.bytes.try_next().await.expect("it is read").expect("a piece");
    assert_eq!(used(&fixture), (1, 1));
    drop(download);
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_and_becomes_the_file_whole() {
    let fixture = Fixture::new();
    let content = content(700_001);
    fixture.put("folder/file", "old");
    fs::set_permissions(fixture.path("folder/file"), fs::Permissions::from_mode(0o604)).unwrap();
    let mut upload = fixture.local.upload("folder/file", "id-1").await.expect("it opens");
    upload.write(Bytes::copy_from_slice(&content[..300_000])).await.expect("it is written");
    assert_eq!(used(&fixture), (1, 1));
    drop(upload);
    fixture.assert_given_back().await;
    assert_eq!(fixture.get("folder/file"), "old");
    assert!(fixture.path("folder/.file.id-1.part").exists());

    let mut upload = fixture.local.upload("folder/file", "id-1").await.expect("it opens");
    assert_eq!(upload.safe_bytes(), 300_000);
    upload.write(Bytes::copy_from_slice(&content[300_000..])).await.expect("it is written");
    let sum = upload.sha256().await.expect("it is read back");
    upload.finish(None).await.expect("it becomes the file");
    assert_eq!(fs::read(fixture.path("folder/file")).unwrap(), content);
    assert_eq!(fixture.local.sha256("folder/file").await.expect("it is read"), sum);
    let mode = fs::metadata(fixture.path("folder/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o604, "the mode is kept");
    assert!(!fixture.path("folder/.file.id-1.part").exists());

    let upload = fixture.local.upload("new/file", "id").await.expect("folders are made");
    upload.finish(Some(0o750)).await.expect("it is empty");
    let mode = fs::metadata(fixture.path("new/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o750);
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn an_upload_that_is_discarded_leaves_nothing() {
    let fixture = Fixture::new();
    let upload = fixture.local.upload("file", "x").await.expect("it opens");
    upload.discard().await.expect("it is removed");
    assert_eq!(fs::read_dir(fixture.path("")).unwrap().count(), 0);
    let outside = fixture.local.upload("../file", "x").await.err();
    assert!(matches!(outside, Some(WorkplaceError::Outside { .. })), "{outside:?}");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn digests_are_those_of_everybody() {
    let fixture = Fixture::new();
    fixture.put("abc", "abc");
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(fixture.local.sha256("abc").await.expect("it is read"), known);
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_thousand_transfers_leave_no_descriptor() {
    let fixture = Fixture::new();
    fixture.put("file", "content");
    let open = || fs::read_dir("/proc/self/fd").expect("/proc is there").count();
    let mut before = None;
    for round in 0..1_020 {
        assert_eq!(all(&fixture, "file", 0).await, b"content");
        drop(fixture.local.download("file", 0).await.expect("it opens"));
        let upload = fixture.local.upload("file", "x").await.expect("it opens");
        if round % 2 == 0 { upload.discard().await } else { upload.finish(None).await.map(drop) }
            .expect("it ends");
        fixture.put("file", "content");
        if round == 20 {
            before = Some(open());
        }
    }
    fixture.assert_given_back().await;
    // Other tests of this program open and close meanwhile: a leak would show by the thousand.
    let after = open();
    assert!(after < before.expect("20 rounds") + 300, "{before:?} before, {after} after");
}

#[test]
fn long_names_are_shortened() {
    let name = "ä".repeat(200);
    let part = part_name(name.as_ref(), "id");
    assert!(part.len() <= NAME_BYTES && part.ends_with("ä.id.part"), "{part}");
    assert_eq!(part_name("file".as_ref(), "7"), ".file.7.part");
}
