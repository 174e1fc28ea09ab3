//! What a client wants to be answered with (RFC 9110, section 12.5.1).

use http::{HeaderMap, header::ACCEPT};

/// How much a client that says so wants this media type in this version, from 0 to 1. The most
/// specific range that fits counts; none that fits is 0, and so is a header that is not there.
pub(super) fn quality(headers: &HeaderMap, (kind, subtype): (&str, &str), version: &str) -> f32 {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|text| text.split(',')).filter_map(MediaRange::parse);
    let fitting =
        ranges.filter_map(|range| Some((range.fit(kind, subtype, version)?, range.quality)));
    // Of those that are as specific the first counts.
    fitting.reduce(|best, next| if next.0 > best.0 { next } else { best }).map_or(0.0, |(_, q)| q)
}

/// One range of the header, as far as it is looked at.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> MediaRange<'a> {
    /// Nothing where it has not the form of one.
    fn parse(text: &'a str) -> Option<Self> {
        // A parameter may be empty.
        let mut pieces = text.split(';').map(str::trim).filter(|piece| !piece.is_empty());
        let (kind, subtype) = pieces.next()?.split_once('/')?;
        let mut range = Self { kind, subtype, version: None, quality: 1.0 };
        for piece in pieces {
            let (name, value) = piece.split_once('=')?;
            if name.eq_ignore_ascii_case("q") {
                range.quality = value.parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
            } else if name.eq_ignore_ascii_case("version") {
                range.version = Some(value.trim_matches('"'));
            }
        }
        Some(range)
    }

    /// How specifically it names a media type.
    fn fit(&self, kind: &str, subtype: &str, version: &str) -> Option<u8> {
        match (self.kind, self.subtype, self.version) {
            ("*", "*", _) => Some(0),
            (own, "*", _) if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, sub, asked)
                if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) =>
            {
                asked.is_none_or(|asked| asked == version).then_some(2 + u8::from(asked.is_some()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &[&'static str]) -> f32 {
        let headers =
            accept.iter().map(|text| (ACCEPT, http::HeaderValue::from_static(text))).collect();
        quality(&headers, ("text", "plain"), "0.0.4")
    }

    #[test]
    fn the_most_specific_range_counts() {
        assert_eq!(of(&[]), 0.0);
        assert_eq!(of(&["text/plain"]), 1.0);
        assert_eq!(of(&["text/plain; ;q=0.5;"]), 0.5);
        assert_eq!(of(&["*/*;q=0.1, TEXT/*;Q=0.2", "text/plain; q=0.3"]), 0.3);
        assert_eq!(of(&["text/plain;q=0.3, text/plain;version=0.0.4;q=0"]), 0.0);
        assert_eq!(of(&["text/plain;version=1.0.0, */*;q=0.2"]), 0.2);
        assert_eq!(of(&["text/html, application/openmetrics-text"]), 0.0);
    }

    #[test]
    fn what_has_not_the_form_of_a_range_is_none() {
        for text in ["", ",", "plain", "text/plain;q=2", "text/plain;q=NaN", "text/plain;q", ";;="]
        {
            assert_eq!(of(&[text]), 0.0, "{text}");
        }
    }
}
