//! The fuzzer's seeds, and what it once found, in every run of the tests.

use std::path::Path;

use super::DECODERS;

#[test]
fn what_the_fuzzer_begins_with_is_decoded() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("tests/fuzz/seeds");
    for (name, decode) in DECODERS {
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
