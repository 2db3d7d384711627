//! `keywheel client`: a token is shown once, its hash is kept, and a gateway at work knows it at once.
#![cfg(unix)]

mod support;

use keywheel::clients::TokenHash;
use keywheel::sim::SimSpec;
use serde_json::json;

use support::gateway::Gateway;
use support::live::{desk, start};

#[tokio::test]
async fn a_client_is_known_as_soon_as_it_has_its_token() {
    let sim = start(SimSpec::with_keys(1));
    let desk = desk(&sim);
    let gateway = Gateway::start(&desk, &[]);
    let before = desk.read("keywheel.toml");

    let shown = desk.run(&["client", "new", "app"]);
    let token = shown.exited(0).stdout.lines().next().expect("a token").to_owned();
    assert!(shown.stdout.contains(&format!("token_hashes = [\"{}\"]", TokenHash::of(&token))), "{shown:?}");
    assert_eq!(desk.read("keywheel.toml"), before, "nothing is written unless it is asked for");

    let made = desk.run(&["client", "new", "app", "--write", "--json"]).exited(0).summary();
    let token = made["what"]["token"].as_str().expect("a token");
    assert!(token.starts_with("kw-") && token.len() == 67, "its length");
    assert_eq!(made["running"]["state"], "reloaded");
    let after = desk.read("keywheel.toml");
    assert!(
        after.contains("[[server.client]]") && after.contains(&TokenHash::of(token).to_string()),
        "{after}"
    );
    assert!(!after.contains(token));

    assert_eq!(gateway.chat("r").send().await.expect("an answer").status(), 401, "it isn't open any more");
    assert_eq!(gateway.chat("r").bearer_auth(token).send().await.expect("an answer").status(), 200);

    assert!(desk.run(&["client", "new", "app", "--write"]).exited(2).stderr.contains("has a client `app`"));
    let listed = desk.run(&["client", "list", "--json"]).exited(0).summary();
    assert_eq!((&listed[0]["name"], &listed[0]["tokens"]), (&json!("app"), &json!(1)));
    assert!(desk.run(&["client", "list"]).exited(0).stdout.contains("app  1 token"));

    desk.run(&["client", "new", "other", "--write"]).exited(0);
    desk.run(&["client", "remove", "app"]).exited(0);
    assert_eq!(gateway.chat("r").bearer_auth(token).send().await.expect("an answer").status(), 401);
    desk.run(&["client", "remove", "other"]).exited(0);
    assert_eq!(desk.read("keywheel.toml").trim_end(), before.trim_end(), "as if there had never been one");
    assert!(desk.run(&["client", "remove", "other"]).exited(2).stderr.contains("client list"));
    gateway.terminate().exited(0);
}
