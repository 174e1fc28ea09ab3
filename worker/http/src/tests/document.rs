//! The API's document against the real routes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::worker::Worker;
use crate::routes::decisions::{DECISIONS, Need};

/// A path of this template. Identifiers of nothing: a route answers before it looks for one.
fn path(template: &str) -> String {
    template.replace("{id}", "ses_00000000000070008000000000000000")
}

/// The methods of a path in the form of `Allow`: whoever answers GET answers HEAD.
fn methods(operations: &Value) -> Vec<String> {
    let mut methods: Vec<_> =
        operations.as_object().unwrap().keys().map(|verb| verb.to_uppercase()).collect();
    if methods.iter().any(|verb| verb == "GET") {
        methods.push("HEAD".to_owned());
    }
    methods.sort();
    methods
}

/// The scope that an operation names; none where it needs no key.
fn scope(operation: &Value) -> Option<&str> {
    let schemes = operation["security"].as_array().unwrap();
    let [scheme] = schemes.as_slice() else { return None };
    Some(scheme["key"][0].as_str().unwrap())
}

#[test]
fn the_document_has_every_route_with_the_scope_that_it_needs() {
    let text = include_str!("../../../../docs/openapi.json");
    let document: Value = serde_json::from_str(text).unwrap();
    let mut documented = BTreeSet::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            documented.insert((template.as_str(), method.to_uppercase(), scope(operation)));
        }
    }
    // The routes are asked only for what stands in this table.
    let decided = DECISIONS.iter().map(|line| {
        let method = line.verb.names().split(", ").next().unwrap();
        let scope = match line.need {
            Need::Nothing => None,
            Need::Whole(scope) | Need::OfAgents(scope) => Some(scope.name()),
        };
        (line.template, method.to_owned(), scope)
    });
    assert_eq!(documented, decided.collect());
}

#[test]
fn each_path_of_the_document_has_its_methods_and_no_others() {
    let worker = Worker::plain();
    let reply = worker.fetch("/api/openapi.json");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (template, operations) in document["paths"].as_object().unwrap() {
        let refused =
            worker.connect().ask(format!("{}\r\n", worker.head("TRACE", &path(template))));
        assert_eq!(refused.status, 405, "{template}: {refused:?}");
        let mut allowed: Vec<_> =
            refused.header("allow").unwrap().split(", ").map(str::to_owned).collect();
        allowed.sort();
        assert_eq!(allowed, methods(operations), "{template}");
    }
}
