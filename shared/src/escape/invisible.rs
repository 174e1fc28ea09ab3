//! The characters that are not seen.

/// Sorted and apart: `Cc`, `Zl`, `Zp`, `Default_Ignorable_Code_Point`, and `Cf` without
/// `Prepended_Concatenation_Mark`, which is seen. `Bidi_Control` is among them. Unicode 17.
const INVISIBLE: [(char, char); 20] = [
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a terminal obeys a character, or shows nothing where it stands: control characters, line
/// and paragraph separators, marks of direction, and what Unicode lets a font ignore.
pub fn is_invisible(c: char) -> bool {
    // Nearly all of nearly every text.
    if matches!(c, ' '..='~') {
        return false;
    }
    let after = INVISIBLE.partition_point(|&(first, _)| first <= c);
    after > 0 && c <= INVISIBLE[after - 1].1
}

#[cfg(test)]
mod tests {
    use icu_properties::{
        CodePointMapData, CodePointSetData,
        props::{
            BidiControl, DefaultIgnorableCodePoint, GeneralCategory, PrependedConcatenationMark,
        },
    };

    use super::*;

    #[test]
    fn the_table_is_that_of_unicode() {
        let categories = CodePointMapData::<GeneralCategory>::new();
        let bidi = CodePointSetData::new::<BidiControl>();
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        let prepended = CodePointSetData::new::<PrependedConcatenationMark>();
        for c in '\0'..=char::MAX {
            let of_category = match categories.get(c) {
                GeneralCategory::Control
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator => true,
                GeneralCategory::Format => !prepended.contains(c),
                _ => false,
            };
            let wanted = of_category || bidi.contains(c) || ignorable.contains(c);
            assert_eq!(is_invisible(c), wanted, "{c:?}");
        }
    }
}
