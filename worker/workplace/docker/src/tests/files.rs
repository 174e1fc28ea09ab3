//! Files by the archive endpoints.

use std::io::ErrorKind;

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::world::{World, engine, run, spec, text};
use evonic_backend::{Backend, FileType, Removal, Rewrite, WorkplaceError};

fn kind(error: &WorkplaceError) -> ErrorKind {
    match error {
        WorkplaceError::Path { source, .. } => source.kind(),
        other => panic!("{other:?}"),
    }
}

async fn bytes(place: &dyn Backend, path: &str, from: u64) -> Vec<u8> {
    let mut file = place.download(path, from).await.unwrap();
    let mut all = Vec::new();
    while let Some(piece) = file.bytes.next().await {
        all.extend_from_slice(&piece.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_read_changed_and_removed() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = world.place().await;
    assert_eq!(place.home().await.unwrap(), "/workspace");

    place.write("a b/c'd/long", "one\ntwo\nthree\n".into(), Rewrite::Whole).await.unwrap();
    assert_eq!(text(&place, "~/a b/c'd/long").await.unwrap(), "one\ntwo\nthree\n");
    let lines = place.read_lines("a b/c'd/long", 2, Some(2), 100).await.unwrap();
    assert_eq!((lines.text.as_slice(), lines.total), (b"two\n".as_slice(), Some(3)));
    let stat = place.stat("/workspace/a b/c'd/long").await.unwrap();
    assert_eq!((stat.file_type, stat.size_bytes, stat.mode), (FileType::File, 14, 0o644));

    // Of the command's user, and changeable by it.
    let line = r#"stat -c %u:%g "a b" "a b/c'd/long" && chmod 750 "a b/c'd/long" && ln -s "a b/c'd/long" link"#;
    let (_, said) = run(&place, spec(line)).await.unwrap();
    assert_eq!(said, "1000:1000\n1000:1000\n");
    let change = Box::new(|old: &[u8]| {
        assert_eq!(old, b"one\ntwo\nthree\n");
        Some(b"changed".to_vec())
    });
    place.edit("link", 1000, change, Rewrite::Whole).await.unwrap();
    assert_eq!(text(&place, "a b/c'd/long").await.unwrap(), "changed");
    assert_eq!(place.stat("link").await.unwrap().mode, 0o750, "the mode is kept");
    let (_, said) = run(&place, spec("readlink link")).await.unwrap();
    assert_eq!(said, "a b/c'd/long\n", "the link stays");

    place.make_folder("x/y").await.unwrap();
    place.make_folder("x/y").await.unwrap();
    place.rename("a b/c'd/long", "x/y/moved").await.unwrap();
    let (entries, more) = place.list("", 9, 100).await.unwrap();
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a b", "a b/c'd", "link", "x", "x/y", "x/y/moved"]);
    assert!(!more);
    let found = place.search("chang", "", None, 10).await.unwrap();
    assert_eq!(found.matches.len(), 1, "{found:?}");
    let digest = place.sha256("x/y/moved").await.unwrap();
    let expected: String =
        Sha256::digest("changed").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected);

    assert_eq!(
        kind(&place.remove("x", Removal::One).await.unwrap_err()),
        ErrorKind::DirectoryNotEmpty
    );
    place.remove("x", Removal::All).await.unwrap();
    assert_eq!(kind(&place.stat("x").await.unwrap_err()), ErrorKind::NotFound);
    assert_eq!(kind(&place.remove("x", Removal::All).await.unwrap_err()), ErrorKind::NotFound);
    for path in ["/etc/x", "/tmp/x", "../x", "."] {
        let refused =
            place.write(path, Bytes::from_static(b"x"), Rewrite::Whole).await.unwrap_err();
        let folder = matches!(refused, WorkplaceError::WrongType { .. });
        assert!(folder || kind(&refused) == ErrorKind::PermissionDenied, "{path}: {refused:?}");
    }
    assert!(matches!(
        place.read_lines("a b", 1, None, 10).await,
        Err(WorkplaceError::WrongType { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_on_where_they_were_and_downloads_from_any_byte() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = world.place().await;
    let content: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();

    let mut upload = place.upload("deep/big", "id-1").await.unwrap();
    assert_eq!(upload.safe_bytes(), 0);
    upload.write(Bytes::copy_from_slice(&content[..1_000_000])).await.unwrap();
    drop(upload);
    let mut upload = place.upload("deep/big", "id-1").await.unwrap();
    let safe = usize::try_from(upload.safe_bytes()).unwrap();
    assert!(safe <= 1_000_000, "{safe}");
    for piece in content[safe..].chunks(300_000) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let digest = upload.sha256().await.unwrap();
    let expected: String =
        Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected);
    assert_eq!(kind(&place.stat("deep/big").await.unwrap_err()), ErrorKind::NotFound);
    upload.finish(Some(0o700)).await.unwrap();
    assert_eq!(place.stat("deep/big").await.unwrap().mode, 0o700);
    assert!(bytes(&place, "deep/big", 0).await == content);
    assert!(bytes(&place, "deep/big", 2_999_000).await == content[2_999_000..]);
    assert!(bytes(&place, "deep/big", 4_000_000).await.is_empty());

    let upload = place.upload("deep/big", "id-2").await.unwrap();
    upload.discard().await.unwrap();
    let (entries, _) = place.list("deep", 1, 10).await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(world.used().peak < 8, "{:?}", world.used());
}
