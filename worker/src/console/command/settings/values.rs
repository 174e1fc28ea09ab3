//! Values of settings as text.

use serde_json::{Map, Value};

use super::fields::Form;

/// The JSON of a value, of which an option may give several parts; the error says what is wrong.
pub(super) fn parse(form: Form, values: &[String]) -> Result<Value, String> {
    let last = values.last().map_or("", String::as_str);
    let underscored = |name: &str| Value::from(name.trim().replace('-', "_"));
    match form {
        Form::Text => Ok(last.into()),
        Form::Choice => Ok(underscored(last)),
        Form::Choices => {
            Ok(values.iter().flat_map(|value| value.split(',')).map(underscored).collect())
        }
        Form::Number => last.parse::<u64>().map(Value::from).map_err(|_| "is no number".to_owned()),
        Form::Bytes => {
            parse_bytes(last).map(Value::from).ok_or_else(|| "is no size such as 512M".to_owned())
        }
        Form::Switch => {
            last.parse::<bool>().map(Value::from).map_err(|_| "is not true or false".to_owned())
        }
        Form::Paths => Ok(values.iter().cloned().map(Value::from).collect()),
        Form::Secret => match last.split_once(':') {
            Some((place @ ("env" | "file" | "credential"), name)) if !name.is_empty() => {
                Ok(Value::Object(Map::from_iter([(place.to_owned(), name.into())])))
            }
            _ => Err("say where it is: env:NAME, file:PATH or credential:NAME".to_owned()),
        },
        Form::Pairs => {
            let pairs = values.iter().map(|pair| {
                let (name, value) = pair.split_once('=').ok_or("is no NAME=VALUE")?;
                Ok((name.to_owned(), Value::from(value)))
            });
            pairs.collect::<Result<Map<_, _>, &str>>().map(Value::Object).map_err(str::to_owned)
        }
    }
}

/// `1048576`, `1024K`, `1M`.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..)?.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
