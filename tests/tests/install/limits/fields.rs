//! Rate limit fields of answers, read by a strict parser of structured fields (RFC 9651).

use std::time::{Duration, Instant};

use evonic_tests::http::{Answer, Connection};
use serde_json::json;

use super::{CLIENT, READ, limited};

/// An item of a list: its string and its parameters, whose values are integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub name: String,
    pub parameters: Vec<(String, i64)>,
}

impl Item {
    pub fn get(&self, key: &str) -> Option<i64> {
        self.parameters.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }
}

/// Parses a list of strings with integer parameters, and nothing else (RFC 9651, 4.2).
pub fn parse(text: &str) -> Result<Vec<Item>, String> {
    let mut rest = text.trim_matches(' ');
    let mut items = Vec::new();
    loop {
        let (item, after) = parse_item(rest)?;
        items.push(item);
        rest = after.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Ok(items);
        }
        rest = rest.strip_prefix(',').ok_or_else(|| format!("no comma: {rest:?}"))?;
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Err("a comma at the end".to_owned());
        }
    }
}

fn parse_item(text: &str) -> Result<(Item, &str), String> {
    let (name, mut rest) = parse_string(text)?;
    let mut parameters: Vec<(String, i64)> = Vec::new();
    while let Some(after) = rest.strip_prefix(';') {
        let after = after.trim_start_matches(' ');
        let end = after
            .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c)))
            .unwrap_or(after.len());
        let (key, after) = after.split_at(end);
        if !key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*') {
            return Err(format!("no key: {after:?}"));
        }
        let after = after.strip_prefix('=').ok_or_else(|| format!("{key} has no integer"))?;
        let end = after.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(after.len());
        let (digits, after) = after.split_at(end);
        if digits.trim_start_matches('-').len() > 15 || after.starts_with('.') {
            return Err(format!("no integer: {digits:?}"));
        }
        let value = digits.parse().map_err(|_| format!("no integer: {digits:?}"))?;
        parameters.retain(|(known, _)| known != key);
        parameters.push((key.to_owned(), value));
        rest = after;
    }
    Ok((Item { name, parameters }, rest))
}

fn parse_string(text: &str) -> Result<(String, &str), String> {
    let body = text.strip_prefix('"').ok_or_else(|| format!("no string: {text:?}"))?;
    let mut string = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((string, &body[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => string.push(escaped),
                other => return Err(format!("no escape: {other:?}")),
            },
            ' '..='~' => string.push(character),
            other => return Err(format!("not in a string: {other:?}")),
        }
    }
    Err("a string does not end".to_owned())
}

/// The fields of an answer, after a look whether they say what can be.
pub fn checked(answer: &Answer) -> Vec<(Item, Item)> {
    let list = |name: &str| {
        let text = answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
        parse(text).unwrap_or_else(|problem| panic!("{name}: {text}: {problem}"))
    };
    let (policies, levels) = (list("ratelimit-policy"), list("ratelimit"));
    assert_eq!(policies.len(), levels.len(), "{answer:?}");
    let mut longest = 0;
    for (policy, level) in policies.iter().zip(&levels) {
        assert_eq!(policy.name, level.name, "{answer:?}");
        let (quota, window) = (policy.get("q").expect("q"), policy.get("w").expect("w"));
        let remaining = level.get("r").expect("r");
        assert!(quota >= 1 && window >= 1 && (0..=quota).contains(&remaining), "{answer:?}");
        // Without `t` the whole quota is free.
        let reset = level.get("t");
        assert!(reset.is_some() || remaining == quota, "{answer:?}");
        assert!(reset.is_none_or(|reset| (1..=window).contains(&reset)), "{answer:?}");
        longest = longest.max(reset.unwrap_or(0));
    }
    if answer.status == 429 {
        let text = answer.header("retry-after").expect("a 429 says when to come again");
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
        let seconds: i64 = text.parse().expect("a number");
        assert!(seconds >= 1 && seconds >= longest, "{answer:?}");
        let problem = answer.json();
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(
            problem["type"],
            "https://iana.org/assignments/http-problem-types#quota-exceeded"
        );
        let violated: Vec<&str> = levels.iter().map(|level| level.name.as_str()).collect();
        assert_eq!(problem["violated-policies"], json!(violated));
        assert!(levels.iter().all(|level| level.get("r") == Some(0)), "{answer:?}");
    }
    policies.into_iter().zip(levels).collect()
}

#[test]
fn the_parser_of_structured_fields_is_strict() {
    let item = |name: &str, parameters: &[(&str, i64)]| Item {
        name: name.to_owned(),
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
    };
    assert_eq!(
        parse("\"a \\\"b\\\\\";q=1;w=60 ,\t\"c\""),
        Ok(vec![item("a \"b\\", &[("q", 1), ("w", 60)]), item("c", &[])])
    );
    for broken in [
        "",
        "a",
        "\"a",
        "\"a\",",
        "\"a\";",
        "\"a\";Q=1",
        "\"a\";q=",
        "\"a\";q=x",
        "\"a\";q=1.5",
        "\"a\" \"b\"",
        "\"\u{e4}\"",
        "\"a\";q=1234567890123456",
        "\"\\a\"",
    ] {
        assert!(parse(broken).is_err(), "{broken}");
    }
}

#[test]
fn rate_limit_fields_are_structured_and_true() {
    let pair = limited("\"5/1s\", \"1000/1m\"", "\"900/30s\"", "");
    let address = pair.address();
    let mut connection = Connection::tcp(address).expect("a connection");
    let mut refused = None;
    let mut answered = 0;
    let began = Instant::now();
    while refused.is_none() {
        let answer = connection.request("GET", READ, CLIENT, None).expect("an answer");
        let fields = checked(&answer);
        let names: Vec<_> = fields
            .iter()
            .map(|(policy, _)| (policy.name.as_str(), policy.get("q"), policy.get("w")))
            .collect();
        match answer.status {
            200 => {
                answered += 1;
                let expected = [("address-30s", 900, 30), ("key-1s", 5, 1), ("key-1m", 1000, 60)];
                assert_eq!(names, expected.map(|(name, q, w)| (name, Some(q), Some(w))));
            }
            429 => refused = Some(answer),
            _ => panic!("{answer:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "never more than five a second");
    }
    let refused = refused.expect("it was found");
    assert!(answered >= 5, "{answered}");
    assert_eq!(refused.json()["violated-policies"], json!(["key-1s"]));
    // It says when to retry, and the retry is answered.
    let seconds: u64 = refused.header("retry-after").expect("there").parse().expect("seconds");
    std::thread::sleep(Duration::from_secs(seconds));
    let answer = connection.request("GET", READ, CLIENT, None).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}
