//! A file's content, seen once and then replaced or left as it is.

use evonic_workplace::{Backend, Rewrite, WorkplaceError, Written};

/// The largest file that is edited.
const EDIT_BYTES: u64 = 8 * 1024 * 1024;

/// Shows a file's content to `change`, which returns what replaces it, if anything, and what is
/// returned from here.
pub(super) async fn edit<T: Send + 'static>(
    workplace: &dyn Backend,
    path: &str,
    rewrite: Rewrite,
    change: impl FnOnce(&[u8]) -> (Option<Vec<u8>>, T) + Send + 'static,
) -> Result<(T, Written), WorkplaceError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let change = Box::new(move |content: &[u8]| {
        let (replacement, value) = change(content);
        // The receiver is below.
        let _sent = sender.send(value);
        replacement
    });
    let written = workplace.edit(path, EDIT_BYTES, change, rewrite).await?;
    Ok((receiver.recv().expect("an edit that succeeds has called its change"), written))
}

/// Shows a file's content to `look`, and leaves it as it is.
pub(super) async fn inspect<T: Send + 'static>(
    workplace: &dyn Backend,
    path: &str,
    look: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, WorkplaceError> {
    let (value, _unwritten) =
        edit(workplace, path, Rewrite::Whole, move |content| (None, look(content))).await?;
    Ok(value)
}
