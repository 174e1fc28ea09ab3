//! The descriptors of one operation, counted.

use std::{
    cell::{Cell, RefCell},
    ops::{Deref, DerefMut},
    os::fd::{AsRawFd, OwnedFd},
};

use evonic_handles::Permit;

/// Two permits of one operation: it never has more than two descriptors open.
#[derive(Debug)]
pub(super) struct FdScope {
    permits: RefCell<[Permit; 2]>,
    open: Cell<u32>,
}

/// An open descriptor. Its permit is given back after it is closed: fields drop in this order.
#[derive(Debug)]
pub(super) struct Opened<'d, T> {
    inner: T,
    slot: Slot<'d>,
}

#[derive(Debug)]
struct Slot<'d>(&'d FdScope);

impl FdScope {
    pub(super) fn new(permits: [Permit; 2]) -> Self {
        Self { permits: RefCell::new(permits), open: Cell::new(0) }
    }

    /// Opens a descriptor.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn open<E>(
        &self,
        open: impl FnOnce() -> Result<OwnedFd, E>,
    ) -> Result<Opened<'_, OwnedFd>, E> {
        let inner = open()?;
        let slot = Slot::take(self, u32::try_from(inner.as_raw_fd()).ok());
        Ok(Opened { inner, slot })
    }

    /// The first of its permits, for a descriptor that outlives the operation. Nothing else is
    /// open by then.
    pub(super) fn into_permit(self) -> Permit {
        let [first, _second] = self.permits.into_inner();
        first
    }

    fn account(&self, open: u32, highest: Option<u32>) {
        debug_assert!(open <= 2, "an operation on files has at most two descriptors open");
        self.open.set(open);
        let [first, second] = &mut *self.permits.borrow_mut();
        first.owns(open.min(1), highest);
        second.owns(open.saturating_sub(1), None);
    }
}

impl<'d> Slot<'d> {
    fn take(scope: &'d FdScope, highest: Option<u32>) -> Self {
        scope.account(scope.open.get() + 1, highest);
        Self(scope)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.account(self.0.open.get() - 1, None);
    }
}

impl<'d, T> Opened<'d, T> {
    /// The same descriptor as another type.
    pub(super) fn map<U>(self, into: impl FnOnce(T) -> U) -> Opened<'d, U> {
        Opened { inner: into(self.inner), slot: self.slot }
    }
}

impl<T> Opened<'_, T> {
    /// The descriptor, which is no longer on this account.
    pub(super) fn release(self) -> T {
        self.inner
    }
}

impl<T> Deref for Opened<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Opened<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
