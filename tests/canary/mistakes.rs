//! Configurations that people write in a hurry: each holds a secret, and each is wrong.

use super::secrets::{RECOGNISABLE, SECRETS, secret};
use super::study::quoted;

/// All of them, an odd number for each secret.
pub(crate) fn all() -> Vec<String> {
    let at = |url: &str, lines: &str| {
        format!("[[provider]]\nid = \"p\"\ndialect = \"openai\"\nbase_url = \"{url}\"\n{lines}\n")
    };
    let keyed = |lines: &str| at("https://h.example/v1", &format!("[[provider.key]]\nname = \"k\"\n{lines}"));
    let mut wrong = Vec::new();
    for (_, secret) in SECRETS {
        let text = quoted(secret);
        let inside = &text[1..text.len() - 1];
        wrong.extend([
            keyed(&format!("secret = {secret}")),
            keyed(&format!("secret = \"{inside}")),
            keyed(&format!("secret = [{text}]")),
            keyed(&format!("secret = {{ value = {text} }}")),
            keyed(&format!("sekret = {text}")),
            keyed(&format!("secret = {text}\nsecret = {text}")),
            keyed(&format!("secret = {text}\n[[provider.key]]\nname = \"l\"\nsecret = {text}")),
            keyed(&format!("secret = \"${inside}\"")),
            keyed(&format!("secret = \" {inside}\"")),
            keyed(&format!("secret = \"{inside}\\n\"")),
            keyed(&format!("secret = \"env:{inside}\"")),
            keyed(&format!(
                "secret = {text}\nweight = {text}\nenabled = {text}\nlimits = {{ rpm = {text} }}"
            )),
            at("https://h.example/v1", &format!("key = {text}")),
            at("https://h.example/v1", &format!("keys = [{text}]")),
            at("https://h.example/v1", &format!("api_key = [{text}]")),
            at(&format!("https://user:{inside}@h.example/v1"), ""),
            at(&format!("https://h.example/v1?key={inside}"), ""),
            at(&format!("https://h.example/v1#{inside}"), ""),
            at(inside, ""),
            format!("api_key = {text}\n{}", keyed("secret = \"env:CANARY_0\"")),
            format!("secret = {text}\n[server]\ntoken = {text}\n"),
        ]);
    }
    for name in RECOGNISABLE {
        let text = quoted(secret(name));
        let inside = secret(name);
        wrong.extend([
            keyed(&format!("secret = \"file:{inside}\"")),
            keyed(&format!("{inside} = 1\nsecret = \"env:CANARY_0\"")),
            keyed(&format!("secret = \"env:CANARY_0\"\nmodels = {text}\nquota_group = {text}")),
            keyed(&format!("secret = \"env:CANARY_0\"\nrotation = {{ pick = {text} }}")),
            at(
                "https://h.example/v1",
                &format!("[[provider.key]]\nname = {text}\nsecret = \"env:CANARY_0\""),
            ),
            at("https://h.example/v1", &format!("key_header = {text}\ntimeouts = {{ connect = {text} }}")),
            format!("fallback_order = [{text}]\n{}", keyed("secret = \"env:CANARY_0\"")),
            format!("[[route]]\nmodel = \"m\"\ncandidates = [{text}, \"{inside}/m\"]\n"),
            format!("[[provider]]\nid = {text}\npreset = {text}\n[[provider.key]]\nsecret = 5\n"),
            format!("[[provider]]\nid = \"p\"\ndialect = {text}\n"),
            format!("[[provider]]\nid = \"p\"\npreset = \"openai\"\nbase_url = {text}\n"),
            format!("[{inside}]\na = 1\n"),
            format!("[provider.{inside}]\nkey = {text}\n"),
        ]);
    }
    wrong
}
