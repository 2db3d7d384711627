//! `keywheel config`, `completions` and `man`, as people and scripts call them.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::program::{Desk, Ended};

/// Keys by reference, so that everybody may read the file.
const CONFIG: &str = r#"
fallback_order = ["openai"]
[rotation]
pick = "weighted"
[[provider]]
id = "openai"
preset = "openai"
[provider.rotation]
max_failures = 9
[[provider.key]]
name = "team-a"
secret = "env:KEY_A"
weight = 2
limits = { rpm = 600 }
[[provider.key]]
secret = "env:KEY_B"
"#;

const SECRET_A: &str = "sk-proj-canarycanarycanary1234";
const KEYS: [(&str, &str); 2] = [("KEY_A", SECRET_A), ("KEY_B", "sk-proj-canarycanarycanary5678")];

fn run(desk: &Desk, words: &[&str], environment: &[(&str, &str)]) -> Ended {
    let ended = desk.start(words, environment).end();
    assert!(!format!("{ended:?}").contains("canarycanary"), "a secret is shown: {ended:?}");
    ended
}

fn mode(desk: &Desk, name: &str) -> u32 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(desk.path(name)).expect(name).permissions().mode() & 0o777
    }
    #[cfg(not(unix))]
    {
        fs::metadata(desk.path(name)).expect(name);
        0o600
    }
}

