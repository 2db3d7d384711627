//! The list of models: what the configuration gives a name.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use keywheel_actors::dialect::Api;
use keywheel_actors::id::Model;
use keywheel_actors::spec::WheelSpec;
use serde_json::{Value, json};

use super::refusal::Refusal;

/// The names that a client may use, in order: routes, our names of providers' models, and those that keys are
/// bound to. Providers take other names as well, as far as they know them.
pub(super) fn offered(spec: &WheelSpec, may_use: impl Fn(&str) -> bool) -> Vec<String> {
    let routes = spec.routes.iter().map(|route| &route.model);
    let aliases = spec.providers.iter().flat_map(|provider| provider.models.keys());
    let keys = spec.providers.iter().flat_map(|provider| {
        let bound = provider.keys.iter().flat_map(|key| &key.models);
        // A model that has a name of ours is known by that.
        bound.filter(|theirs| !provider.models.values().any(|named| named == *theirs))
    });
    let names: BTreeSet<&str> = routes.chain(aliases).chain(keys).map(Model::as_str).collect();
    names.into_iter().filter(|name| may_use(name)).map(str::to_owned).collect()
}

/// The list, or one of it, as that API writes it.
///
/// # Errors
/// If it isn't there.
pub(super) fn respond(api: Api, offered: &[String], name: Option<&str>) -> Result<HttpResponse, Refusal> {
    let Some(name) = name else { return Ok(HttpResponse::Ok().json(list(api, offered))) };
    if offered.iter().any(|model| model == name) {
        return Ok(HttpResponse::Ok().json(one(api, name)));
    }
    let message = format!("there is no model `{name}` here");
    Err(Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message))
}

fn list(api: Api, offered: &[String]) -> Value {
    let all: Vec<Value> = offered.iter().map(|name| one(api, name)).collect();
    match api {
        Api::OpenAi => json!({"object": "list", "data": all}),
        Api::Anthropic => {
            json!({"data": all, "has_more": false, "first_id": offered.first(), "last_id": offered.last()})
        }
        Api::Gemini => json!({"models": all}),
    }
}

fn one(api: Api, name: &str) -> Value {
    match api {
        Api::OpenAi => json!({"id": name, "object": "model", "created": 0, "owned_by": "keywheel"}),
        Api::Anthropic => {
            json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
        }
        Api::Gemini => json!({
            "name": format!("models/{name}"),
            "displayName": name,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keywheel_actors::dialect::OpenAi;
    use keywheel_actors::secret::Secret;
    use keywheel_actors::spec::{KeySpec, ProviderSpec, RouteSpec};

    use super::*;

    #[test]
    fn every_name_that_means_something_is_offered_once() {
        let mut provider = ProviderSpec::new("p", Arc::new(OpenAi), "http://127.0.0.1:1");
        provider.models.insert("fast".into(), "gpt-4o-mini".into());
        let mut key = KeySpec::new("k", Secret::new("sk"));
        key.models = vec!["gpt-4o-mini".into(), "gpt-5".into()];
        provider.keys.push(key);
        let route = RouteSpec { model: "fast".into(), candidates: Vec::new() };
        let spec = WheelSpec { providers: vec![provider], routes: vec![route], ..WheelSpec::default() };
        assert_eq!(offered(&spec, |_| true), ["fast", "gpt-5"]);
        assert_eq!(offered(&spec, |name| name != "fast"), ["gpt-5"]);
    }

    #[test]
    fn the_list_looks_as_its_reader_knows_it() {
        let offered = ["a".to_owned()];
        assert_eq!(list(Api::OpenAi, &offered)["data"][0]["id"], "a");
        assert_eq!(list(Api::Anthropic, &offered)["last_id"], "a");
        assert_eq!(list(Api::Gemini, &offered)["models"][0]["name"], "models/a");
        assert!(respond(Api::OpenAi, &offered, Some("b")).is_err_and(|refusal| refusal.status == 404));
    }
}
