use super::*;

fn templates() -> Vec<&'static str> {
    let mut templates: Vec<_> = DECISIONS.iter().map(|line| line.template).collect();
    templates.dedup();
    templates
}

#[test]
fn a_path_names_one_resource_or_none() {
    for template in templates() {
        let path = template.replace("{id}", "x");
        let found = |path: &str| Resource::find(DECISIONS, path).map(|resource| resource.template);
        assert_eq!(found(&path), Some(template));
        assert_eq!(found(&format!("{path}/")), Some(template), "as the routes take it");
        for odd in
            [format!("{path}//"), format!("/{path}"), format!("{path}/x/y"), path.to_uppercase()]
        {
            assert_eq!(found(&odd), None, "{odd}");
        }
    }
    for odd in
        ["", "/", "//", "*", "/api/v1/agents//", "/api//v1/agents", "/api/v1/sessions//turns"]
    {
        assert!(Resource::find(DECISIONS, odd).is_none(), "{odd}");
    }
}

#[test]
fn no_line_stands_twice_and_lines_of_a_resource_stand_together() {
    let mut seen = std::collections::HashSet::new();
    assert!(templates().into_iter().all(|template| seen.insert(template)));
    for line in DECISIONS {
        let same = |other: &&Decision| (other.template, other.verb) == (line.template, line.verb);
        assert_eq!(DECISIONS.iter().filter(same).count(), 1, "{line:?}");
    }
}

/// Handlers name their templates: each of them must have its lines.
#[test]
fn no_route_is_without_a_decision() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/routes");
    let mut answered = std::collections::BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(path).unwrap();
            let rest = text.split("respond(\"").skip(1);
            answered.extend(rest.map(|rest| rest[..rest.find('"').unwrap()].to_owned()));
        }
    }
    // What is told to who asks for nothing that is there.
    answered.remove("");
    let decided = templates().into_iter().map(str::to_owned).collect();
    assert_eq!(answered, decided, "a route needs a decision, and a decision a route");
}

#[test]
fn documentation_has_the_table() {
    let mut table = String::from("| Path | Method | Needs | With a key for some agents |\n");
    table.push_str("|---|---|---|---|\n");
    for line in DECISIONS {
        let (needs, restricted) = match line.need {
            Nothing => ("no key".to_owned(), "yes"),
            Whole(scope) => (format!("`{scope}`"), "no"),
            OfAgents(scope) => (format!("`{scope}`"), "theirs"),
        };
        let (template, methods) = (line.template, line.verb.names());
        table.push_str(&format!("| `{template}` | {methods} | {needs} | {restricted} |\n"));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(&table), "docs/security.md must have this table:\n{table}");
}
