//! Places in a text between two characters.

/// The last place between two characters that is not after this byte.
#[must_use]
pub fn char_floor(text: &str, byte: usize) -> usize {
    let byte = byte.min(text.len());
    (0..=byte).rfind(|&place| text.is_char_boundary(place)).unwrap_or(0)
}

/// The first place between two characters that is not before this byte.
#[must_use]
pub fn char_ceil(text: &str, byte: usize) -> usize {
    (byte..text.len()).find(|&place| text.is_char_boundary(place)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_cut() {
        let text = "aé語";
        let floors = [0, 1, 1, 3, 3, 3, 6, 6];
        let ceils = [0, 1, 3, 3, 6, 6, 6, 6];
        for byte in 0..8 {
            assert_eq!(
                (char_floor(text, byte), char_ceil(text, byte)),
                (floors[byte], ceils[byte])
            );
        }
    }
}
