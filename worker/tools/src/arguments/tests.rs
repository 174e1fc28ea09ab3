use std::time::Duration;

use evonic_shared::config;
use serde_json::{Value, json};

use super::{Bash, Copy, EditFile, ListFiles, Python, ReadFile, SearchFiles, WriteFile, parse};
use crate::catalogue::Tool;

fn settings() -> config::Tools {
    config::Tools {
        timeout: Duration::from_secs(600),
        max_output_bytes: 1,
        max_read_bytes: 1,
        environment: Vec::new(),
        on_lost: config::Config::defaults("/s".into(), "/r".into()).tools.on_lost,
    }
}

/// Whether a tool's type takes these arguments, without the schema's check before it.
fn takes(tool: Tool, arguments: Value) -> Result<(), String> {
    let told = |error: serde_json::Error| error.to_string();
    match tool {
        Tool::Bash => serde_json::from_value::<Bash>(arguments).map(drop).map_err(told),
        Tool::Python => serde_json::from_value::<Python>(arguments).map(drop).map_err(told),
        Tool::ReadFile => serde_json::from_value::<ReadFile>(arguments).map(drop).map_err(told),
        Tool::WriteFile => serde_json::from_value::<WriteFile>(arguments).map(drop).map_err(told),
        Tool::EditFile => serde_json::from_value::<EditFile>(arguments).map(drop).map_err(told),
        Tool::ListFiles => serde_json::from_value::<ListFiles>(arguments).map(drop).map_err(told),
        Tool::SearchFiles => {
            serde_json::from_value::<SearchFiles>(arguments).map(drop).map_err(told)
        }
        Tool::Copy => serde_json::from_value::<Copy>(arguments).map(drop).map_err(told),
    }
}

/// A value that a property's schema allows.
fn example(property: &Value) -> Value {
    match property["type"].as_str() {
        Some("string") => json!("text"),
        Some("integer") => property["minimum"].clone(),
        Some("boolean") => json!(true),
        other => panic!("no such type in this catalogue: {other:?}"),
    }
}

#[test]
fn each_schema_and_its_type_agree() {
    for tool in Tool::ALL {
        let name = tool.name();
        let schema = tool.schema(&settings());
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        let properties = schema["properties"].as_object().expect("there are properties");
        let required = schema["required"].as_array().expect("a list").clone();
        let all: Value =
            properties.iter().map(|(key, property)| (key.clone(), example(property))).collect();
        takes(tool, all.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for key in properties.keys() {
            assert!(properties[key]["description"].is_string(), "{name}.{key}");
            let mut without = all.clone();
            without.as_object_mut().expect("an object").remove(key);
            let is_required = required.contains(&json!(key));
            assert_eq!(takes(tool, without).is_err(), is_required, "{name} without {key}");
            let mut wrong = all.clone();
            wrong[key] = json!({});
            assert!(takes(tool, wrong).is_err(), "{name} with a wrong {key}");
        }
        let mut more = all;
        more["unknown"] = json!(1);
        assert!(takes(tool, more).is_err(), "{name} with one more");
    }
}

#[test]
fn nulls_empty_texts_and_whole_floats_are_what_models_mean() {
    let schema = Tool::ListFiles.schema(&settings());
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
    let schema = Tool::Copy.schema(&settings());
    let copy = |more: &str| parse::<Copy>(&schema, &format!(r#"{{"from": "a", "to": "b"{more}}}"#));
    assert!(!copy("").expect("it is read").recursive);
    assert!(!copy(r#", "recursive": null"#).expect("it is read").recursive);
    assert!(copy(r#", "recursive": true"#).expect("it is read").recursive);
    let error = copy(r#", "recursive": "yes""#).expect_err("it is refused");
    assert_eq!(error, "recursive must be true or false, not the text \"yes\"");
}

#[test]
fn what_is_required_may_be_empty_where_that_means_something() {
    let schema = Tool::WriteFile.schema(&settings());
    let write: WriteFile =
        parse(&schema, r#"{"path": "a", "content": ""}"#).expect("an empty file");
    assert_eq!(write.content, "");
    let error = parse::<WriteFile>(&schema, r#"{"path": "", "content": ""}"#).expect_err("no path");
    assert_eq!(error, "path must be a text that is not empty, not an empty one");
}
