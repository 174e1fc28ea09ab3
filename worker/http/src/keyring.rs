//! Keys: from what a client presents to its key.
//!
//! A key is read from the database and remembered for a second: a revocation in another worker,
//! or by another hand, takes effect within that time, and one in this worker at once. What was not
//! found is not remembered, so that no client can fill the memory.

mod watch;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::error_chain::ErrorChain;
use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use jiff::Timestamp;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::watch::KeyWatch;
use self::watch::WatchedKeys;
use crate::problem::Problem;
use evonic_domain::{Hash, Key, KeyId, Token};
use evonic_store::Store;

/// A key that was read is used for this long.
const FRESH: Duration = Duration::from_secs(1);

/// The use of a key is written at most once in this time.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);

/// The most keys that are remembered; more of them at once are read more often.
const MAX_REMEMBERED: usize = 1024;

/// Compared with where no key was found.
const NO_HASH: Hash = [0; 32];

const CHALLENGE: &str = "Bearer realm=\"evonic\"";

/// For a key that is refused.
const INVALID_TOKEN: &str = "Bearer realm=\"evonic\", error=\"invalid_token\"";

/// The keys of an installation. Shared by cloning.
#[derive(Clone, Debug)]
pub(super) struct Keyring {
    store: Store,
    /// Runs the writes of use.
    notes: TaskTracker,
    /// Gives them up.
    cut: CancellationToken,
    known: Arc<Mutex<HashMap<KeyId, Known>>>,
    watched: WatchedKeys,
}

#[derive(Debug)]
struct Known {
    key: Arc<Key>,
    hash: Hash,
    read: Instant,
    noted: Option<Instant>,
}

impl Keyring {
    /// What is written beside requests runs on the tracker.
    pub(super) fn new(store: Store, notes: TaskTracker, cut: CancellationToken) -> Self {
        Self { store, notes, cut, known: Arc::default(), watched: WatchedKeys::default() }
    }

    /// The key that a request presents.
    ///
    /// # Errors
    /// 401 when it presents none, or one that is refused; 503 when the database cannot be asked.
    pub(super) async fn recognise(&self, headers: &HeaderMap) -> Result<Arc<Key>, Problem> {
        let token = presented(headers)?;
        let found = self.find(token.id()).await?;
        let (key, hash) = found.map_or((None, NO_HASH), |(key, hash)| (Some(key), hash));
        // Takes as long for an unknown key, or a wrong first byte, as for the right one.
        let is_proved = bool::from(token.hash().ct_eq(&hash));
        let Some(key) = key.filter(|_| is_proved) else {
            return Err(refuse("the key is not known here"));
        };
        // Whoever has the whole key may know why it is refused.
        if let Some(at) = &key.revoked_at {
            return Err(refuse(format!("key {} was revoked at {at}", key.name)));
        }
        if let Some(at) = key.expires_at.as_deref().filter(|at| is_past(at)) {
            return Err(refuse(format!("key {} expired at {at}", key.name)));
        }
        self.note(&key);
        Ok(key)
    }

    /// Forgets a key that was revoked: the next request with it reads it again, and what lasts of
    /// those before ends.
    pub(super) fn revoked(&self, id: &KeyId) {
        self.forget(id);
        self.watched.end(id);
    }

    /// Watches the key of a request that lasts, if it has one.
    pub(super) fn watch(&self, key: Option<&KeyId>) -> KeyWatch {
        self.watched.watch(key)
    }

    /// Ends what lasts with its key, until it is dropped; `ended` is called with each such key.
    pub(super) async fn follow(self, ended: impl Fn(&KeyId)) {
        let (watched, store) = (self.watched.clone(), self.store.clone());
        let end = |id: &KeyId| {
            self.forget(id);
            ended(id);
        };
        watched.follow(store, end).await;
    }

    fn forget(&self, id: &KeyId) {
        self.known.lock().remove(id);
    }

    async fn find(&self, id: &KeyId) -> Result<Option<(Arc<Key>, Hash)>, Problem> {
        if let Some(known) = self.known.lock().get(id).filter(|known| known.read.elapsed() < FRESH)
        {
            return Ok(Some((Arc::clone(&known.key), known.hash)));
        }
        // From before the read: what changes while it runs must not be used for longer.
        let read = Instant::now();
        let wanted = id.clone();
        let found = self.store.read(move |reader| reader.key_and_hash(&wanted)).await?;
        let Some((key, hash)) = found else {
            self.forget(id);
            return Ok(None);
        };
        let key = Arc::new(key);
        let mut known = self.known.lock();
        let noted = known.get(id).and_then(|known| known.noted);
        if known.len() >= MAX_REMEMBERED && !known.contains_key(id) {
            known.clear();
        }
        known.insert(id.clone(), Known { key: Arc::clone(&key), hash, read, noted });
        Ok(Some((key, hash)))
    }

    /// Writes that a key is used, unless that was written a moment ago. No request waits for it.
    fn note(&self, key: &Key) {
        let mut known = self.known.lock();
        let Some(known) = known.get_mut(&key.id) else { return };
        if known.noted.is_some_and(|noted| noted.elapsed() < NOTE_INTERVAL) {
            return;
        }
        known.noted = Some(Instant::now());
        let (store, cut, id) = (self.store.clone(), self.cut.clone(), key.id.clone());
        self.notes.spawn(async move {
            let write = store.write(move |writer| writer.note_key_use(&id));
            if let Some(Err(error)) = cut.run_until_cancelled(write).await {
                tracing::debug!(error = %ErrorChain(&error), "use of a key is not noted");
            }
        });
    }
}

/// What a request presents, if it has the form of a key.
fn presented(headers: &HeaderMap) -> Result<Token, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        let detail = "this needs a key: send 'Authorization: Bearer evk_...'; \
                      `evonic key add` makes one";
        return Err(unauthorized(CHALLENGE, detail));
    };
    if values.next().is_some() {
        return Err(unauthorized(CHALLENGE, "header 'authorization' is given twice"));
    }
    let (scheme, text) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthorized(CHALLENGE, "header 'authorization' must be 'Bearer evk_...'"));
    }
    Token::parse(text.trim()).ok_or_else(|| {
        refuse(format!("this is no whole key: one is {} characters, 'evk_' first", Token::BYTES))
    })
}

/// The answer to a request that lasted longer than its key.
pub(super) fn ended() -> Problem {
    refuse("the key was revoked or has expired")
}

/// Whether a key may be used.
fn is_valid(key: &Key) -> bool {
    key.revoked_at.is_none() && !key.expires_at.as_deref().is_some_and(is_past)
}

/// Whether a time of the database is over; one that cannot be read is.
fn is_past(at: &str) -> bool {
    at.parse::<Timestamp>().map_or(true, |at| at <= Timestamp::now())
}

fn refuse(detail: impl Into<String>) -> Problem {
    unauthorized(INVALID_TOKEN, detail)
}

fn unauthorized(challenge: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .with_header(WWW_AUTHENTICATE, challenge)
}
