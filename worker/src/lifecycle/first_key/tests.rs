use std::{fs, os::unix::fs::PermissionsExt};

use evonic_shared::config::Config;

use super::*;
use evonic_domain::{Key, Origin};
use evonic_handles::Page;
use evonic_store::Paging;

struct Harness {
    folder: evonic_parts::Folder,
    budget: Budget,
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Harness {
    fn new() -> Self {
        let folder = evonic_parts::Folder::new().unwrap();
        let config = Config::defaults(folder.path().into(), folder.path().into());
        let budget = Budget::new(&config.budget, Page::private().unwrap(), config.fd.threshold);
        let path = folder.path().join("evonic.db");
        let store = Store::open(&path, &config.store, budget.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, budget, store, runtime }
    }

    fn ensure(&self) -> Result<(), StartError> {
        let state = Folder::open(self.folder.path(), evonic_process::folder::PRIVATE).unwrap();
        self.runtime.block_on(ensure(&self.store, &state, &self.budget))
    }

    fn keys(&self) -> Vec<Key> {
        let read = self.store.read(|reader| reader.keys(&Paging { limit: 200, after: None }));
        self.runtime.block_on(read).unwrap().data
    }

    fn secret(&self) -> Option<String> {
        fs::read_to_string(self.folder.path().join(FILE)).ok()
    }
}

#[test]
fn the_first_key_is_written_once_for_the_owner_alone() {
    let harness = Harness::new();
    // What a start that died left.
    fs::write(harness.folder.path().join("admin.key.new"), "half").unwrap();
    harness.ensure().unwrap();
    let secret = harness.secret().unwrap();
    let token = Token::parse(secret.trim_end()).unwrap();
    let keys = harness.keys();
    assert_eq!((keys.len(), &keys[0].id, keys[0].scope), (1, token.id(), Scope::Admin));
    let mode = fs::metadata(harness.folder.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(!harness.folder.path().join("admin.key.new").exists());
    harness.ensure().unwrap();
    assert_eq!((harness.secret(), harness.keys()), (Some(secret), keys));
    let owned = harness.budget.usage()[Kind::File.slot()].descriptors;
    assert_eq!(owned, 0);
}

#[test]
fn a_revoked_first_key_does_not_come_back() {
    let harness = Harness::new();
    harness.ensure().unwrap();
    let revoke = harness.store.change(Origin::inside(), |changer| changer.revoke_key(NAME));
    harness.runtime.block_on(revoke).unwrap();
    fs::remove_file(harness.folder.path().join(FILE)).unwrap();
    harness.ensure().unwrap();
    assert_eq!((harness.secret(), harness.keys().len()), (None, 1));
}

#[test]
fn a_file_that_cannot_be_written_makes_no_key() {
    let harness = Harness::new();
    // A folder that is not empty cannot be replaced by a file, not even by root.
    fs::create_dir_all(harness.folder.path().join(FILE).join("in the way")).unwrap();
    let refused = harness.ensure().unwrap_err();
    assert!(matches!(&refused, StartError::FirstKey { path, .. } if path.ends_with(FILE)));
    assert_eq!(harness.keys(), []);
}

#[test]
fn a_key_that_others_could_read_is_revoked_and_replaced() {
    let harness = Harness::new();
    harness.ensure().unwrap();
    let old = harness.secret().unwrap();
    let path = harness.folder.path().join(FILE);
    for mode in [0o644, 0o640] {
        let old = harness.secret().unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        harness.ensure().unwrap();
        let new = harness.secret().unwrap();
        assert_ne!(new, old);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let token = Token::parse(new.trim_end()).unwrap();
        let valid: Vec<_> =
            harness.keys().into_iter().filter(|key| key.revoked_at.is_none()).collect();
        assert_eq!((valid.len(), &valid[0].id, valid[0].scope), (1, token.id(), Scope::Admin));
        harness.ensure().unwrap();
        assert_eq!(harness.secret().unwrap(), new, "once");
    }
    // One that does not count any more makes none.
    fs::write(&path, old).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    harness.ensure().unwrap();
    assert_eq!(harness.keys().len(), 3);
}
