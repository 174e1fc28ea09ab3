//! The secret form of a key: what clients show.
//!
//! `evk_`, 32 hexadecimal digits that find the key, and 64 that prove it. The last are 32 bytes of
//! the kernel's generator: they cannot be guessed, so one round of SHA-256 hides them as well as a
//! slow hash hides a password, and a request does not pay for one.

use rustix::rand::GetRandomFlags;
use sha2::{Digest, Sha256};

use super::KeyId;

/// What every key begins with, so that scanners find one that was published.
const PREFIX: &str = "evk_";

/// Digits of the identifier.
const ID: usize = 32;

/// Digits of the proof.
const PROOF: usize = 64;

/// A key as clients show it. Neither printed nor compared: only its hash is.
#[derive(Clone)]
pub struct Token {
    id: KeyId,
    text: String,
}

/// SHA-256 of a whole key.
pub type Hash = [u8; 32];

impl Token {
    /// Bytes of every key.
    pub const BYTES: usize = PREFIX.len() + ID + PROOF;

    /// A key of this identifier and these random bytes.
    fn new(id: KeyId, proof: &[u8; PROOF / 2]) -> Self {
        let digits = id.as_str().rsplit('_').next().unwrap_or_default();
        let mut text = format!("{PREFIX}{digits}");
        text.extend(proof.iter().map(|byte| format!("{byte:02x}")));
        Self { id, text }
    }

    /// A key of its own, by the kernel's generator.
    ///
    /// # Errors
    /// The OS error.
    pub fn random() -> std::io::Result<Self> {
        let mut proof = [0; PROOF / 2];
        let mut filled = 0;
        while filled < proof.len() {
            filled += rustix::rand::getrandom(&mut proof[filled..], GetRandomFlags::empty())?;
        }
        Ok(Self::new(KeyId::new(), &proof))
    }

    /// A key from what a client shows; nothing when it has not the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() != ID + PROOF || !digits.bytes().all(is_hex) {
            return None;
        }
        let id = format!("key_{}", &digits[..ID]).parse().ok()?;
        Some(Self { id, text: text.to_owned() })
    }

    /// Which key it claims to be.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Sha256::digest(&self.text).into()
    }

    /// The key itself, for whom it was made.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Token").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made_and_never_printed() {
        let made = Token::new(KeyId::new(), &[0xa5; 32]);
        assert_eq!(made.reveal().len(), Token::BYTES);
        let read = Token::parse(made.reveal()).unwrap();
        assert_eq!((read.id(), read.hash()), (made.id(), made.hash()));
        assert!(!format!("{made:?}").contains("a5a5"), "{made:?}");
    }

    #[test]
    fn what_has_not_the_form_is_no_key() {
        let made = Token::new(KeyId::new(), &[0xa5; 32]);
        let text = made.reveal();
        let shorter = &text[..text.len() - 1];
        let longer = format!("{text}0");
        let upper = text.to_uppercase();
        let (other, wide) = (text.replace("evk_", "evq_"), text.replace("a5", "å"));
        for odd in ["", "evk_", shorter, &longer, &upper, &other, &wide, &format!(" {text}")] {
            assert!(Token::parse(odd).is_none(), "{odd}");
        }
    }
}
