//! What is sent after a compaction: pure.

use super::{digest, plan::DroppedSummary};
use evonic_domain::{ContextView, ItemAddress, ItemRange, Shortened, Summary};

/// Everything up to an item is left out beside what is summarised already; `first` is the first item
/// that was sent, if none was left out before.
pub(crate) fn leave_out(
    view: ContextView,
    first: ItemAddress,
    through: ItemAddress,
    message: Option<ItemAddress>,
    summary: DroppedSummary,
) -> (ItemRange, ContextView) {
    let (kept, dropped) = match summary {
        DroppedSummary::Kept => (view.summary, None),
        DroppedSummary::Dropped => (None, view.summary),
    };
    let first = match (dropped, view.left_out) {
        (Some(dropped), _) => dropped.range.first,
        (None, Some(before)) => before.first,
        (None, None) => first,
    };
    let range = ItemRange { first, last: through };
    let left_out = Some(range);
    let shortened = after(through, view.shortened);
    let through = Some(through);
    let view = ContextView { through, message, summary: kept, left_out, shortened, ..view };
    (range, view)
}

/// Everything up to an item is summarised, with what was before; `first` is the session's first
/// item.
pub(crate) fn summarise(
    view: ContextView,
    first: ItemAddress,
    through: ItemAddress,
    message: Option<ItemAddress>,
    mut text: String,
) -> (ItemRange, ContextView) {
    if let Some(range) = view.left_out {
        text = format!("{text}\n{}", digest::left_out(range));
    }
    let range = ItemRange { first, last: through };
    let summary = Some(Summary { text, range });
    let shortened = after(through, view.shortened);
    let through = Some(through);
    (range, ContextView { through, message, summary, left_out: None, shortened, ..view })
}

/// Bounds of results that are still sent.
fn after(through: ItemAddress, mut shortened: Vec<Shortened>) -> Vec<Shortened> {
    shortened.retain(|is| is.through > through);
    shortened
}
