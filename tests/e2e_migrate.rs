//! The prototype's `providers.json` in the hands of the program: migrated, and read as it is.

mod support;

use std::fs;

use serde_json::json;
use support::program::{Desk, Ended};

const KEYS: [(&str, &str); 1] = [("GROQ_KEY", "gsk-1")];

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

fn permit(desk: &Desk, name: &str) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(desk.path(name), fs::Permissions::from_mode(0o600)).expect(name);
    }
}

const LEGACY: &str = r#"{
  "providers": {
    "openai": { "apiKeys": ["sk-proj-canarycanarycanary0001", "your-api-key-here"], "colour": "red" },
    "groq": { "apiKey": "${GROQ_KEY}" }
  },
  "fallbackOrder": ["groq", "openai"]
}
"#;

#[test]
fn migrate_writes_a_configuration_and_its_secrets() {
    let desk = Desk::empty().with("providers.json", LEGACY);
    let ended = run(&desk, &["config", "migrate"], &KEYS);
    for part in [
        "Wrote keywheel.toml: 2 providers with 2 keys, and 1 file for the secrets in keys/.",
        "Needs your attention:\n  providers.json:3: providers.openai.apiKeys.1: only holds the place of a key",
        "Kept as a comment:\n  providers.json:3: providers.openai.colour\n",
        "then remove providers.json: it still holds the keys",
    ] {
        assert!(ended.exited(3).stdout.contains(part), "{part}:\n{}", ended.stdout);
    }
    assert_eq!(desk.read("keys/openai.key-1"), "sk-proj-canarycanarycanary0001\n");
    assert_eq!((mode(&desk, "keywheel.toml"), mode(&desk, "keys/openai.key-1")), (0o600, 0o600));
    assert!(!desk.read("keywheel.toml").contains("canarycanary"));
    run(&desk, &["config", "check"], &KEYS).exited(0);
    assert_eq!(desk.read("providers.json"), LEGACY);

    let ended = run(&desk, &["config", "migrate"], &[]);
    assert!(ended.exited(2).stderr.contains("keywheel.toml is there already\n  hint: "), "{}", ended.stderr);
    let told = run(&desk, &["config", "migrate", "--to", "k.toml", "--json"], &[]).exited(3).summary();
    assert_eq!(told["attention"][0]["line"], json!(3));
    assert_eq!(told["kept"][0]["field"], json!("providers.openai.colour"));
    assert_eq!(told["problems"][0]["message"], json!("the variable GROQ_KEY isn't set"));
    assert_eq!(told["secrets"], json!(["keys/openai.key-1"]));
}

#[test]
fn migrate_overwrites_nobodys_secret_and_can_be_tried_dry() {
    let desk = Desk::empty().with("old.json", LEGACY);
    for words in [&["--dry-run"][..], &["--dry-run", "--inline"], &["--dry-run", "--json"]] {
        let words = [&["config", "migrate", "--from", "old.json"], words].concat();
        let ended = run(&desk, &words, &[]);
        assert!(ended.exited(3).stdout.contains("[[provider]]"), "{}", ended.stdout);
        assert!(!desk.path("keywheel.toml").exists() && !desk.path("keys").exists());
    }
    fs::create_dir(desk.path("keys")).expect("the desk is ours");
    fs::write(desk.path("keys/openai.key-1"), "somebody's\n").expect("the desk is ours");
    let ended = run(&desk, &["config", "migrate", "--from", "old.json"], &[]);
    assert!(ended.exited(2).stderr.contains("keys/openai.key-1 is there already"), "{}", ended.stderr);
    assert!(!desk.path("keywheel.toml").exists());
    run(&desk, &["config", "migrate", "--from", "old.json", "--inline"], &KEYS).exited(3);
    assert!(desk.read("keywheel.toml").contains("secret = \"sk-proj-canarycanarycanary0001\""));
    assert_eq!(desk.read("keys/openai.key-1"), "somebody's\n");
    run(&desk, &["config", "check"], &KEYS).exited(0);
}

#[test]
fn migrate_ends_with_0_if_nothing_is_left_to_do() {
    let desk =
        Desk::empty().with("providers.json", r#"{ "openai": { "apiKey": "sk-canarycanarycanary-1" } }"#);
    run(&desk, &["config", "migrate"], &[]).exited(0);
    for (text, told) in
        [("{ \"providers\": [] }", "there is no provider in it"), ("{", "providers.json:1:1: not JSON")]
    {
        let desk = Desk::empty().with("providers.json", text);
        let ended = run(&desk, &["config", "migrate"], &[]);
        assert!(ended.exited(2).stderr.contains(told), "{}", ended.stderr);
    }
    let ended = run(&Desk::empty(), &["config", "migrate"], &[]);
    assert!(
        ended.exited(2).stderr.contains("hint: name the prototype's file with --from"),
        "{}",
        ended.stderr
    );
}

#[test]
fn the_prototypes_file_is_read_directly_too() {
    let desk = Desk::empty().with("providers.json", LEGACY);
    #[cfg(unix)]
    {
        let ended = run(&desk, &["config", "check"], &KEYS);
        assert!(ended.exited(2).stderr.contains("chmod 600 providers.json"), "{}", ended.stderr);
    }
    permit(&desk, "providers.json");
    for words in [&["config", "check"][..], &["config", "check", "--config", "providers.json"]] {
        let ended = run(&desk, words, &KEYS);
        assert!(ended.exited(0).stdout.starts_with("providers.json is in order."), "{}", ended.stdout);
        assert!(
            ended.stderr.contains("hint: `keywheel config migrate` makes a keywheel.toml"),
            "{}",
            ended.stderr
        );
    }
    let ended = run(&desk, &["config", "show", "provider.openai.key.key-1.secret"], &KEYS);
    assert_eq!(
        ended.exited(0).stdout,
        "secret = \"sk-…0001\"  # providers.json:3\n".replace("sk-…", "sk-proj-…")
    );

    let ended = run(&desk, &["provider", "disable", "openai"], &KEYS);
    assert!(
        ended.exited(2).stderr.contains("`keywheel config migrate` makes a keywheel.toml"),
        "{}",
        ended.stderr
    );
    assert_eq!(desk.read("providers.json"), LEGACY);

    let config =
        "[[provider]]\nid = \"groq\"\npreset = \"groq\"\n[[provider.key]]\nsecret = \"env:GROQ_KEY\"\n";
    let desk = desk.with("keywheel.toml", config);
    let ended = run(&desk, &["config", "check"], &KEYS);
    assert!(ended.exited(0).stdout.starts_with("keywheel.toml is in order."), "{}", ended.stdout);
}
