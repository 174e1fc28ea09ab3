use std::os::unix::fs::PermissionsExt;

use evonic_shared::config::Config;

use super::*;
use evonic_domain::{Key, Origin};
use evonic_handles::Page;
use evonic_store::Paging;

struct House {
    folder: evonic_parts::Folder,
    budget: Budget,
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl House {
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
        self.runtime.block_on(ensure(&self.store, self.folder.path(), &self.budget))
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
    let house = House::new();
    // What a start that died left.
    fs::write(house.folder.path().join("admin.key.new"), "half").unwrap();
    house.ensure().unwrap();
    let secret = house.secret().unwrap();
    let token = Token::parse(secret.trim_end()).unwrap();
    let keys = house.keys();
    assert_eq!((keys.len(), &keys[0].id, keys[0].scope), (1, token.id(), Scope::Admin));
    let mode = fs::metadata(house.folder.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(!house.folder.path().join("admin.key.new").exists());
    house.ensure().unwrap();
    assert_eq!((house.secret(), house.keys()), (Some(secret), keys));
    let owned = house.budget.usage()[Kind::File.slot()].descriptors;
    assert_eq!(owned, 0);
}

#[test]
fn a_revoked_first_key_does_not_come_back() {
    let house = House::new();
    house.ensure().unwrap();
    let revoke = house.store.change(Origin::inside(), |changer| changer.revoke_key(NAME));
    house.runtime.block_on(revoke).unwrap();
    fs::remove_file(house.folder.path().join(FILE)).unwrap();
    house.ensure().unwrap();
    assert_eq!((house.secret(), house.keys().len()), (None, 1));
}

#[test]
fn a_file_that_cannot_be_written_makes_no_key() {
    let house = House::new();
    // A folder that is not empty cannot be replaced by a file, not even by root.
    fs::create_dir_all(house.folder.path().join(FILE).join("in the way")).unwrap();
    let refused = house.ensure().unwrap_err();
    assert!(matches!(&refused, StartError::FirstKey { path, .. } if path.ends_with(FILE)));
    assert_eq!(house.keys(), []);
}
