//! Copies of the database.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::back_up;

#[test]
fn a_copy_is_whole_private_and_never_over_another_file() {
    let harness = Harness::new();
    let session = harness.session();
    let folder = tempfile::tempdir().unwrap();
    let copy = path_in(folder.path());
    // As another process would: the store holds nothing of it any more.
    let Harness { store, path: database, folder: _kept, .. } = harness;
    store.close();
    let bytes = back_up(&database, &copy).unwrap();
    let file = std::fs::metadata(&copy).unwrap();
    assert_eq!((file.len(), file.permissions().mode() & 0o777), (bytes, 0o600));
    let refusal = back_up(&database, &copy).unwrap_err();
    assert!(matches!(&refusal, StoreError::Copy { path, .. } if *path == copy), "{refusal:?}");
    assert_eq!(std::fs::metadata(&copy).unwrap().len(), bytes);
    let copied = Harness::open(tempfile::tempdir().unwrap(), copy, &SETTINGS, HANDLES);
    let id = session.id.clone();
    assert_eq!(copied.read(move |reader| reader.session(&id)), session);
    let missing = back_up(&folder.path().join("none.db"), &folder.path().join("copy.db"));
    assert!(matches!(missing, Err(StoreError::Open { .. })), "{missing:?}");
    assert!(!folder.path().join("copy.db").exists() && !folder.path().join("none.db").exists());
}
