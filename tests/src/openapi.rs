//! The API's document, requests made from it, and whether answers keep to it.

mod answer;
mod body;
mod generate;
mod request;
mod text;

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

pub use self::{
    answer::Found,
    generate::{Generator, Pool},
    request::{Expected, Request, Sender},
};

/// The document.
#[derive(Debug)]
pub struct Document {
    root: Value,
    /// Every operation, in its order.
    pub operations: Vec<Operation>,
}

/// One method of one path.
#[derive(Debug)]
pub struct Operation {
    /// Its name.
    pub id: String,
    /// `GET`, `POST` ...
    pub method: String,
    /// The path, with `{id}` where an identifier stands.
    pub template: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    /// Whether it takes a body that is no JSON.
    has_other_body: bool,
    answers: BTreeMap<u16, Answered>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    place: String,
    schema: Value,
}

#[derive(Debug)]
struct Body {
    schema: Value,
    validator: Validator,
}

/// What is documented of an answer.
#[derive(Debug)]
struct Answered {
    /// What checks its content where that is JSON, by content type.
    content: BTreeMap<String, Validator>,
    /// What checks the data of its events, by name.
    events: BTreeMap<String, Validator>,
    /// Headers that it must have.
    headers: Vec<String>,
}

impl Document {
    /// Reads a document.
    ///
    /// # Panics
    /// When it is not sound: the text is that of a test.
    #[must_use]
    pub fn new(root: Value) -> Self {
        let mut document = Self { root, operations: Vec::new() };
        let closed = document.closed();
        let mut operations = Vec::new();
        for (template, methods) in object(&document.root["paths"]) {
            for (method, operation) in object(methods) {
                operations.push(document.operation(template, method, operation, &closed));
            }
        }
        document.operations = operations;
        document
    }

    /// An operation by its name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn operation_named(&self, id: &str) -> &Operation {
        let found = self.operations.iter().find(|operation| operation.id == id);
        found.unwrap_or_else(|| panic!("the document has no operation {id}"))
    }

    /// The operation of a method and a path.
    #[must_use]
    pub fn operation_of(&self, method: &str, path: &str) -> Option<&Operation> {
        let method = if method == "HEAD" { "GET" } else { method };
        let path = path.split('?').next().unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        self.operations
            .iter()
            .find(|operation| operation.method == method && fits(&operation.template, path))
    }

    /// What `$ref` names, or the value itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(pointer) => {
                let pointer = pointer.strip_prefix('#').expect("references stay in the document");
                let found = self.root.pointer(pointer);
                self.resolved(found.unwrap_or_else(|| panic!("{pointer} leads nowhere")))
            }
            None => value,
        }
    }

    fn operation(&self, template: &str, method: &str, text: &Value, closed: &Value) -> Operation {
        let parameters = text["parameters"].as_array().into_iter().flatten().map(|parameter| {
            let parameter = self.resolved(parameter);
            Parameter {
                name: word(&parameter["name"]),
                place: word(&parameter["in"]),
                schema: parameter["schema"].clone(),
            }
        });
        // Lines of JSON are not made up here: what they must be stands in no schema.
        let json = |body: &&Value| body["content"].get("application/json").is_some();
        let body = text.get("requestBody").filter(json).map(|body| {
            let schema = body["content"]["application/json"]["schema"].clone();
            Body { validator: validator(&schema, &self.root["components"]), schema }
        });
        let answers = object(&text["responses"]).map(|(status, answer)| {
            let answer = self.resolved(answer);
            let status = status.parse().expect("answers stand under their status");
            (status, self.answered(answer, closed))
        });
        Operation {
            id: word(&text["operationId"]),
            method: method.to_uppercase(),
            template: template.to_owned(),
            parameters: parameters.collect(),
            has_other_body: text.get("requestBody").is_some() && body.is_none(),
            body,
            answers: answers.collect(),
        }
    }

    fn answered(&self, answer: &Value, components: &Value) -> Answered {
        let headers = object(&answer["headers"])
            .filter(|(_, header)| self.resolved(header)["required"] == true);
        let events =
            object(&answer["content"]).flat_map(|(_, content)| object(&content["x-events"]));
        Answered {
            content: object(&answer["content"])
                .map(|(name, content)| {
                    let schema = content.get("schema").expect("content has a schema");
                    (name.clone(), validator(schema, components))
                })
                .collect(),
            events: events
                .map(|(name, schema)| (name.clone(), validator(schema, components)))
                .collect(),
            headers: headers.map(|(name, _)| name.to_ascii_lowercase()).collect(),
        }
    }

    /// The components, such that an answer has no member that is not documented.
    fn closed(&self) -> Value {
        fn close(value: &mut Value) {
            match value {
                Value::Object(members) => {
                    members.values_mut().for_each(close);
                    // Where schemas are composed, each sees members of the others.
                    if members.get("properties").is_some_and(Value::is_object)
                        && !members.contains_key("additionalProperties")
                        && !members.contains_key("allOf")
                    {
                        members.insert("additionalProperties".to_owned(), false.into());
                    }
                }
                Value::Array(values) => values.iter_mut().for_each(close),
                _ => {}
            }
        }
        let mut components = self.root["components"].clone();
        close(&mut components["schemas"]);
        components
    }
}

/// What checks values against a schema of the document.
fn validator(schema: &Value, components: &Value) -> Validator {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": components,
    });
    for (keyword, value) in object(schema) {
        root[keyword] = value.clone();
    }
    let built = jsonschema::options().should_validate_formats(true).build(&root);
    built.unwrap_or_else(|error| panic!("{schema} is no schema: {error}"))
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

/// The members of an object; nothing where there is none.
fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn word(value: &Value) -> String {
    value.as_str().expect("a word of the document").to_owned()
}
