//! What is learnt of models' endpoints, kept over restarts.

use evonic_model::Models;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::Store;
use tokio_util::sync::CancellationToken;

/// Recalls what was kept, and keeps what is learnt until the worker drains. Another worker may
/// learn something else of the same endpoint: who learns last is right.
pub(super) async fn keep(store: Store, models: Models, drain: CancellationToken) {
    let mut changes = models.facts_changed();
    match store.read(|reader| reader.model_facts()).await {
        Ok(facts) => {
            for (endpoint, facts) in facts {
                models.recall(&endpoint, facts);
            }
        }
        Err(error) => warn("what was learnt of models is not known", &error),
    }
    let mut kept = models.facts();
    while let Some(Ok(())) = drain.run_until_cancelled(changes.changed()).await {
        let facts = models.facts();
        let new: Vec<_> = facts.iter().filter(|fact| !kept.contains(fact)).cloned().collect();
        let write = store.write(move |writer| {
            new.iter().try_for_each(|(endpoint, facts)| writer.keep_model_facts(endpoint, facts))
        });
        match write.await {
            Ok(()) => kept = facts,
            Err(error) => warn("what was learnt of a model is not kept", &error),
        }
    }
}

fn warn(message: &str, error: &evonic_store::StoreError) {
    let error = ErrorChain(error).to_string();
    tracing::warn!(error, "{message}");
}
