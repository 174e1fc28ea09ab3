//! A handle and its permit, dropped in that order.

use super::Permit;

/// A handle together with the permit under which it was opened.
///
/// Of a socket, `Pin::new(held)` reads and writes, as tokio has it for each pinned pointer.
///
/// Fields drop in order of declaration: the handle closes before its permit is given back.
///
/// ```compile_fail
/// # fn permit() -> evonic_handles::Permit { unreachable!() }
/// // The handle cannot be taken out of the permit's custody.
/// let held = evonic_handles::Held::new(std::io::stdin(), permit());
/// let stdin = held.inner;
/// ```
#[derive(Debug)]
pub struct Held<T> {
    inner: T,
    permit: Permit,
}

impl<T> Held<T> {
    /// Binds a handle to its permit, whose [`Permit::owns`] the gateway has already called.
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
