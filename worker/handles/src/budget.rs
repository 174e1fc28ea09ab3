//! Permits by kind, and the count of descriptors they own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use evonic_shared::{config, kind::Kind};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Page;

/// No permit of this kind came free in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} {kind} handles are in use")]
pub struct Exhausted {
    pub kind: Kind,
    /// Handles of this kind, in all.
    pub limit: u32,
    /// When to try again: a guess for `Retry-After`.
    pub retry_after: Duration,
}

/// What one kind uses now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    pub kind: Kind,
    /// Permits given out.
    pub permits: u32,
    /// The most permits.
    pub limit: u32,
    /// Descriptors owned.
    pub descriptors: u32,
    /// The most descriptors ever owned at once.
    pub peak: u32,
    /// How often a permit was refused.
    pub refused: u64,
}

/// The worker's budget: one a process, shared by cloning.
#[derive(Clone, Debug)]
pub struct Budget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pools: [Pool; Kind::ALL.len()],
    page: Page,
    threshold: u32,
    /// The highest descriptor number past the threshold since it was last asked for; 0 for none.
    high: AtomicU32,
    high_seen: Notify,
}

#[derive(Debug)]
struct Pool {
    kind: Kind,
    limit: u32,
    free: Arc<Semaphore>,
    peak: AtomicU32,
    refused: AtomicU64,
}

/// A full pool drains as requests end: a second is worth the wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Budget {
    /// A budget of these sizes that counts its descriptors on this page.
    ///
    /// `threshold` is `fd.threshold`: a descriptor numbered from there on is reported by
    /// [`Budget::high_descriptor`].
    #[must_use]
    pub fn new(sizes: &config::Budget, page: Page, threshold: u32) -> Self {
        let pools = Kind::ALL.map(|kind| Pool {
            kind,
            limit: sizes.handles(kind),
            free: Arc::new(Semaphore::new(sizes.handles(kind) as usize)),
            peak: AtomicU32::new(0),
            refused: AtomicU64::new(0),
        });
        let (high, high_seen) = (AtomicU32::new(0), Notify::new());
        Self { inner: Arc::new(Inner { pools, page, threshold, high, high_seen }) }
    }

    /// A permit now, or not at all.
    ///
    /// # Errors
    /// [`Exhausted`] when none is free.
    pub fn try_acquire(&self, kind: Kind) -> Result<Permit, Exhausted> {
        let pool = self.inner.pool(kind);
        let slot = Arc::clone(&pool.free).try_acquire_owned().map_err(|_| pool.refuse())?;
        Ok(self.permit(kind, slot))
    }

    /// A permit within `timeout`. Cancel safe; waiters are served in order.
    ///
    /// # Errors
    /// [`Exhausted`] when none came free.
    pub async fn acquire(&self, kind: Kind, timeout: Duration) -> Result<Permit, Exhausted> {
        let pool = self.inner.pool(kind);
        let slot = Arc::clone(&pool.free).acquire_owned();
        match tokio::time::timeout(timeout, slot).await {
            Ok(Ok(slot)) => Ok(self.permit(kind, slot)),
            Ok(Err(_)) | Err(_) => Err(pool.refuse()),
        }
    }

    /// How many handles of a kind there may be.
    #[must_use]
    pub fn limit(&self, kind: Kind) -> u32 {
        self.inner.pool(kind).limit
    }

    /// Every kind's usage, in the order of [`Kind::ALL`].
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        self.inner.pools.iter().map(|pool| pool.usage(&self.inner.page)).collect()
    }

    /// Waits until a gateway was given a descriptor numbered past the threshold; returns its
    /// number. For one waiter. Cancel safe.
    pub async fn high_descriptor(&self) -> u32 {
        loop {
            match self.inner.high.swap(0, Ordering::Relaxed) {
                0 => self.inner.high_seen.notified().await,
                number => return number,
            }
        }
    }

    fn permit(&self, kind: Kind, slot: OwnedSemaphorePermit) -> Permit {
        Permit { budget: Arc::clone(&self.inner), kind, owned: 0, _slot: slot }
    }
}

impl Inner {
    fn pool(&self, kind: Kind) -> &Pool {
        &self.pools[kind.slot()]
    }
}

impl Pool {
    fn refuse(&self) -> Exhausted {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Exhausted { kind: self.kind, limit: self.limit, retry_after: RETRY_AFTER }
    }

    fn usage(&self, page: &Page) -> Usage {
        let free = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        Usage {
            kind: self.kind,
            permits: self.limit.saturating_sub(free),
            limit: self.limit,
            descriptors: page.get(self.kind),
            peak: self.peak.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// The right to hold one handle of a kind. Given back when dropped.
///
/// ```compile_fail
/// // Only a budget gives one out.
/// let permit: evonic_handles::Permit = Default::default();
/// ```
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Inner>,
    kind: Kind,
    owned: u32,
    /// Given back last, after the count was corrected.
    _slot: OwnedSemaphorePermit,
}

impl Permit {
    /// Records that the handle of this permit now holds `descriptors` descriptors, the highest of
    /// them numbered `highest` (where the gateway can know it). Called by gateways right after opening,
    /// again when the number changes, and with 0 right after closing when the permit is kept.
    /// Dropping the permit records 0.
    pub fn owns(&mut self, descriptors: u32, highest: Option<u32>) {
        let page = &self.budget.page;
        if descriptors > self.owned {
            let now = page.add(self.kind, descriptors - self.owned);
            self.budget.pool(self.kind).peak.fetch_max(now, Ordering::Relaxed);
        } else if descriptors < self.owned {
            page.sub(self.kind, self.owned - descriptors);
        }
        self.owned = descriptors;
        if let Some(number) = highest.filter(|&number| number >= self.budget.threshold) {
            self.budget.high.fetch_max(number, Ordering::Relaxed);
            self.budget.high_seen.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.owns(0, None);
    }
}

#[cfg(test)]
mod tests;
