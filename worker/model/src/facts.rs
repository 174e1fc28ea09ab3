//! What is learnt of endpoints from their answers. Who starts the models keeps it over restarts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use evonic_domain::ModelFacts;
use jiff::Timestamp;
use tokio::sync::watch;

/// The most fields that are learnt of one endpoint: no request has more.
const MAX_FIELDS: usize = 16;

/// The fewest tokens of a window: what says less means something else.
pub(crate) const LEAST_WINDOW: u64 = 256;

/// How long the window of a refusal stands against what the endpoint lists, in seconds: it may have
/// been started anew with a larger one.
const REFUSED_FOR: i64 = 24 * 60 * 60;

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

    /// Takes the window that a refusal told at this time.
    pub(crate) fn learn_window(&self, endpoint: &str, window: u64, now: Timestamp) {
        if window >= LEAST_WINDOW {
            self.change(endpoint, |facts| {
                facts.refused_at = Some(now.as_second());
                facts.window = Some(window);
                true
            });
        }
    }

    /// Takes what the endpoint's list of models says of its window at this time. A refusal knows
    /// better, but for an other list or after a day.
    pub(crate) fn learn_listed(&self, endpoint: &str, listed: Option<u64>, now: Timestamp) {
        let listed = listed.filter(|window| *window >= LEAST_WINDOW);
        self.change(endpoint, |facts| {
            let stands = facts
                .refused_at
                .is_some_and(|at| (at..at.saturating_add(REFUSED_FOR)).contains(&now.as_second()));
            if stands && facts.listed_window == listed {
                return false;
            }
            let before = facts.clone();
            facts.listed_window = listed;
            if listed.is_some() || !stands {
                (facts.window, facts.refused_at) = (listed, None);
            }
            *facts != before
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "here";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn windows(steps: &[(Option<Option<u64>>, u64, i64)]) -> Option<u64> {
        let facts = Facts::new();
        for (listed, refused, second) in steps {
            match listed {
                Some(listed) => facts.learn_listed(HERE, *listed, at(*second)),
                None => facts.learn_window(HERE, *refused, at(*second)),
            }
        }
        facts.of(HERE).window
    }

    #[test]
    fn a_window_is_unlearnt() {
        let list = |window: u64, second: i64| (Some(Some(window)), 0, second);
        let no_list = |second: i64| (Some(None), 0, second);
        let refusal = |window: u64, second: i64| (None, window, second);
        for (steps, window) in [
            (&[refusal(2048, 0)][..], Some(2048)),
            (&[refusal(200, 0), list(255, 1)], None),
            (&[list(4096, 0), list(8192, 1)], Some(8192)),
            (&[list(8192, 0), refusal(2048, 1), list(8192, 2)], Some(2048)),
            (&[list(8192, 0), refusal(2048, 1), list(16384, 2)], Some(16384)),
            (&[refusal(2048, 0), list(8192, 1)], Some(8192)),
            (&[list(8192, 0), refusal(2048, 1), list(8192, 90_000)], Some(8192)),
            (&[refusal(2048, 0), no_list(1)], Some(2048)),
            (&[refusal(2048, 0), no_list(90_000)], None),
            (&[refusal(2048, 90_000), no_list(0)], None),
            (&[list(8192, 0), no_list(1)], None),
        ] {
            assert_eq!(windows(steps), window, "{steps:?}");
        }
    }
}
