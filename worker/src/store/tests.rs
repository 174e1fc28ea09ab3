//! The store on a real file, with the real budget.

mod account;
mod opening;

use std::{path::PathBuf, time::Duration};

use evonic_shared::{config, kind::Kind};

use super::{Paging, Store, StoreError};
use crate::{
    domain::{Event, NewSession, Posted, Session, SessionId},
    handles::{Budget, Page},
};

/// A store in a folder of its own.
struct Rig {
    store: Store,
    budget: Budget,
    folder: tempfile::TempDir,
}

const SETTINGS: config::Store = config::Store {
    busy_timeout: Duration::from_secs(5),
    acquire_timeout: Duration::from_secs(2),
    batch: 256,
};

fn budget(sqlite: u32) -> Budget {
    let sizes = config::Budget { http: 1, sqlite, model: 1, file: 1, child: 1 };
    Budget::new(&sizes, Page::private().unwrap(), 400)
}

impl Rig {
    fn new() -> Self {
        Self::with(SETTINGS, 9)
    }

    fn with(settings: config::Store, sqlite: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let budget = budget(sqlite);
        let store = Store::open(&path(&folder), &settings, budget.clone()).unwrap();
        Self { store, budget, folder }
    }

    /// What the ledger says.
    fn owned(&self) -> u32 {
        self.budget.usage()[Kind::Sqlite.slot()].descriptors
    }

    /// What the kernel says.
    fn open(&self) -> u32 {
        let folder = self.folder.path().canonicalize().unwrap();
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        u32::try_from(links.filter(|link| link.starts_with(&folder)).count()).unwrap()
    }

    async fn session(&self) -> Session {
        let new = NewSession { agent: "runbook".to_owned(), title: String::new() };
        self.store.write(|writer| writer.create_session(new)).await.unwrap()
    }

    async fn post(&self, session: &SessionId, content: &str) -> Posted {
        self.try_post(session, content, None, 100).await.unwrap()
    }

    async fn try_post(
        &self,
        session: &SessionId,
        content: &str,
        key: Option<&str>,
        max_queued: u32,
    ) -> Result<Posted, StoreError> {
        let (session, content) = (session.clone(), content.to_owned());
        let key = key.map(str::to_owned);
        self.store
            .write(move |writer| {
                writer.post_message(&session, &content, key.as_deref(), max_queued)
            })
            .await
    }

    async fn events(&self, session: &SessionId) -> Vec<Event> {
        let session = session.clone();
        self.store.read(move |reader| reader.events(&session, 0, 10_000)).await.unwrap()
    }
}

fn path(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("evonic.db")
}

fn page(limit: u32) -> Paging {
    Paging { limit, after: None }
}

/// Waits until `check` says yes; else fails with what `state` says.
async fn until(check: impl Fn() -> bool, state: impl Fn() -> String) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !check() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {}", state());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
