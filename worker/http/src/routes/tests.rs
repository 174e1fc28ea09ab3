use super::*;
use crate::{idempotency::Repeats, router::answered_by};

#[test]
fn no_line_stands_twice_and_lines_of_a_resource_stand_together() {
    let lines: Vec<_> = routes().into_iter().map(|route| (route.template, route.method)).collect();
    for line in &lines {
        assert_eq!(lines.iter().filter(|other| *other == line).count(), 1, "{line:?}");
    }
    let mut templates: Vec<_> = lines.iter().map(|(template, _)| template).collect();
    templates.dedup();
    let mut seen = std::collections::HashSet::new();
    assert!(templates.into_iter().all(|template| seen.insert(template)));
}

#[test]
fn documentation_has_the_table() {
    let mut table = String::from("| Path | Method | Needs | With a key for some agents |\n");
    table.push_str("|---|---|---|---|\n");
    for route in routes() {
        let (needs, restricted) = match route.access {
            Free => ("no key".to_owned(), "yes"),
            Whole(scope) => (format!("`{scope}`"), "no"),
            OfAgents(scope) => (format!("`{scope}`"), "theirs"),
        };
        let (template, methods) = (route.template, answered_by(&route.method));
        table.push_str(&format!("| `{template}` | {methods} | {needs} | {restricted} |\n"));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(&table), "docs/security.md must have this table:\n{table}");
}

/// Names of the parameters of an operation that stand in the query or in the header.
fn parameters<'d>(
    document: &'d serde_json::Value,
    operation: &'d serde_json::Value,
    place: &str,
) -> std::collections::BTreeSet<&'d str> {
    let listed = operation["parameters"].as_array().into_iter().flatten();
    let resolved = listed.map(|parameter| match parameter["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
        None => parameter,
    });
    let placed = resolved.filter(|parameter| parameter["in"] == place);
    placed.map(|parameter| parameter["name"].as_str().unwrap()).collect()
}

#[test]
fn the_document_has_every_route_with_its_scope_and_parameters() {
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let mut documented = std::collections::BTreeSet::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            // None where it needs no key.
            let scope = match operation["security"].as_array().unwrap().as_slice() {
                [scheme] => Some(scheme["key"][0].as_str().unwrap()),
                _ => None,
            };
            let query = parameters(&document, operation, "query");
            let creates = parameters(&document, operation, "header").contains("Idempotency-Key");
            documented.insert((template.as_str(), method.to_uppercase(), scope, query, creates));
        }
    }
    let routes = routes();
    let decided = routes.iter().map(|route| {
        let scope = match route.access {
            Free => None,
            Whole(scope) | OfAgents(scope) => Some(scope.name()),
        };
        let query = route.query.iter().copied().collect();
        let creates = route.repeats == Repeats::ByKey;
        (route.template, route.method.to_string(), scope, query, creates)
    });
    assert_eq!(documented, decided.collect());
}
