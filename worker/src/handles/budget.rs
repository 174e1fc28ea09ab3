//! Permits by kind, and the count of descriptors they own.

use std::{sync::Arc, time::Duration};

use evonic_shared::{config, kind::Kind};

use super::Page;

/// No permit of this kind came free in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} {kind} handles are in use")]
pub struct Exhausted {
    /// The kind.
    pub kind: Kind,
    /// Handles of this kind, in all.
    pub limit: u32,
    /// When to try again: a guess for `Retry-After`.
    pub retry_after: Duration,
}

/// What one kind uses now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// The kind.
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
    inner: Arc<()>,
}

impl Budget {
    /// A budget of these sizes that keeps its account on this page.
    ///
    /// `threshold` is `fd.threshold`: a descriptor numbered from there on is reported by
    /// [`Budget::high_descriptor`].
    #[must_use]
    pub fn new(sizes: &config::Budget, page: Page, threshold: u32) -> Self {
        let _ = (sizes, page, threshold);
        todo!()
    }

    /// A permit now, or not at all.
    ///
    /// # Errors
    /// [`Exhausted`] when none is free.
    pub fn try_acquire(&self, kind: Kind) -> Result<Permit, Exhausted> {
        let _ = kind;
        todo!()
    }

    /// A permit within `patience`. Cancel safe; waiters are served in order.
    ///
    /// # Errors
    /// [`Exhausted`] when none came free.
    pub async fn acquire(&self, kind: Kind, patience: Duration) -> Result<Permit, Exhausted> {
        let _ = (kind, patience);
        todo!()
    }

    /// Every kind's usage, in the order of [`Kind::ALL`].
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        todo!()
    }

    /// Waits until a gate was handed a descriptor numbered past the threshold; returns its number.
    pub async fn high_descriptor(&self) -> u32 {
        let _ = &self.inner;
        todo!()
    }
}

/// The right to hold one handle of a kind. Gives the place back when dropped.
#[derive(Debug)]
pub struct Permit {
    _private: (),
}

impl Permit {
    /// Records that the handle of this permit now holds `descriptors` descriptors, the highest of
    /// them numbered `highest` (where the gate can know it). Called by gates right after opening,
    /// again when the number changes, and with 0 right after closing when the permit is kept.
    /// Dropping the permit records 0.
    pub fn owns(&mut self, descriptors: u32, highest: Option<u32>) {
        let _ = (descriptors, highest);
        todo!()
    }

    /// The permit's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        todo!()
    }
}
