//! Contents of attachments: read for a model piece by piece, and removed where nobody attached them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::turn_writer::{GaveUp, TurnWriter};
use evonic_model::Blobs;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{Store, StoreError};

/// Between two looks at unused contents, as long as there are some.
const LOOK: Duration = Duration::from_secs(60);

/// The contents that a turn's session refers to. Each read opens a handle and closes it; one that
/// the store refuses for a while is tried again, as long as the turn's other reads are.
#[derive(Debug)]
pub(super) struct SessionBlobs {
    turn: TurnWriter,
}

impl SessionBlobs {
    pub(super) const fn new(turn: TurnWriter) -> Self {
        Self { turn }
    }
}

#[async_trait]
impl Blobs for SessionBlobs {
    async fn read(&self, sha256: &str, offset: u64) -> Result<Bytes, String> {
        let sha256 = sha256.to_owned();
        let read = self
            .turn
            .read(move |reader, lease| reader.blob_piece(&lease.session_id, &sha256, offset));
        read.await.map(Bytes::from).map_err(|gave_up| match gave_up {
            GaveUp::Broken(error) => ErrorChain(&error).to_string(),
            GaveUp::Fenced | GaveUp::Abandoned => "its worker ends".to_owned(),
        })
    }
}

/// Removes contents that were uploaded and never attached. Sleeps as long as there are none: a
/// worker without uploads has no wake-up of this.
pub(super) async fn remove_unused(
    store: Store,
    keep: Duration,
    began: Arc<Notify>,
    drain: CancellationToken,
) {
    loop {
        match remove_some(&store, keep).await {
            Ok(true) => {}
            Ok(false) => {
                if drain.run_until_cancelled(began.notified()).await.is_none() {
                    return;
                }
            }
            // Whether there are some is not known: it is looked again.
            Err(error) => {
                let error = ErrorChain(&error).to_string();
                tracing::debug!(error, "unused attachments stay for now");
            }
        }
        if drain.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

/// Removes what has been unused for so long. Returns whether there was anything unused.
async fn remove_some(store: &Store, keep: Duration) -> Result<bool, StoreError> {
    if !store.read(|reader| reader.has_unused_blobs()).await? {
        return Ok(false);
    }
    while store.write(move |writer| writer.remove_unused_blobs(keep)).await? {}
    Ok(true)
}
