use proptest::prelude::*;

use super::{BareLineFeed, BodyLength, RequestFraming};

/// What one connection's bytes are taken apart into, each body as its head says.
fn parts<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    mut bodies: impl Iterator<Item = BodyLength>,
) -> Result<Vec<String>, BareLineFeed> {
    let (mut framing, mut parts, mut part) = (RequestFraming::new(), Vec::new(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let taken = framing.take(piece)?;
            part.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            let ended_body = !piece.is_empty() && !framing.awaits_body();
            if framing.awaits_body() {
                framing.begin_body(bodies.next().unwrap_or(BodyLength::Exact(0)));
            } else if !ended_body {
                continue;
            }
            parts.push(String::from_utf8_lossy(&std::mem::take(&mut part)).into_owned());
        }
    }
    if !part.is_empty() {
        parts.push(String::from_utf8_lossy(&part).into_owned());
    }
    Ok(parts)
}

const HEAD: &str = "POST / HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn requests_are_told_apart() {
    let bytes = format!("{HEAD}abc{HEAD}3;x=y\r\na\nb\r\n0\r\nt: 1\r\n\r\n\r\n{HEAD}");
    let bodies = [BodyLength::Exact(3), BodyLength::Chunked].into_iter();
    let parts = parts([bytes.as_bytes()], bodies).unwrap();
    let chunked = "3;x=y\r\na\nb\r\n0\r\nt: 1\r\n\r\n";
    assert_eq!(parts, [HEAD, "abc", HEAD, chunked, &format!("\r\n{HEAD}")]);
}

#[test]
fn bare_line_feeds_are_found_wherever_a_line_ends() {
    let bodies = || std::iter::once(BodyLength::Chunked);
    for bytes in [
        "GET / HTTP/1.1\nhost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: x\r\n\n".to_owned(),
        "GET / HTTP/1.1\r\n\n".to_owned(),
        "\r\nGET / HTTP/1.1\n".to_owned(),
        format!("{HEAD}1\na\r\n0\r\n\r\n"),
        format!("{HEAD}1;x\na\r\n0\r\n\r\n"),
        format!("{HEAD}1\r\na\n0\r\n\r\n"),
        format!("{HEAD}1\r\na\r\n0\n\r\n"),
        format!("{HEAD}0\r\nt: 1\n\r\n"),
        format!("{HEAD}0\r\n\n"),
    ] {
        assert_eq!(parts([bytes.as_bytes()], bodies()), Err(BareLineFeed), "{bytes:?}");
        let single = bytes.as_bytes().chunks(1);
        assert_eq!(parts(single, bodies()), Err(BareLineFeed), "{bytes:?}");
    }
}

#[test]
fn empty_lines_before_a_request_are_none() {
    let bytes = format!("\n\r\n{HEAD}");
    assert_eq!(parts([bytes.as_bytes()], std::iter::empty()).unwrap(), [bytes]);
}

proptest! {
    #[test]
    fn pieces_do_not_matter(bytes in "[a1;\r\n]{0,40}", body in 0_u64..6, cut in 0_usize..40) {
        let bytes = bytes.as_bytes();
        let bodies = || {
            let length = if body == 5 { BodyLength::Chunked } else { BodyLength::Exact(body) };
            std::iter::repeat(length)
        };
        let whole = parts([bytes], bodies());
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        // A head's or body's end that is also a piece's end is told with the next piece only.
        let joined = |parts: Result<Vec<String>, BareLineFeed>| parts.map(|parts| parts.concat());
        prop_assert_eq!(joined(whole.clone()), joined(parts([first, second], bodies())));
        prop_assert_eq!(joined(whole), joined(parts(bytes.chunks(1), bodies())));
    }
}
