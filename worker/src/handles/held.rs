//! A handle and its permit, dropped in that order.

use super::Permit;

/// A handle together with the permit under which it was opened.
///
/// Fields drop in order of declaration: the handle closes before its place is given back.
#[derive(Debug)]
pub struct Held<T> {
    inner: T,
    permit: Permit,
}

impl<T> Held<T> {
    /// Binds a handle to its permit. The gate has already told [`Permit::owns`].
    pub const fn new(inner: T, permit: Permit) -> Self {
        Self { inner, permit }
    }

    /// The permit, to correct what it owns.
    pub const fn permit_mut(&mut self) -> &mut Permit {
        &mut self.permit
    }
}

impl<T> std::ops::Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> std::ops::DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
