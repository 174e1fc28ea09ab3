//! The event streams that are open, counted by whose they are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{caller::Identity, problem::Problem};

/// When to ask again.
const LATER: Duration = Duration::from_secs(1);

/// Shared by cloning. As large as the connections of a server.
#[derive(Clone, Debug)]
pub(super) struct OpenStreams {
    most: u32,
    by_identity: Arc<Mutex<HashMap<String, u32>>>,
}

/// One stream among those that are open, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: OpenStreams,
    identity: String,
}

impl OpenStreams {
    /// So many of one key, or of one user over the Unix socket.
    pub(super) fn new(most: u32) -> Self {
        Self { most, by_identity: Arc::default() }
    }

    /// # Errors
    /// 429 when there are too many of this one.
    pub(super) fn open(&self, identity: &Identity) -> Result<OpenStream, Problem> {
        let identity = identity.to_string();
        let mut open = self.by_identity.lock();
        let count = open.entry(identity.clone()).or_default();
        if *count >= self.most {
            let detail =
                format!("{identity} has {} event streams open, the most that one may", self.most);
            return Err(Problem::too_many("too_many_streams", detail, LATER));
        }
        *count += 1;
        drop(open);
        Ok(OpenStream { streams: self.clone(), identity })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.by_identity.lock();
        if let Some(count) = open.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_and_none_is_left() {
        let streams = OpenStreams::new(2);
        let (one, other) = (Identity::User(1), Identity::User(2));
        let held = [streams.open(&one).unwrap(), streams.open(&one).unwrap()];
        assert_eq!(streams.open(&one).unwrap_err().status(), 429);
        let another = streams.open(&other).unwrap();
        drop(held);
        let again = streams.open(&one).unwrap();
        drop((again, another));
        assert!(streams.by_identity.lock().is_empty());
    }
}
