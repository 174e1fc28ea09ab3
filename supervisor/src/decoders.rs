//! Decoders of bytes that come from outside, each as a function of bytes, for the fuzzer. No
//! program that is installed has this room.
//!
//! A decoder may refuse whatever it likes. It must not panic and not hang.

/// A decoder: panics when it breaks a promise.
pub type Decoder = fn(&[u8]);

/// All of them, by name.
pub const DECODERS: &[(&str, Decoder)] =
    &[("probe", crate::probe::decoded), ("status", crate::clients::decoded)];

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn what_the_fuzzer_begins_with_is_decoded() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests/fuzz/seeds");
        for (name, decode) in DECODERS {
            let mut tried = 0;
            for seed in fs::read_dir(seeds.join(name)).unwrap() {
                let bytes = fs::read(seed.unwrap().path()).unwrap();
                (0..bytes.len().min(400)).for_each(|at| decode(&bytes[..at]));
                decode(&bytes);
                tried += 1;
            }
            assert!(tried > 0, "{name} has no seed");
        }
    }
}
