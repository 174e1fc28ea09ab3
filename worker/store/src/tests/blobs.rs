//! Contents: stored once, counted to their sessions, gone with the last of them.

use super::*;
use crate::{NewPost, PIECE_BYTES, StoredBlob, Upload};
use evonic_domain::{Attachment, AttachmentKind};

const MOST: u64 = 10 << 20;

/// Stores a content in pieces, each in a transaction of its own.
pub(super) fn store(
    harness: &Harness,
    session: &SessionId,
    sha256: &str,
    content: &[u8],
) -> StoredBlob {
    let upload = begin(harness, session, content);
    let sha256 = sha256.to_owned();
    harness.write(move |writer| writer.finish_upload(&upload, &sha256, "text/plain"))
}

fn begin(harness: &Harness, session: &SessionId, content: &[u8]) -> Upload {
    let mut upload = None;
    for piece in content.chunks(PIECE_BYTES) {
        let (session, piece) = (session.clone(), piece.to_vec());
        upload =
            Some(harness.write(move |writer| writer.store_piece(&session, upload, &piece, MOST)));
    }
    upload.unwrap()
}

pub(super) fn count(harness: &Harness, table: &'static str) -> u64 {
    let sql = format!("SELECT COUNT(*) AS number FROM {table}");
    harness.read(move |reader| reader.one("count", &sql, [], |row| column::natural(row, "number")))
}

pub(super) fn with_attachment(blob: &StoredBlob) -> NewPost {
    let StoredBlob { sha256, media_type, bytes } = blob.clone();
    let (kind, name) = (AttachmentKind::File, String::new());
    let attachment = Attachment { kind, sha256, media_type, name, bytes };
    NewPost { attachments: vec![attachment], max_queued: 10, ..NewPost::default() }
}

