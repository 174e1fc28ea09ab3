//! Feeds one decoder, whose name is in `EVONIC_DECODER`; `decoders.sh` beside it feeds all of them.

#![no_main]

use std::sync::OnceLock;

use evonic_fuzz::decoders;
use libfuzzer_sys::fuzz_target;

/// The decoder of this run.
fn decoder() -> fn(&[u8]) {
    static DECODER: OnceLock<fn(&[u8])> = OnceLock::new();
    *DECODER.get_or_init(|| {
        let wanted = std::env::var("EVONIC_DECODER").unwrap_or_default();
        let found = decoders().into_iter().find(|(name, _)| *name == wanted);
        found.map(|(_, decode)| decode).unwrap_or_else(|| {
            let names: Vec<_> = decoders().into_iter().map(|(name, _)| name).collect();
            panic!("EVONIC_DECODER is '{wanted}' and none of {names:?}")
        })
    })
}

fuzz_target!(|bytes: &[u8]| decoder()(bytes));
