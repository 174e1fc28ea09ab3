//! `/api/v1/copies`: from one workplace to another.

use std::{sync::Arc, time::Duration};

use evonic_shared::error_chain::ErrorChain;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    answer,
    call::Call,
    event_stream::stream_progress,
    problem::{Answer, Problem},
    state::ApiState,
};
use evonic_domain::{Action, CopyEnd, NewCopy};
use evonic_store::StoreError;
use evonic_workplace::{Backend, Class, Copying, WorkplaceError};

/// When to ask again for a workplace that cannot be reached.
const LATER: Duration = Duration::from_secs(5);

/// Streams how far it is; `done` says whether it worked, or why not. It ends with its client; the
/// same request again continues where it was.
pub(super) async fn copy(state: Arc<ApiState>, call: Call, new: NewCopy) -> Answer {
    let running = state.copies.enter(identify(&new))?;
    let NewCopy { from, to, recursive } = new;
    let from_place = open(&from, "from.workplace", &state).await?;
    // Only one that is the same object is known to be the same place.
    let is_same = (&from.workplace, &from.session) == (&to.workplace, &to.session);
    let to_place =
        if is_same { Arc::clone(&from_place) } else { open(&to, "to.workplace", &state).await? };
    let between = format!("{} -> {}", from.workplace, to.workplace);
    state
        .record(call.caller.origin(), Action::CopyCreate, running.id.clone(), Some(between))
        .await?;
    let copying = Copying {
        from: from_place,
        from_path: from.path,
        to: to_place,
        to_path: to.path,
        recursive,
        id: running.id.clone(),
    };
    stream_progress(&state, &call.caller, "progress", |progress| async move {
        let done = answer::outcome(copying.run(progress, &CancellationToken::new()).await);
        drop(running);
        done
    })
}

async fn open(
    end: &CopyEnd,
    field: &'static str,
    state: &ApiState,
) -> Result<Arc<dyn Backend>, Problem> {
    let opened = state.app.workplaces.open(&end.workplace, end.session.as_ref()).await;
    opened.map_err(|error| match error {
        WorkplaceError::Exhausted(exhausted) => exhausted.into(),
        WorkplaceError::Unread { source: error @ StoreError::Closed, .. } => error.into(),
        error if error.class() == Class::Transient => {
            Problem::unavailable("unreachable", ErrorChain(&error).to_string(), LATER)
                .with_field(field)
        }
        error => Problem::unusable(field, format!("field '{field}': {}", ErrorChain(&error))),
    })
}

/// Names a copy by what was asked for: the same request again continues it.
fn identify(new: &NewCopy) -> String {
    let text = serde_json::to_vec(new).expect("a request has string keys only");
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