#[test]
fn a_content_is_read_from_any_byte_on() {
    let harness = Harness::new();
    let session = harness.session().id;
    let content: Vec<u8> =
        (0..PIECE_BYTES * 2 + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let blob = store(&harness, &session, "aa", &content);
    assert_eq!(blob.bytes, content.len() as u64);
    let mut read = Vec::new();
    loop {
        let (session, offset) = (session.clone(), read.len() as u64);
        let piece = harness.read(move |reader| reader.blob_piece(&session, "aa", offset));
        assert!(piece.len() <= PIECE_BYTES);
        if piece.is_empty() {
            break;
        }
        read.extend_from_slice(&piece);
    }
    assert!(read == content);
    let from = session.clone();
    let inside = harness.read(move |reader| reader.blob_piece(&from, "aa", 1_000));
    assert!(inside == content[1_000..PIECE_BYTES]);
    let after = harness.read(move |reader| reader.blob_piece(&session, "aa", u64::MAX / 2));
    assert!(after.is_empty());
}

#[test]
fn two_sessions_share_a_content_and_the_last_takes_it_along() {
    let harness = Harness::new();
    let (one, two) = (harness.session().id, harness.session().id);
    // Both are on their way at the same time.
    let (first, second) = (begin(&harness, &one, b"same"), begin(&harness, &two, b"same"));
    for upload in [first, second] {
        harness.write(move |writer| writer.finish_upload(&upload, "cc", "text/plain"));
    }
    assert_eq!((count(&harness, "blobs"), count(&harness, "blob_pieces")), (1, 1));
    let again = store(&harness, &one, "cc", b"same");
    assert_eq!((again.bytes, count(&harness, "session_blobs")), (4, 2));
    let listed = one.clone();
    assert_eq!(harness.read(move |reader| reader.session_blobs(&listed)), [again]);
    harness.write(move |writer| writer.delete_session(&one));
    assert_eq!(count(&harness, "blobs"), 1);
    harness.write(move |writer| writer.delete_session(&two));
    assert_eq!((count(&harness, "blobs"), count(&harness, "blob_pieces")), (0, 0));
}

#[test]
fn a_content_of_another_session_is_not_there() {
    let harness = Harness::new();
    let (ours, theirs) = (harness.session().id, harness.session().id);
    let blob = store(&harness, &theirs, "dd", b"secret");
    let session = ours.clone();
    assert_missing(harness.try_read(move |reader| reader.blob(&session, "dd")), "attachment");
    let session = ours.clone();
    let piece = harness.try_read(move |reader| reader.blob_piece(&session, "dd", 0));
    assert_missing(piece, "attachment");
    let new = with_attachment(&blob);
    assert_missing(harness.try_write(move |writer| writer.post(&ours, new)), "attachment");
    assert_eq!(count(&harness, "messages"), 0);
}

#[test]
fn a_session_refers_to_so_many_bytes_and_no_more() {
    let harness = Harness::new();
    let session = harness.session().id;
    store(&harness, &session, "ee", &[1; 600]);
    let full = session.clone();
    let stored = harness.try_write(move |writer| writer.store_piece(&full, None, &[2; 401], 1_000));
    assert_conflict(stored, "attachments_full");
    assert_eq!(count(&harness, "blobs"), 1);
    // What is on its way counts, too.
    let id = session.clone();
    harness.write(move |writer| writer.store_piece(&id, None, &[2; 400], 1_000));
    let stored =
        harness.try_write(move |writer| writer.store_piece(&session, None, &[3; 1], 1_000));
    assert_conflict(stored, "attachments_full");
}

#[test]
fn what_no_message_has_is_removed_after_a_time() {
    let harness = Harness::new();
    let session = harness.session().id;
    let used = store(&harness, &session, "aa", b"used");
    store(&harness, &session, "bb", b"unused");
    begin(&harness, &session, b"never finished");
    let (id, new) = (session.clone(), with_attachment(&used));
    harness.write(move |writer| writer.post(&id, new));
    assert!(!harness.write(|writer| writer.remove_unused_blobs(Duration::from_secs(3_600))));
    assert_eq!(count(&harness, "blobs"), 3);
    thread::park_timeout(Duration::from_millis(5));
    harness.write(|writer| writer.remove_unused_blobs(Duration::ZERO));
    assert_eq!(harness.read(move |reader| reader.session_blobs(&session)), [used]);
    assert!(!harness.read(|reader| reader.has_unused_blobs()));
    assert_eq!(count(&harness, "blob_pieces"), 1);
}

#[test]
fn an_upload_whose_session_goes_ends() {
    let harness = Harness::new();
    let session = harness.session().id;
    let upload = begin(&harness, &session, b"some");
    let id = session.clone();
    harness.write(move |writer| writer.delete_session(&id));
    assert_eq!(count(&harness, "blobs"), 0);
    let next = upload.clone();
    let more =
        harness.try_write(move |writer| writer.store_piece(&session, Some(next), b"x", MOST));
    assert_missing(more, "upload");
    let finished = harness.try_write(move |writer| writer.finish_upload(&upload, "ff", "a/b"));
    assert!(finished.is_err());
    assert_eq!((count(&harness, "blobs"), count(&harness, "session_blobs")), (0, 0));
}

#[test]
fn a_message_is_told_from_another_by_all_that_it_has() {
    let harness = Harness::new();
    let session = harness.session().id;
    let blob = store(&harness, &session, "aa", b"a file");
    let new = NewPost {
        idempotency_key: Some("once".to_owned()),
        fingerprint: Some([7; 32]),
        ..with_attachment(&blob)
    };
    let post = |new: NewPost| {
        let session = session.clone();
        harness.try_write(move |writer| writer.post(&session, new))
    };
    let first = post(new.clone()).unwrap();
    assert_eq!(first.message.attachments.len(), 1);
    // Before its attachments are gathered, the same request is known by its fingerprint.
    let bare = NewPost { attachments: Vec::new(), ..new.clone() };
    assert_eq!(post(bare.clone()).unwrap().message, first.message);
    let other = NewPost { fingerprint: Some([8; 32]), ..bare };
    assert_conflict(post(other), "key_reused");
    let format = Some(evonic_domain::ResponseFormat::JsonObject {});
    let key = Some("form".to_owned());
    let plain = NewPost { idempotency_key: key, max_queued: 10, ..NewPost::default() };
    post(plain.clone()).unwrap();
    post(plain.clone()).unwrap();
    assert_conflict(post(NewPost { response_format: format, ..plain }), "key_reused");
}

/// A content that goes is never seen in part, and is not gone on with.
#[test]
fn a_long_content_goes_a_few_pieces_at_a_time() {
    let harness = Harness::new();
    let (going, other) = (harness.session().id, harness.session().id);
    let portion = crate::blobs::PIECES as usize;
    let content = vec![7; PIECE_BYTES * (portion + 2)];
    let blob = store(&harness, &going, "aa", &content);
    harness.write({
        let (going, post) = (going.clone(), with_attachment(&blob));
        move |writer| writer.post(&going, post)
    });
    let turn = harness.claim(1).unwrap().lease;
    harness.write(move |writer| writer.end_turn(&turn, completed("done")));
    let gone = going.clone();
    assert!(!harness.write(move |writer| writer.delete_session(&gone)));
    assert_eq!(count(&harness, "blob_pieces"), 2);
    // Another session sends the same meanwhile: it has the whole of it.
    store(&harness, &other, "aa", &content);
    assert_eq!(count(&harness, "blob_pieces"), 2 + content.len().div_ceil(PIECE_BYTES) as u64);
    while !harness.write({
        let going = going.clone();
        move |writer| writer.purge_some(going.as_str())
    }) {}
    assert_eq!(count(&harness, "blob_pieces"), content.len().div_ceil(PIECE_BYTES) as u64);
    let last = content.len() as u64 - 1;
    let piece = harness.read(move |reader| reader.blob_piece(&other, "aa", last));
    assert_eq!(piece, [7]);
}

#[test]
fn a_long_upload_that_is_given_up_goes_little_by_little() {
    let harness = Harness::new();
    let session = harness.session().id;
    let portion = crate::blobs::PIECES as usize;
    let upload = begin(&harness, &session, &vec![7; PIECE_BYTES * (2 * portion + 1)]);
    let given_up = upload.clone();
    harness.write(move |writer| writer.abandon_upload(&given_up));
    assert_eq!(count(&harness, "blob_pieces"), portion as u64 + 1);
    let measured = session.clone();
    assert_eq!(harness.read(move |reader| reader.blob_bytes(&measured)), 0);
    let on = harness.try_write({
        let (session, upload) = (session.clone(), upload.clone());
        move |writer| writer.store_piece(&session, Some(upload), b"more", MOST)
    });
    assert_missing(on, "upload");
    assert_missing(
        harness.try_write(move |writer| writer.finish_upload(&upload, "bb", "text/plain")),
        "upload",
    );
    let keep = Duration::from_secs(3600);
    assert!(harness.write(move |writer| writer.remove_unused_blobs(keep)));
    assert_eq!(count(&harness, "blob_pieces"), 1);
    assert!(!harness.write(move |writer| writer.remove_unused_blobs(keep)));
    assert_eq!((count(&harness, "blobs"), count(&harness, "session_blobs")), (0, 0));
}
