use super::*;
use crate::{call::Call, problem::Answer};

async fn nothing(_state: Arc<()>, _call: Call) -> Answer {
    crate::answer::no_content()
}

fn router(templates: &[&'static str]) -> Router {
    let routes = templates.iter().map(|template| Route::get(template, Access::Free, nothing));
    let limits =
        BodyLimits::new(&evonic_shared::config::Config::defaults("".into(), "".into()).http);
    Router::new(routes.collect(), &Arc::new(()), limits)
}

#[test]
fn a_path_names_one_resource_or_none() {
    let templates: Vec<_> = crate::routes::routes().iter().map(|route| route.template).collect();
    let router = router(&templates);
    let found = |path: &str| {
        let found = router.find(path)?;
        Some((found.0.template, found.1.id.to_owned(), found.1.part.to_owned()))
    };
    for template in templates {
        let path = template.replace("{id}", "x").replace("{sha256}", "y");
        let id = if template.contains("{id}") { "x" } else { "" };
        let part = if template.contains("{sha256}") { "y" } else { "" };
        let expected = Some((template, id.to_owned(), part.to_owned()));
        assert_eq!(found(&path), expected);
        assert_eq!(found(&format!("{path}/")), expected);
        for odd in
            [format!("{path}//"), format!("/{path}"), format!("{path}/x/y/z"), path.to_uppercase()]
        {
            assert_eq!(found(&odd), None, "{odd}");
        }
    }
    for odd in
        ["", "/", "//", "*", "/api/v1/agents//", "/api//v1/agents", "/api/v1/sessions//turns"]
    {
        assert_eq!(found(odd), None, "{odd}");
    }
}
