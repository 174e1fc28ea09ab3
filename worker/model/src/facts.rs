//! What is learnt of endpoints from their answers. Who starts the models keeps it over restarts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use evonic_domain::ModelFacts;
use tokio::sync::watch;

/// The most fields that are learnt of one endpoint: no request has more.
const MAX_FIELDS: usize = 16;

/// What is learnt of every endpoint; copies share it.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    by_endpoint: Arc<Mutex<BTreeMap<String, ModelFacts>>>,
    changes: watch::Sender<u64>,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self { by_endpoint: Arc::default(), changes: watch::Sender::new(0) }
    }

    pub(crate) fn of(&self, endpoint: &str) -> ModelFacts {
        self.lock().get(endpoint).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<(String, ModelFacts)> {
        self.lock().iter().map(|(endpoint, facts)| (endpoint.clone(), facts.clone())).collect()
    }

    /// Takes what was kept; nothing has changed by that.
    pub(crate) fn recall(&self, endpoint: &str, facts: ModelFacts) {
        self.lock().insert(endpoint.to_owned(), facts);
    }

    /// Counts what was learnt.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn learn_window(&self, endpoint: &str, window: u64) {
        self.change(endpoint, |facts| facts.window.replace(window) != Some(window));
    }

    /// Whether it is new that the endpoint refuses this field.
    pub(crate) fn learn_refusal(&self, endpoint: &str, field: &str) -> bool {
        self.change(endpoint, |facts| {
            let fields = &mut facts.refused_fields;
            let new = fields.len() < MAX_FIELDS && !fields.iter().any(|known| known == field);
            if new {
                fields.push(field.to_owned());
            }
            new
        })
    }

    fn change(&self, endpoint: &str, change: impl FnOnce(&mut ModelFacts) -> bool) -> bool {
        let changed = change(self.lock().entry(endpoint.to_owned()).or_default());
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ModelFacts>> {
        self.by_endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
