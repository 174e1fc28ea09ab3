use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{check, schema};

#[derive(Debug, Deserialize, JsonSchema)]
struct ListFiles {
    path: Option<String>,
    #[schemars(range(min = 1))]
    depth: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the flag is looked at")]
struct Copy {
    from: String,
    to: String,
    recursive: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only the content is looked at")]
struct WriteFile {
    #[schemars(length(min = 1))]
    path: String,
    content: String,
}

fn parse<T: DeserializeOwned>(schema: &Value, text: &str) -> Result<T, String> {
    let validator = jsonschema::draft202012::new(schema).expect("a schema");
    let arguments = check(schema, &validator, text).map_err(|error| error.to_string())?;
    serde_json::from_value(arguments).map_err(|error| error.to_string())
}

#[test]
fn nulls_empty_texts_and_whole_floats_are_what_models_mean() {
    let schema = schema::<ListFiles>();
    let listing: ListFiles = parse(&schema, " ").expect("no arguments");
    assert!(listing.path.is_none() && listing.depth.is_none());
    let listing: ListFiles = parse(&schema, r#"{"path": null, "depth": 2.0}"#).expect("it is read");
    assert_eq!((listing.path, listing.depth), (None, Some(2)));
    for wrong in ["2.5", "-1", "0", "\"2\"", "1e300", "true"] {
        let error = parse::<ListFiles>(&schema, &format!(r#"{{"depth": {wrong}}}"#));
        let error = error.expect_err("it is refused");
        assert!(error.starts_with("depth must be a whole number from 1, not "), "{error}");
    }
}

#[test]
fn a_flag_is_true_or_false() {
    let schema = schema::<Copy>();
    let copy = |more: &str| parse::<Copy>(&schema, &format!(r#"{{"from": "a", "to": "b"{more}}}"#));
    assert_eq!(copy("").expect("it is read").recursive, None);
    assert_eq!(copy(r#", "recursive": null"#).expect("it is read").recursive, None);
    assert_eq!(copy(r#", "recursive": true"#).expect("it is read").recursive, Some(true));
    let error = copy(r#", "recursive": "yes""#).expect_err("it is refused");
    assert_eq!(error, "recursive must be true or false, not the text \"yes\"");
}

#[test]
fn what_is_required_may_be_empty_where_that_means_something() {
    let schema = schema::<WriteFile>();
    let write: WriteFile =
        parse(&schema, r#"{"path": "a", "content": ""}"#).expect("an empty file");
    assert_eq!(write.content, "");
    let error = parse::<WriteFile>(&schema, r#"{"path": "", "content": ""}"#).expect_err("no path");
    assert_eq!(error, "path must be a text that is not empty, not an empty one");
}

/// Schemas of other tools use more of JSON Schema than the built-in ones.
#[test]
fn whatever_a_schema_asks_for_is_checked_and_names_the_field() {
    let schema = json!({
        "type": "object",
        "properties": {
            "unit": {"enum": ["C", "F"]},
            "place": {
                "type": "object",
                "properties": {"latitude": {"type": "number"}},
                "required": ["latitude"],
            },
        },
        "additionalProperties": false,
    });
    for (arguments, field) in [
        (r#"{"unit": "K"}"#, "unit: "),
        (r#"{"place": {"latitude": "north"}}"#, "place.latitude: "),
        (r#"{"place": {}}"#, "place: "),
        (r#"{"place": 1}"#, "place must be of type object, not 1"),
    ] {
        let error = parse::<Value>(&schema, arguments).expect_err("it is refused");
        assert!(error.starts_with(field), "{error}");
    }
    parse::<Value>(&schema, r#"{"place": {"latitude": 1.5}}"#).expect("it fits");
}
