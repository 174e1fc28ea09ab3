//! Bodies that are not quite right.

use fastrand::Rng;
use serde_json::{Value, json};

use super::text;

/// Changes one thing somewhere in a value.
pub(super) fn changed(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Object(members) if !members.is_empty() && rng.u8(..4) > 0 => {
            let index = rng.usize(..members.len());
            let Some((name, inner)) = members.iter_mut().nth(index) else { return };
            match rng.u8(..6) {
                0 => {
                    let name = name.clone();
                    members.remove(&name);
                }
                1 => {
                    members.insert(text::odd(rng), json!(1));
                }
                _ => changed(inner, rng),
            }
        }
        Value::Array(values) if !values.is_empty() && rng.bool() => {
            let index = rng.usize(..values.len());
            changed(&mut values[index], rng);
        }
        value => *value = other(rng),
    }
}

fn other(rng: &mut Rng) -> Value {
    match rng.u8(..13) {
        0 => Value::Null,
        1 => true.into(),
        2 => (-1).into(),
        3 => u64::MAX.into(),
        4 => 0.5.into(),
        5 => 1e300.into(),
        6 => json!([]),
        7 => json!({}),
        8 => json!([null, [], {}]),
        9 => json!({"env": "NOWHERE", "more": 1}),
        10 => nested(rng.usize(2..400)),
        _ => text::odd(rng).into(),
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

/// The bytes of a value, spoiled; whether they can still be read as JSON.
pub(super) fn spoiled(value: &Value, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    match rng.u8(..10) {
        0 => bytes.truncate(rng.usize(..bytes.len().max(1))),
        1 => bytes.extend_from_slice(b" {}"),
        2 => bytes.splice(..0, *b"\xef\xbb\xbf").for_each(drop),
        3 => {
            let at = rng.usize(..bytes.len().max(1));
            bytes.insert(at.min(bytes.len()), 0xff);
        }
        4 => bytes = b"{\"name\": \"\\ud800\"}".to_vec(),
        5 => bytes = b"{\"name\": NaN}".to_vec(),
        6 => bytes = "[".repeat(10_000).into_bytes(),
        7 => bytes = [b"{\"content\": \"", vec![b'x'; 2 << 20].as_slice(), b"\"}"].concat(),
        8 => bytes.clear(),
        _ => {
            let at = rng.usize(..bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
    }
    bytes
}
