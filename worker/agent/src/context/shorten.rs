//! A long result as its head and tail, with a note about the rest.

use evonic_domain::{ContextView, Item, ItemAddress, Shortened, char_ceil, char_floor};

/// How much longer than its bound a result is that is worth a note.
pub(crate) const SLACK: u64 = 200;

/// Whether the agent can follow a note's pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointer {
    ReadFile,
    None,
}

/// An item as it is sent.
pub(crate) fn shown(
    item: Item,
    address: ItemAddress,
    view: &ContextView,
    pointer: Pointer,
) -> Item {
    let Some(bytes) = bound(view, address) else { return item };
    let Item::ToolResult { call_id, name, outcome, content } = item else { return item };
    let content = shorten(content, bytes, address, pointer);
    Item::ToolResult { call_id, name, outcome, content }
}

/// To how many bytes a result at this address is shortened.
fn bound(view: &ContextView, address: ItemAddress) -> Option<u64> {
    let covers = |shortened: &&Shortened| address <= shortened.through;
    view.shortened.iter().find(covers).map(|shortened| shortened.bytes)
}

fn shorten(content: String, bytes: u64, address: ItemAddress, pointer: Pointer) -> String {
    if content.len() as u64 <= bytes + SLACK {
        return content;
    }
    let half = usize::try_from(bytes / 2).unwrap_or(usize::MAX);
    let head = &content[..char_floor(&content, half)];
    let tail = &content[char_ceil(&content, content.len() - half)..];
    let left_out = content.len() - head.len() - tail.len();
    let whole = match pointer {
        Pointer::ReadFile => format!("; the whole: read_file evonic:item/{address}"),
        Pointer::None => String::new(),
    };
    format!("{head}\n[… {left_out} bytes left out{whole}]\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use evonic_domain::Outcome;

    fn result(content: &str) -> Item {
        Item::ToolResult {
            call_id: "c".to_owned(),
            name: "bash".to_owned(),
            outcome: Outcome::Error,
            content: content.to_owned(),
        }
    }

    #[test]
    fn a_long_result_keeps_its_outcome_its_head_and_its_tail() {
        let through = ItemAddress { turn: 7, item: 3 };
        let view = ContextView {
            shortened: vec![Shortened { through, bytes: 20 }],
            ..ContextView::default()
        };
        let content = format!("beginning {} the end", "é".repeat(400));
        let address = ItemAddress { turn: 7, item: 2 };
        let sent = shown(result(&content), address, &view, Pointer::ReadFile);
        let short = "beginning \n[… 798 bytes left out; the whole: read_file evonic:item/7.2]\n\
                     é the end";
        assert_eq!(sent, result(short));
        let without = shown(result(&content), address, &view, Pointer::None);
        assert!(!format!("{without:?}").contains("read_file"), "{without:?}");
        let later = ItemAddress { turn: 7, item: 4 };
        assert_eq!(shown(result(&content), later, &view, Pointer::ReadFile), result(&content));
        assert_eq!(shown(result("short"), address, &view, Pointer::ReadFile), result("short"));
    }
}
