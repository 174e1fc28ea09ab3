//! Every decoder of bytes that come from outside, by name.

use evonic_shared::fuzzing::Decoder;

/// The decoders of all crates, each with a folder of seeds of its name.
#[must_use]
pub fn decoders() -> Vec<(&'static str, Decoder)> {
    [
        evonic_shared::fuzzing::DECODERS,
        evonic_net::fuzzing::DECODERS,
        evonic_backend::fuzzing::DECODERS,
        evonic_sftp::fuzzing::DECODERS,
        evonic_ssh::fuzzing::DECODERS,
        evonic_model::fuzzing::DECODERS,
        evonic_tools::fuzzing::DECODERS,
        evonic_http::fuzzing::DECODERS,
        evonic_supervisor::fuzzing::DECODERS,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_seed_is_decoded_whole_and_cut() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        for (name, decode) in decoders() {
            let mut tried = 0;
            for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
                let bytes = std::fs::read(seed.unwrap().path()).unwrap();
                // Also every beginning of it, and itself without a byte.
                for at in 0..bytes.len().min(400) {
                    decode(&bytes[..at]);
                    decode(&[&bytes[..at], &bytes[at + 1..]].concat());
                }
                decode(&bytes);
                tried += 1;
            }
            assert!(tried > 0, "{name} has no seed");
        }
    }
}
