//! Contents of attachments: read for a model piece by piece, and removed where nobody attached them.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use evonic_domain::SessionId;
use evonic_model::Blobs;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::Store;

/// Between two looks at unused contents, as long as there are some.
const LOOK: Duration = Duration::from_secs(60);

/// The contents that one session refers to. Each read opens a handle and closes it.
pub(super) struct SessionBlobs {
    store: Store,
    session: SessionId,
}

impl SessionBlobs {
    pub(super) const fn new(store: Store, session: SessionId) -> Self {
        Self { store, session }
    }
}

impl fmt::Debug for SessionBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBlobs").field("session", &self.session).finish_non_exhaustive()
    }
}

#[async_trait]
impl Blobs for SessionBlobs {
    async fn read(&self, sha256: &str, offset: u64) -> Result<Bytes, String> {
        let (session, sha256) = (self.session.clone(), sha256.to_owned());
        let read = self.store.read(move |reader| reader.blob_piece(&session, &sha256, offset));
        read.await.map(Bytes::from).map_err(|error| ErrorChain(&error).to_string())
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
        let looked = store.read(|reader| reader.has_unused_blobs()).await;
        if looked.is_ok_and(|has_some| has_some) {
            let removing = async {
                while store.write(move |writer| writer.remove_unused_blobs(keep)).await? {}
                Ok::<_, evonic_store::StoreError>(())
            };
            if let Err(error) = removing.await {
                let error = ErrorChain(&error).to_string();
                tracing::debug!(error, "unused attachments stay for now");
            }
        } else if drain.run_until_cancelled(began.notified()).await.is_none() {
            return;
        }
        if drain.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}
