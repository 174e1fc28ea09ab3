use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn made(schema: Value) -> Result<ResponseSchema, Fault> {
    ResponseSchema::new(&ResponseFormat::JsonSchema { schema, name: None })
}

fn city() -> ResponseSchema {
    made(json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "people": {"$ref": "#/$defs/count"}},
        "required": ["name"],
        "additionalProperties": false,
        "$defs": {"count": {"type": "integer", "minimum": 0}},
    }))
    .unwrap()
}

#[test]
fn what_fits_is_the_reply_without_its_fence() {
    let json = r#"{"name": "Bern", "people": 144447}"#;
    for reply in [
        json.to_owned(),
        format!("  {json}\n"),
        format!("```json\n{json}\n```"),
        format!("```\n{json}\n```\n"),
    ] {
        assert_eq!(city().check(&reply).unwrap(), json, "{reply}");
    }
}

#[test]
fn what_does_not_fit_has_the_path_of_its_fault() {
    for (reply, path, words) in [
        (r#"{"name": "Bern", "people": "many"}"#, "/people", "integer"),
        (r#"{"name": "Bern", "people": -1}"#, "/people", "minimum"),
        (r#"{"people": 1}"#, "", "\"name\" is a required property"),
        (r#"{"name": "Bern", "x": 1}"#, "", "'x' was unexpected"),
        ("Bern has 144447 people.", "", "not JSON alone"),
        (r#"Here it is: {"name": "Bern"}"#, "", "not JSON alone"),
        ("```json\n{}\n```\nand\n```json\n{}\n```", "", "not JSON alone"),
        ("", "", "not JSON alone"),
    ] {
        let fault = city().check(reply).unwrap_err();
        assert_eq!(fault.path, path, "{fault}");
        assert!(fault.message.contains(words), "{fault}");
    }
}

#[test]
fn an_object_is_any_object() {
    let schema = ResponseSchema::new(&ResponseFormat::JsonObject {}).unwrap();
    assert_eq!(schema.check("{\"a\": []}").unwrap(), "{\"a\": []}");
    assert!(schema.check("[]").unwrap_err().message.contains("object"));
}

/// A chain of definitions, each of which leads to the next one twice.
fn doubling(length: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for at in 0..length {
        let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
        definitions.insert(format!("d{at}"), json!({"allOf": [next, next]}));
    }
    definitions.insert(format!("d{length}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_with_its_path() {
    let deep = (0..40).fold(json!({}), |inner, _| json!({"items": inner}));
    for (schema, path, words) in [
        (json!("string"), "", ""),
        (json!({"type": "text"}), "/type", "text"),
        (json!({"properties": {"a": {"minimum": "1"}}}), "/properties/a/minimum", ""),
        (json!({"$ref": "https://example.org/s.json"}), "/$ref", "leads out of the schema"),
        (json!({"items": {"$ref": "file:///etc/passwd"}}), "/items/$ref", "leads out"),
        (json!({"$ref": "#/$defs/none"}), "/$ref", "leads nowhere"),
        (json!({"$ref": "#"}), "/$ref/$ref", "leads back to itself"),
        (
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            "/$defs/a/$ref/$ref/$ref",
            "leads back to itself",
        ),
        (json!({"items": {"$id": "http://a/b"}}), "/items/$id", "cannot have an address"),
        (json!({"$schema": "http://json-schema.org/draft-04/schema#"}), "/$schema", "leave"),
        (json!({"$dynamicRef": "#x"}), "/$dynamicRef", "not supported"),
        (json!({"type": "string", "pattern": "(a"}), "/pattern", ""),
        (json!({"type": "string", "pattern": "^(?=.*a)b"}), "/pattern", ""),
        (json!({"type": "string", "pattern": "(\\w{1000}){1000}"}), "/pattern", ""),
        (deep, &"/items".repeat(33), "nested deeper"),
        (json!({"description": "x".repeat(70_000)}), "", "bytes"),
        (doubling(20), "", "more than 10000 parts"),
    ] {
        let started = Instant::now();
        let fault = made(schema.clone()).unwrap_err();
        assert!(fault.message.contains(words), "{schema}: {fault}");
        assert!(fault.path.starts_with(path), "{schema}: {fault}");
        assert!(started.elapsed() < Duration::from_secs(5), "{schema}");
    }
}

#[test]
fn what_generators_write_is_taken() {
    for dialect in
        ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
    {
        let schema = json!({
            "$schema": dialect, "$id": "https://example.org/s", "definitions": {"s": {"type": "string"}},
            "type": "array", "items": {"$ref": "#/definitions/s"},
        });
        let schema = made(schema).unwrap();
        assert!(schema.check("[\"a\"]").is_ok(), "{dialect}");
        assert!(schema.check("[1]").is_err(), "{dialect}");
    }
}

#[test]
fn a_pattern_that_backtracks_elsewhere_takes_no_time() {
    let schema = made(json!({"type": "string", "pattern": "^(a+)+$"})).unwrap();
    let started = Instant::now();
    schema.check(&json!("a".repeat(50_000) + "!").to_string()).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_reply_that_would_take_long_to_check_is_refused() {
    let schema = made(json!({"items": {"allOf": vec![json!({"minimum": 0}); 2_000]}})).unwrap();
    let fault = schema.check(&json!(vec![1; 60_000]).to_string()).unwrap_err();
    assert!(fault.message.contains("more than can be checked"), "{fault}");
    schema.check("[1, 2]").unwrap();
}

proptest! {
    #[test]
    fn no_reply_breaks_a_check(reply in ".{0,200}") {
        let _ = city().check(&reply);
    }

    #[test]
    fn what_is_checked_is_json(name in "[^`]{0,20}", fenced: bool) {
        let json = json!({"name": name}).to_string();
        let reply = if fenced { format!("```json\n{json}\n```") } else { json.clone() };
        let checked = city().check(&reply).unwrap().to_owned();
        prop_assert_eq!(checked, json);
    }
}
