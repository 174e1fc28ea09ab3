//! Keys of requests that last: a stream, a wait. What they began ends with the key.
//!
//! A revocation by this worker is told at once; one by another worker, and the end of a key's
//! time, are seen by asking the database for those keys twice a second, while there are any.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::error_chain::ErrorChain;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::is_valid;
use evonic_domain::KeyId;
use evonic_store::{Store, StoreError};

/// Between two looks: with what one takes, well below a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// The keys that are watched. Shared by cloning.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchedKeys {
    keys: Arc<Mutex<HashMap<KeyId, Watched>>>,
    /// There is one to watch.
    begun: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Watched {
    watches: usize,
    ended: CancellationToken,
}

/// Watches a key for one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct KeyWatch {
    of: Option<(WatchedKeys, KeyId)>,
    ended: CancellationToken,
}

impl KeyWatch {
    /// Fires when the key was revoked, expired, or is gone; never where there is none.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        let Some((watched, id)) = &self.of else { return };
        let mut keys = watched.keys.lock();
        if let Some(key) = keys.get_mut(id) {
            key.watches -= 1;
            if key.watches == 0 {
                keys.remove(id);
            }
        }
    }
}

impl WatchedKeys {
    pub(super) fn watch(&self, key: Option<&KeyId>) -> KeyWatch {
        let Some(id) = key else { return KeyWatch { of: None, ended: CancellationToken::new() } };
        let mut keys = self.keys.lock();
        let key = keys.entry(id.clone()).or_default();
        key.watches += 1;
        let ended = key.ended.clone();
        drop(keys);
        self.begun.notify_one();
        KeyWatch { of: Some((self.clone(), id.clone())), ended }
    }

    /// What was begun with this key ends.
    pub(super) fn end(&self, id: &KeyId) {
        if let Some(key) = self.keys.lock().get(id) {
            key.ended.cancel();
        }
    }

    /// Looks after the keys that are watched; calls `ended` for each that is not good any more.
    /// Runs until it is dropped.
    pub(super) async fn follow(self, store: Store, ended: impl Fn(&KeyId)) {
        loop {
            if self.keys.lock().is_empty() {
                self.begun.notified().await;
                continue;
            }
            tokio::time::sleep(INTERVAL).await;
            let began = Instant::now();
            let good = self.living();
            match ended_of(&store, good).await {
                Ok(found) => found.iter().for_each(|id| {
                    self.end(id);
                    ended(id);
                }),
                Err(error) => tracing::warn!(
                    error = %ErrorChain(&error),
                    elapsed_ms = began.elapsed().as_millis(),
                    "keys of open streams cannot be read"
                ),
            }
        }
    }

    /// Those that are not known to have ended.
    fn living(&self) -> Vec<KeyId> {
        let keys = self.keys.lock();
        let living = keys.iter().filter(|(_, key)| !key.ended.is_cancelled());
        living.map(|(id, _)| id.clone()).collect()
    }
}

/// Which of these are not good any more.
async fn ended_of(store: &Store, ids: Vec<KeyId>) -> Result<Vec<KeyId>, StoreError> {
    if ids.is_empty() {
        return Ok(ids);
    }
    let read = store.read(move |reader| {
        let mut ended = Vec::new();
        for id in ids {
            let key = reader.key_and_hash(&id)?;
            if !key.is_some_and(|(key, _)| is_valid(&key)) {
                ended.push(id);
            }
        }
        Ok(ended)
    });
    read.await
}
