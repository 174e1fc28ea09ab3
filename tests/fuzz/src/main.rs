//! Feeds one decoder, whose name is in `EVONIC_DECODER`; `decoders.sh` beside it feeds all of them.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

/// The decoder of this run.
fn decoder() -> fn(&[u8]) {
    static DECODER: OnceLock<fn(&[u8])> = OnceLock::new();
    *DECODER.get_or_init(|| {
        let wanted = std::env::var("EVONIC_DECODER").unwrap_or_default();
        let all = evonic::decoders::DECODERS.iter().chain(evonic_supervisor::fuzzing::DECODERS);
        let found = all.clone().find(|(name, _)| *name == wanted).map(|&(_, decode)| decode);
        found.unwrap_or_else(|| {
            let names: Vec<_> = all.map(|(name, _)| *name).collect();
            panic!("EVONIC_DECODER is '{wanted}' and none of {names:?}")
        })
    })
}

fuzz_target!(|bytes: &[u8]| decoder()(bytes));