#[test]
fn init_writes_a_file_that_passes_the_check() {
    let desk = Desk::empty();
    let ended = run(&desk, &["config", "init", "--preset", "openai", "--preset", "groq"], &[]);
    for part in ["Wrote keywheel.toml with openai, groq.", "export GROQ_API_KEY=…", "keywheel config check\n"]
    {
        assert!(ended.exited(0).stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert_eq!(mode(&desk, "keywheel.toml"), 0o600);
    let ended = run(&desk, &["config", "check"], &[]);
    for variable in ["OPENAI_API_KEY", "GROQ_API_KEY"] {
        assert!(ended.exited(2).stderr.contains(&format!("the variable {variable} isn't set")));
    }
    let keys = [("OPENAI_API_KEY", "sk-1"), ("GROQ_API_KEY", "gsk-1")];
    let ended = run(&desk, &["config", "check"], &keys);
    assert!(ended.exited(0).stdout.starts_with("keywheel.toml is in order."), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
}

#[test]
fn init_never_replaces_a_file_unasked_and_goes_where_it_is_told() {
    let desk = Desk::new("# mine\n");
    let ended = run(&desk, &["config", "init"], &[]);
    assert!(ended.exited(2).stderr.contains("keywheel.toml is there already\n  hint: "), "{}", ended.stderr);
    assert_eq!(desk.read("keywheel.toml"), "# mine\n");
    run(&desk, &["config", "init", "--force"], &[]).exited(0);
    assert!(desk.read("keywheel.toml").contains("env:OPENAI_API_KEY"));
    assert_eq!(mode(&desk, "keywheel.toml"), 0o600);

    let words = ["config", "init", "deep/er/k.toml", "--preset", "ollama", "--json"];
    let told = run(&desk, &words, &[]).exited(0).summary();
    assert_eq!(told, json!({ "path": "deep/er/k.toml", "providers": ["ollama"], "variables": [] }));
    run(&desk, &["config", "check", "--config", "deep/er/k.toml"], &[]).exited(0);
    run(&desk, &["--config", "other.toml", "config", "init"], &[]).exited(0);
    assert!(desk.path("other.toml").exists());
    let ended = run(&desk, &["config", "init", "x.toml", "--preset", "opnai"], &[]);
    assert!(ended.exited(2).stderr.contains("openai"), "{}", ended.stderr);
}

#[test]
fn check_tells_what_a_good_configuration_contains() {
    let desk = Desk::new(CONFIG);
    let ended = run(&desk, &["config", "check"], &KEYS);
    let text =
        "In all 2 keys of 1 provider: 10.0/s requests permitted, and what 1 account of unknown limits gives";
    assert!(ended.exited(0).stdout.contains(text), "{}", ended.stdout);

    let told = run(&desk, &["config", "check", "--json"], &KEYS).exited(0).summary();
    assert_eq!(told["ok"], json!(true));
    assert_eq!(told["file"], json!("keywheel.toml"));
    assert_eq!(told["problems"], json!([]));
    assert_eq!(
        told["contents"]["permitted"],
        json!({ "accounts": 2, "accounts_unknown": 1, "requests_per_second": 10.0 })
    );
}

#[test]
fn check_finds_every_mistake_with_place_and_hint() {
    let desk = Desk::new(&CONFIG.replace("\"weighted\"", "\"wieghted\""));
    let words = ["config", "check", "--json", "--set", "provider.openai.key.team-a.weight=0"];
    let variables = [KEYS[0], ("KEYWHEEL__TIMEOUTS__TOTAL", "fast")];
    let ended = run(&desk, &words, &variables);
    let told = ended.exited(2).summary();
    assert_eq!((&told["ok"], &told["contents"]), (&json!(false), &Value::Null));
    assert_eq!(
        told["problems"][0],
        json!({
            "file": "keywheel.toml", "line": 4, "column": 8, "field": "rotation.pick",
            "variable": null, "flag": null,
            "message": "there is no pick `wieghted`", "hint": "did you mean `weighted`?",
        })
    );
    assert_eq!(told["problems"][1]["message"], json!("the variable KEY_B isn't set"));
    assert_eq!(told["problems"][2]["variable"], json!("KEYWHEEL__TIMEOUTS__TOTAL"));
    assert_eq!(told["problems"][3]["flag"], json!("provider.openai.key.team-a.weight"));
    assert_eq!(told["problems"].as_array().map(Vec::len), Some(4));

    let ended = run(&desk, &["config", "check"], &variables);
    assert!(ended.exited(2).stderr.contains("the configuration has 3 mistakes"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let told = run(&Desk::empty(), &["config", "check", "--json"], &[]).exited(2).summary();
    assert!(
        told["problems"][0]["message"].as_str().is_some_and(|text| text.contains("looked for")),
        "{told}"
    );
}

#[test]
fn check_warns_of_what_is_probably_not_meant() {
    let config = r#"
fallback_order = ["used"]
[timeouts]
total = "10s"
idle = "20s"
[[provider]]
id = "used"
preset = "openai"
allow_http = true
[[provider.key]]
name = "a"
secret = "env:KEY_A"
weight = 2
[[provider]]
id = "unused"
preset = "openai"
[[provider.key]]
secret = "env:KEY_A"
enabled = false
[[provider]]
id = "local"
preset = "ollama"
enabled = true
[[provider.key]]
secret = "your-api-key-here"
[[route]]
model = "m"
candidates = ["local/m"]
[[server.client]]
name = "app"
token_hashes = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
cost_per_day = 5
"#;
    let ended = run(&Desk::new(config), &["config", "check"], &KEYS);
    for warning in [
        "keywheel.toml:5:8: timeouts.idle: longer than `total`, so it never ends a call",
        "keywheel.toml:9:14: provider.used.allow_http: does nothing: the address is https",
        "keywheel.toml:13:10: provider.used.key.a.weight: weights do nothing under this `pick`",
        "keywheel.toml:15:6: provider.unused.id: nothing is ever sent here",
        "keywheel.toml:15:6: provider.unused.id: all its keys are disabled",
        "keywheel.toml:18:10: provider.unused.key.0.secret: the key `used/a` has the same secret at the same address",
        "keywheel.toml:25:10: provider.local.key.0.secret: looks like a placeholder",
        "keywheel.toml:32:16: server.client.app.cost_per_day: `local/m` has no price, so what may go there is refused",
    ] {
        assert!(
            ended.exited(0).stderr.contains(&format!("warning: {warning}")),
            "{warning}:\n{}",
            ended.stderr
        );
    }
    assert_eq!(ended.stderr.matches("warning: ").count(), 8, "{}", ended.stderr);
    let told = run(&Desk::new(config), &["config", "check", "--json"], &KEYS).exited(0).summary();
    assert_eq!(told["warnings"].as_array().map(Vec::len), Some(8));
    assert_eq!(told["warnings"][0]["line"], json!(5));
}

#[test]
fn show_tells_each_value_and_where_it_is_from() {
    let desk = Desk::new(CONFIG);
    let variables = [&KEYS[..], &[("KEYWHEEL__ROTATION__FALLBACK_AFTER", "2s")]].concat();
    let words = ["config", "show", "--set", "provider.openai.timeouts.idle=3s"];
    let ended = run(&desk, &words, &variables);
    let lines: Vec<String> = ended
        .exited(0)
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "fallback_order = [\"openai\"] # keywheel.toml:2",
        "fallback_after = \"2s\" # KEYWHEEL__ROTATION__FALLBACK_AFTER",
        "idle = \"3s\" # --set provider.openai.timeouts.idle",
        "dialect = \"openai\" # preset openai",
        "pick = \"weighted\" # keywheel.toml:4, rotation.pick",
        "max_failures = 9 # keywheel.toml:9",
        "max_failures = 9 # keywheel.toml:9, provider.openai.rotation.max_failures",
        "secret = \"env:KEY_A\" # keywheel.toml:12: sk-proj-…1234",
        "name = \"key-2\" # default",
        "# concurrency # default: learned",
        "connect = \"5s\" # default",
    ] {
        assert!(lines.iter().any(|shown| shown == line), "{line}:\n{}", ended.stdout);
    }
    assert!(ended.stdout.parse::<toml_edit::DocumentMut>().is_ok(), "it is TOML");
}

/// `api_key` is the first key, and those in tables come behind it.
#[test]
fn show_and_check_know_the_key_that_stands_in_its_provider() {
    let config = "[[provider]]\nid = \"openai\"\npreset = \"openai\"\napi_key = \"env:KEY_A\"\n\
                  rotation = { max_failures = 9 }\n[[provider.key]]\nsecret = \"env:KEY_B\"\n";
    let desk = Desk::new(config);
    for (path, shown) in [
        ("provider.openai.api_key", "api_key = \"env:KEY_A\"  # keywheel.toml:4: sk-proj-…1234\n"),
        ("provider.openai.key.key-1.secret", "secret = \"env:KEY_A\"  # keywheel.toml:4: sk-proj-…1234\n"),
        ("provider.openai.key.key-2.secret", "secret = \"env:KEY_B\"  # keywheel.toml:7: sk-proj-…5678\n"),
        (
            "provider.openai.key.key-1.rotation.max_failures",
            "max_failures = 9  # keywheel.toml:5, provider.openai.rotation.max_failures\n",
        ),
    ] {
        assert_eq!(run(&desk, &["config", "show", path], &KEYS).exited(0).stdout, shown);
    }
    let twin = "[[provider]]\nid = \"twin\"\npreset = \"openai\"\napi_key = \"env:KEY_B\"\n";
    let ended = run(&Desk::new(&format!("{config}{twin}")), &["config", "check"], &KEYS);
    let told = "keywheel.toml:11:11: provider.twin.api_key: the key `openai/key-2` has the same secret";
    assert!(ended.exited(0).stderr.contains(told), "{}", ended.stderr);
}

#[test]
fn show_can_be_asked_for_one_field() {
    let desk = Desk::new(CONFIG);
    let ended = run(&desk, &["config", "show", "provider.openai.key.TEAM_A.limits.rpm"], &KEYS);
    assert_eq!(ended.exited(0).stdout, "rpm = 600  # keywheel.toml:14\n");
    let ended =
        run(&desk, &["config", "show", "provider.openai.key.0.rotation.max_failures", "--json"], &KEYS);
    let shown: Value = serde_json::from_str(&ended.exited(0).stdout).expect("JSON");
    let field = "provider.openai.rotation.max_failures";
    let origin = json!({ "kind": "file", "file": "keywheel.toml", "line": 9, "column": 16, "field": field, "inherited": true });
    assert_eq!(shown, json!({ "value": 9, "origin": origin }));
    let ended = run(&desk, &["config", "show", "rotation.pikc"], &KEYS);
    assert!(ended.exited(2).stderr.contains("did you mean `pick`?"), "{}", ended.stderr);
}

/// Every field that the schema has is shown, and its default is the one that holds.
#[test]
fn show_shows_every_field_of_the_schema_with_its_default() {
    fn compare(schema: &Value, shown: &Value, path: &str, compared: &mut usize) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let shown = &shown[name];
            if let Some(default) = field.get("default").filter(|_| shown["origin"]["kind"] == "default") {
                assert_eq!(shown["value"], *default, "{path}");
                *compared += 1;
            }
            let is_section = field.get("properties").is_some() || field["items"].get("properties").is_some();
            assert!(is_section || !shown["origin"].is_null(), "{path} isn't shown");
            compare(field, shown, &path, compared);
            compare(&field["items"], &shown[0], &path, compared);
        }
    }
    let route = "[[route]]\nmodel = \"m\"\ncandidates = [\"openai/m\"]\n";
    let price = "[[price]]\nprovider = \"openai\"\nmodel = \"m\"\ninput = 1\noutput = 2\n";
    let hash = format!("sha256:{}", "0".repeat(64));
    let client = format!("[[server.client]]\nname = \"a\"\ntoken_hashes = [\"{hash}\"]\n");
    let desk = Desk::new(&format!("{CONFIG}{route}{price}{client}"));
    let shown = run(&desk, &["config", "show", "--json"], &KEYS);
    let shown: Value = serde_json::from_str(&shown.exited(0).stdout).expect("JSON");
    let schema = run(&desk, &["config", "schema"], &[]);
    let schema: Value = serde_json::from_str(&schema.exited(0).stdout).expect("JSON");
    let mut compared = 0;
    compare(&schema, &shown, "", &mut compared);
    assert!(compared > 25, "only {compared} defaults were compared");
    assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
}

#[test]
fn shells_complete_our_words_and_man_shows_them() {
    let desk = Desk::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&desk, &["completions", shell], &[]);
        assert!(script.exited(0).stdout.contains("migrate"), "{shell}");
    }
    run(&desk, &["completions", "tcsh"], &[]).exited(2);

    let page = run(&desk, &["man"], &[]);
    assert!(page.exited(0).stdout.contains(".TH keywheel 1"), "{}", page.stdout);
    run(&desk, &["man", "share/man1"], &[]).exited(0);
    for page in ["keywheel.1", "keywheel-batch.1", "keywheel-config.1", "keywheel-config-migrate.1"] {
        assert!(desk.read(&format!("share/man1/{page}")).contains(".SH NAME"), "{page}");
    }
}
