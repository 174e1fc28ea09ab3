use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Capped, Live, NOTE};
use crate::Piece;

/// Bytes that are text, nearly text, or no text at all.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let text = ".{0,20}".prop_map(String::into_bytes);
    let broken =
        prop::collection::vec(prop::sample::select(&b"a\x80\xbf\xc3\xe2\xf0\x9f\xff"[..]), 0..20);
    prop::collection::vec(prop_oneof![text, broken], 0..6).prop_map(|parts| parts.concat())
}

/// Bytes, cut into pieces anywhere.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (bytes(), prop::collection::vec(any::<prop::sample::Index>(), 0..8)).prop_map(
        |(bytes, cuts)| {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect()
        },
    )
}

fn capped(pieces: &[Vec<u8>], max: usize) -> String {
    let mut capped = Capped::new(max);
    for piece in pieces {
        capped.push(piece);
        assert!(capped.head.len() + capped.tail.len() <= max);
    }
    capped.text()
}

proptest! {
    #[test]
    fn pieces_decode_as_the_whole_would(pieces in pieces()) {
        let all = pieces.concat();
        let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (text, output_offset) = runtime.block_on(shown(&pieces, all.len(), 0));
        prop_assert_eq!((text, output_offset), (String::from_utf8_lossy(&all).into_owned(), all.len() as u64));
    }

    #[test]
    fn what_fits_is_kept_whole(pieces in pieces(), more in 0_usize..9) {
        let all = pieces.concat();
        let text = capped(&pieces, all.len() + more);
        prop_assert_eq!(text, String::from_utf8_lossy(&all));
    }

    #[test]
    fn head_and_tail_are_kept_and_the_rest_is_counted(
        pieces in prop::collection::vec(".{0,30}".prop_map(String::into_bytes), 0..9),
        max in 0_usize..60,
    ) {
        let all = pieces.concat();
        prop_assume!(all.len() > max);
        let text = capped(&pieces, max);
        let all = String::from_utf8(all).expect("text is generated");
        // The text may look like a note itself: the last one that fits is ours.
        let mut notes = text.match_indices("\n[... ").filter_map(|(at, _)| {
            let (head, rest) = (&text[..at], &text[at + 6..]);
            let (count, tail) = rest.split_once(" bytes left out ...]\n")?;
            Some((head, count.replace(',', "").parse::<usize>().ok()?, tail))
        });
        let fits = notes.any(|(head, left_out, tail)| {
            all.starts_with(head) && all.ends_with(tail)
                && head.len() + left_out + tail.len() == all.len()
                && head.len() <= max / 2 && head.len() + 3 >= max / 2
                && tail.len() <= max - max / 2 && tail.len() + 3 >= max - max / 2
        });
        prop_assert!(fits, "{:?} of {:?}", text, all);
    }
}

/// What is shown of these pieces after so many bytes, and how far that is.
async fn shown(pieces: &[&[u8]], max: usize, output_offset: u64) -> (String, u64) {
    let (sender, mut receiver) = mpsc::channel(99);
    let cancel = CancellationToken::new();
    let mut live = Live::new(sender, &cancel, max, output_offset);
    for piece in pieces {
        live.push(piece).await;
    }
    live.end().await;
    let (mut text, mut output_offset) = (String::new(), output_offset);
    while let Some(piece) = receiver.recv().await {
        text.push_str(&piece.text);
        output_offset = piece.output_offset;
    }
    (text, output_offset)
}

#[tokio::test]
async fn live_output_is_shown_up_to_its_limit() {
    let noted = |text: &str| (format!("{text}{NOTE}"), Piece::ALL);
    assert_eq!(shown(&[b"abc", b"de\xc3"], 8, 0).await, ("abcde\u{fffd}".to_owned(), 6));
    assert_eq!(shown(&[b"\xc3", b"\xa9"], 2, 0).await, ("é".to_owned(), 2));
    assert_eq!(shown(&[b"abc", b"de", b"f"], 5, 0).await, noted("abcde"));
    assert_eq!(shown(&["aéé".as_bytes(), b"never"], 4, 0).await, noted("aé"));
}

/// Wherever it is cut: what was shown goes on at the next byte, and the note comes once.
#[tokio::test]
async fn live_output_goes_on_where_it_was() {
    let output = "aé\u{1f600}b\u{20ac}c".as_bytes();
    for max in 1..=output.len() {
        let whole = shown(&[output], max, 0).await;
        for cut in 0..=output.len() {
            let (sender, mut receiver) = mpsc::channel(99);
            let cancel = CancellationToken::new();
            let mut live = Live::new(sender, &cancel, max, 0);
            live.push(&output[..cut]).await;
            // The worker dies here: what waits for the end of a character is lost with it.
            drop(live);
            let (mut text, mut output_offset) = (String::new(), 0);
            while let Some(piece) = receiver.recv().await {
                text.push_str(&piece.text);
                output_offset = piece.output_offset;
            }
            let from = usize::try_from(output_offset).unwrap().min(output.len());
            let (rest, end) = shown(&[&output[from..]], max, output_offset).await;
            assert_eq!((text + &rest, end), whole, "cut at {cut}, at most {max}");
        }
    }
}

#[tokio::test]
async fn a_cancelled_call_does_not_wait_for_its_reader() {
    let (sender, _unread) = mpsc::channel(1);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let mut live = Live::new(sender, &cancel, 99, 0);
    for _ in 0..3 {
        live.push(b"x").await;
    }
    live.end().await;
}
