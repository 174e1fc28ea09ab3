//! Items of the session, which `read_file` reads as they are stored: what is sent of a long one is
//! only its head and tail, and of an old one nothing.

use evonic_domain::{Item, ItemAddress, char_floor};
use evonic_workplace::Lines;

use crate::{Call, format};

/// What a path of an item begins with.
pub(super) const SCHEME: &str = "evonic:item/";

/// Bytes of a line, above which it is shown as several: an item has no file to look into.
const LINE_BYTES: usize = 2000;

/// An item's text. `Err` says why there is none.
pub(super) async fn text(call: &Call<'_>, address: &str) -> Result<String, String> {
    let address: ItemAddress =
        address.parse().map_err(|error| format!("{SCHEME}{address}: {error}"))?;
    let reach = call.reach.ok_or("there is no session whose items could be read")?;
    let session = reach.user.session.clone();
    let item = reach.store.read(move |reader| reader.item(&session, address)).await;
    match item {
        Ok(Some(item)) => Ok(rendered(&item)),
        Ok(None) => Err(format!("{SCHEME}{address}: this session has no such item")),
        Err(error) => Err(format!("{SCHEME}{address} cannot be read: {error}")),
    }
}

fn rendered(item: &Item) -> String {
    match item {
        Item::User { text, attachments } => {
            let mut text = text.clone();
            for attachment in attachments {
                let size = format::bytes(attachment.bytes);
                let name = &attachment.name;
                text.push_str(&format!("\n[attachment {name}, {}, {size}]", attachment.media_type));
            }
            text
        }
        Item::Summary { text, .. } => text.clone(),
        Item::LeftOut { range } => format!("[items {} to {}]", range.first, range.last),
        Item::Assistant { text, tool_calls, .. } => {
            let mut text = text.clone();
            for call in tool_calls {
                text.push_str(&format!("\n[call of {}]\n{}", call.name, call.arguments));
            }
            text
        }
        Item::ToolResult { content, .. } => content.clone(),
    }
}

/// Lines of a text, as many as fit; long ones are several.
pub(super) fn lines(text: &str, from: u64, to: Option<u64>, limit: u64) -> Lines {
    let all: Vec<&str> = text.split_inclusive('\n').flat_map(pieces).collect();
    let mut lines = Lines {
        first: from.max(1),
        total: Some(all.len() as u64),
        size_bytes: text.len() as u64,
        ..Lines::default()
    };
    let first = usize::try_from(lines.first - 1).unwrap_or(usize::MAX);
    let last = to.map_or(all.len(), |to| usize::try_from(to).unwrap_or(usize::MAX).min(all.len()));
    for line in all.get(first..last.max(first)).unwrap_or_default() {
        if lines.count > 0 && (lines.text.len() + line.len()) as u64 > limit {
            break;
        }
        lines.text.extend_from_slice(line.as_bytes());
        if !line.ends_with('\n') {
            lines.text.push(b'\n');
        }
        lines.count += 1;
    }
    lines
}

/// A line in pieces that are not too long.
fn pieces(mut line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    while line.len() > LINE_BYTES {
        let (piece, rest) = line.split_at(char_floor(line, LINE_BYTES));
        pieces.push(piece);
        line = rest;
    }
    pieces.push(line);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_long_line_can_be_asked_for() {
        let text = format!("head\n{}\ntail", "é".repeat(5000));
        let mut read = String::new();
        let mut from = 1;
        loop {
            let page = lines(&text, from, None, 3000);
            assert!(page.text.len() <= 3000 && page.count > 0, "{page:?}");
            read.push_str(std::str::from_utf8(&page.text).expect("cut between characters"));
            from += page.count;
            if page.total.is_some_and(|total| from > total) {
                break;
            }
        }
        assert_eq!(read.replace('\n', ""), text.replace('\n', ""));
        let one = lines(&text, 1, Some(1), 3000);
        assert_eq!((one.text.as_slice(), one.total), (&b"head\n"[..], Some(8)));
    }
}
