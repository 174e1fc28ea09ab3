//! The API's document against the real routes.

use serde_json::Value;

use super::worker::Worker;

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
