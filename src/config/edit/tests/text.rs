//! The text before and after.

use super::*;

#[test]
fn adds_a_key_behind_the_others_and_touches_nothing_else() {
    let fields = KeyFields {
        quota_group: Some("org".to_owned()),
        weight: Some(2),
        limits: [("rpm", 100), ("burst", 5)].into(),
        models: Some(vec!["gpt-4o".to_owned()]),
        enabled: Some(false),
        ..variable("C")
    };
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.add_key("openai", "c", &fields)),
        TWO_KEYS.replace(
            "[provider.rotation]",
            "[[provider.key]]\nname = \"c\"\nsecret = \"env:C\"\nquota_group = \"org\"\nweight = 2\n\
             limits = { burst = 5, rpm = 100 }\nmodels = [\"gpt-4o\"]\nenabled = false\n[provider.rotation]"
        )
    );
}

#[test]
fn adds_a_key_in_the_form_of_its_list() {
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.add_key("local", "k3", &variable("N"))),
        TWO_KEYS.replace(
            "{ name = \"k2\", secret = \"env:M\" }\n",
            "{ name = \"k2\", secret = \"env:M\" },\n  { name = \"k3\", secret = \"env:N\" }\n"
        )
    );
    let inline = "provider = [{ id = \"p\", preset = \"openai\", key = [{ secret = \"env:A\" }] }]\n";
    assert_eq!(
        edited(inline, |editor| editor.add_key("p", "b", &variable("B"))),
        inline.replace("\"env:A\" }]", "\"env:A\" }, { name = \"b\", secret = \"env:B\" }]")
    );
    let none = "[[provider]]\nid = \"p\"\npreset = \"openai\"\nkey = []\n";
    assert_eq!(
        edited(none, |editor| editor.add_key("p", "b", &variable("B"))),
        none.replace("key = []\n", "[[provider.key]]\nname = \"b\"\nsecret = \"env:B\"\n")
    );
}

#[test]
fn changes_fields_where_they_stand() {
    let fields = KeyFields {
        weight: Some(3),
        limits: [("rpm", 600), ("tpm", 1_000)].into(),
        enabled: Some(false),
        ..KeyFields::default()
    };
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.set_key("openai", "a", &fields)),
        TWO_KEYS
            .replace("secret = \"env:A\"\n", "secret = \"env:A\"\nweight = 3\nenabled = false\n")
            .replace("  rpm = 500   # tier 2\n", "  rpm = 600   # tier 2\ntpm = 1000\n")
    );
    let second = KeyFields { limits: [("burst", 9)].into(), ..variable("OTHER") };
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.set_key("openai", "key-2", &second)),
        TWO_KEYS.replace(
            "secret = \"env:B\"\nlimits = { rpm = 500 }",
            "secret = \"env:OTHER\"\nlimits = { rpm = 500, burst = 9 }"
        )
    );
    let nothing = KeyFields { limits: [("rpm", 0)].into(), ..KeyFields::default() };
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.set_key("openai", "key-2", &nothing)),
        TWO_KEYS.replace("limits = { rpm = 500 }\n", "")
    );
}

#[test]
fn a_primary_key_moves_with_its_comments_and_tables() {
    let swapped = TWO_KEYS.replace(
        r#"# The first of two accounts
[[provider.key]]
name = "a"          # Kim's
secret = "env:A"
  [provider.key.limits]
  rpm = 500   # tier 2
[[provider.key]]    # the second
secret = "env:B"
limits = { rpm = 500 }
"#,
        r#"[[provider.key]]    # the second
secret = "env:B"
limits = { rpm = 500 }
name = "key-2"
# The first of two accounts
[[provider.key]]
name = "a"          # Kim's
secret = "env:A"
  [provider.key.limits]
  rpm = 500   # tier 2
"#,
    );
    assert_eq!(edited(TWO_KEYS, |editor| editor.make_primary("openai", "key-2")), swapped);

    let inline = "provider = [{ id = \"p\", preset = \"openai\", key = [{ secret = \"env:A\" }, \
                  { name = \"b\", secret = \"env:B\" }] }]\n";
    assert_eq!(
        edited(inline, |editor| editor.make_primary("p", "b")),
        "provider = [{ id = \"p\", preset = \"openai\", key = [{ name = \"b\", secret = \"env:B\" }, \
         { secret = \"env:A\", name = \"key-1\" }] }]\n"
    );
}

#[test]
fn a_removed_key_takes_its_comments_along_and_leaves_the_others_their_names() {
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.remove_key("openai", "a")),
        TWO_KEYS
            .replace(
                r#"# The first of two accounts
[[provider.key]]
name = "a"          # Kim's
secret = "env:A"
  [provider.key.limits]
  rpm = 500   # tier 2
"#,
                ""
            )
            .replace("limits = { rpm = 500 }\n", "limits = { rpm = 500 }\nname = \"key-2\"\n")
    );
    assert_eq!(
        edited(TWO_KEYS, |editor| editor.remove_key("local", "key-1")),
        TWO_KEYS.replace("  { secret = \"env:L\" },   # on the shelf\n", "")
    );
}

