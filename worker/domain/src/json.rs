//! JSON text of strangers, before it is built.

/// The most values that a JSON text can have, names of fields included. Built in memory, a value of
/// two bytes (`0,`) takes many times its size: who reads what others wrote refuses it by this count.
#[must_use]
pub fn value_count(json: &[u8]) -> usize {
    let (mut values, mut in_string, mut escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if std::mem::take(&mut escaped) => {}
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_stands_in_a_string_is_no_value() {
        for (text, most) in [
            ("", 1),
            ("0", 1),
            ("[1, 2, 3]", 4),
            (r#"{"a": [true]}"#, 4),
            (r#""[,,,{\",:[\\""#, 1),
            (r#"["\\", "]"]"#, 3),
            ("[[[[", 5),
        ] {
            assert_eq!(value_count(text.as_bytes()), most, "{text}");
        }
    }

    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(values) => values.iter().map(count).sum(),
            Value::Object(fields) => fields.values().map(|value| 1 + count(value)).sum(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn no_text_has_more_values_than_are_counted(
            texts in prop::collection::vec(".{0,8}", 0..8), depth in 0..8_usize,
        ) {
            let mut value = json!(texts);
            for level in 0..depth {
                value = if level % 2 == 0 { json!({"in": value}) } else { json!([value, level]) };
            }
            let counted = value_count(value.to_string().as_bytes());
            prop_assert!(counted >= count(&value), "{value}");
            prop_assert!(counted <= 2 * count(&value), "{value}");
        }
    }
}