#[test]
fn adds_providers_to_whatever_is_there() {
    let new = NewProvider {
        id: "groq".to_owned(),
        preset: Some("groq".to_owned()),
        enabled: true,
        ..NewProvider::default()
    };
    let block = "[[provider]]\nid = \"groq\"\npreset = \"groq\"\n";
    let add = |editor: &mut Editor<'_>| editor.add_provider(&new);
    assert_eq!(edited("", add), block);
    assert_eq!(edited("# Mine\n", add), format!("# Mine\n\n{block}"));
    let top = "fallback_order = []   # all\n# later more\n";
    assert_eq!(edited(top, add), format!("{top}\n{block}"));
    assert_eq!(edited(TWO_KEYS, add), TWO_KEYS.replace("\n[[route]]", &format!("\n{block}\n[[route]]")));
    let again = Desk::of(TWO_KEYS).try_edit(|editor| {
        editor.add_provider(&NewProvider { id: "local".to_owned(), enabled: true, ..NewProvider::default() })
    });
    assert!(again.unwrap_err().to_string().starts_with("keywheel.toml has a provider `local` already\n"));
}

#[test]
fn a_removed_provider_is_mentioned_nowhere() {
    let mut seen = Mentions::default();
    let after = edited(TWO_KEYS, |editor| {
        seen = editor.mentions("openai");
        editor.remove_provider("openai")
    });
    assert_eq!(
        seen,
        Mentions {
            in_fallback_order: true,
            candidates: vec![("fast".to_owned(), "openai/gpt-4o-mini".to_owned())],
            emptied_routes: Vec::new(),
        }
    );
    let local = &TWO_KEYS[TWO_KEYS.find("# The local one").unwrap()..];
    let local = local.replace("[\"openai/gpt-4o-mini\", \"local/llama\"]", "[\"local/llama\"]");
    assert_eq!(after, format!("\n{local}"));
}

#[test]
fn a_route_without_candidates_goes_too() {
    let text = TWO_KEYS.replace(", \"local/llama\"", "");
    let after = edited(&text, |editor| {
        assert_eq!(editor.mentions("openai").emptied_routes, ["fast"]);
        editor.remove_provider("openai")
    });
    assert!(!after.contains("[[route]]") && after.ends_with("# the end\n"), "{after}");
}

#[test]
fn an_api_key_becomes_the_first_of_the_keys() {
    let text =
        "[[provider]]\nid = \"p\"\n# From the old days\napi_key = \"env:OLD\" # keep\npreset = \"openai\"\n";
    let migrated = "[[provider]]\nid = \"p\"\npreset = \"openai\"\n# From the old days\n[[provider.key]]\n\
                    name = \"key-1\"\nsecret = \"env:OLD\" # keep\n";
    let new = "[[provider.key]]\nname = \"new\"\nsecret = \"env:NEW\"\n";
    let add = |editor: &mut Editor<'_>| editor.add_key("p", "new", &variable("NEW"));
    assert_eq!(edited(text, add), format!("{migrated}{new}"));

    let both = format!("{text}[[provider.key]]\nsecret = \"env:B\"\n");
    assert_eq!(
        edited(&both, |editor| editor.make_primary("p", "key-2")),
        migrated.replace("# From", "[[provider.key]]\nsecret = \"env:B\"\nname = \"key-2\"\n# From")
    );
    let of_prototype = text.replace("api_key", "apiKey");
    assert_eq!(edited(&of_prototype, add), format!("{migrated}{new}"));
}

#[test]
fn what_would_be_invalid_is_not_written() {
    let desk = Desk::of(TWO_KEYS);
    let fields = KeyFields { weight: Some(0), limits: [("burst", 9_999)].into(), ..KeyFields::default() };
    let error = desk.try_edit(|editor| editor.set_key("openai", "a", &fields)).unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("nothing was changed: with this change the configuration has 2 mistakes"),
        "{told}"
    );
    assert!(told.contains("a burst of 9999 is more than rpm = 500 grants in a minute"), "{told}");
    assert!(error.is_usage());
    assert_eq!(desk.read("keywheel.toml"), TWO_KEYS);

    let error = desk.try_edit(|editor| editor.remove_key("openai", "nobody")).unwrap_err();
    assert_eq!(error.to_string(), "the provider `openai` has no key `nobody`\n  hint: choose among a, key-2");
}

#[test]
fn an_edit_may_mend_what_was_wrong() {
    let text = "[[provider]]\nid = \"p\"\npreset = \"openai\"\nkey = [{ secret = \"sk-1\" }, { secret = \"sk-1\" }]\n";
    let after = edited(text, |editor| editor.remove_key("p", "key-2"));
    assert!(after.ends_with("key = [{ secret = \"sk-1\", name = \"key-1\" }]\n"), "{after}");
}
