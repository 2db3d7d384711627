//! Looking after providers and keys with the real binary: what is typed, what is told, what is on the disk.

mod support;

use serde_json::{Value, json};
use support::program::{Desk, Ended};

/// Long enough to be masked with a prefix and a tail; no test may ever print it.
const CANARY: &str = "sk-proj-canary0123456789abcdef";

const CONFIG: &str = r#"# Ours
fallback_order = ["openai", "local"]

[[provider]]
id = "openai"
preset = "openai"
[[provider.key]]
name = "a"          # Kim's
secret = "env:OPENAI_A"
limits = { rpm = 500 }

[[provider]]
id = "local"
dialect = "openai"
base_url = "http://127.0.0.1:1/v1"
[[provider.key]]
secret = "sk-0123456789abcdefghij"

[[route]]
model = "fast"
candidates = ["openai/gpt-4o-mini", "local/llama"]

[[route]]
model = "small"
candidates = ["local/llama"]
"#;

fn desk() -> Desk {
    let desk = Desk::new(CONFIG);
    private(&desk, "keywheel.toml");
    desk
}

#[cfg(unix)]
fn private(desk: &Desk, name: &str) {
    permit(desk, name, 0o600);
}

#[cfg(unix)]
fn permit(desk: &Desk, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(desk.path(name), std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[cfg(not(unix))]
fn private(_: &Desk, _: &str) {}

/// The words of `provider …`.
fn provider(words: &str) -> Vec<&str> {
    std::iter::once("provider").chain(words.split(' ')).collect()
}

/// The words of `provider keys …`.
fn keys(words: &str) -> Vec<&str> {
    ["provider", "keys"].into_iter().chain(words.split(' ')).collect()
}

/// It went well, said nothing of a secret, and its one line of JSON is this.
#[track_caller]
fn done(ended: &Ended) -> Value {
    hides_secrets(ended.exited(0));
    ended.summary()
}

/// It was refused with this exit code, and each of these is told.
#[track_caller]
fn refused(ended: &Ended, code: i32, told: &[&str]) {
    hides_secrets(ended.exited(code));
    assert_eq!(ended.stdout, "");
    for part in told {
        assert!(ended.stderr.contains(part), "`{part}` isn't told:\n{}", ended.stderr);
    }
}

#[track_caller]
fn hides_secrets(ended: &Ended) {
    for secret in ["canary", "sk-0123456789"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{ended:?}");
    }
}

#[test]
fn lists_show_everything_but_secrets() {
    let desk = desk();
    let ended = desk.start(&keys("list"), &[("OPENAI_A", CANARY)]).end();
    hides_secrets(ended.exited(0));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let columns = ["key", "secret", "fingerprint", "from", "weight", "limits", "state"];
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), columns, "{}", ended.stdout);
    for part in ["●", "openai/a", "sk-proj-…cdef", "env:OPENAI_A", "rpm 500", "primary"] {
        assert!(lines[1].contains(part), "`{part}` in {}", lines[1]);
    }
    for part in ["●", "local/key-1", "sk-…ghij", "inline"] {
        assert!(lines[2].contains(part), "`{part}` in {}", lines[2]);
    }

    let report = done(&desk.run(&keys("list --provider openai --json")));
    assert_eq!(report["keys"].as_array().map(Vec::len), Some(1));
    let key = &report["keys"][0];
    assert_eq!(
        (&key["key"], &key["masked"], &key["fingerprint"], &key["primary"], &key["enabled"], &key["limits"]),
        (&json!("a"), &Value::Null, &Value::Null, &json!(true), &json!(true), &json!({ "rpm": 500 }))
    );
    assert_eq!(key["unavailable"], "the variable OPENAI_A isn't set");

    let report = done(&desk.run(&provider("list --json")));
    let openai = &report["providers"][0];
    assert_eq!(
        (&openai["id"], &openai["preset"], &openai["keys"], &openai["pick"], &openai["enabled"]),
        (&json!("openai"), &json!("openai"), &json!(1), &json!("round_robin"), &json!(true))
    );
    let ended = desk.run(&provider("list"));
    assert!(ended.exited(0).stdout.contains("http://127.0.0.1:1/v1"), "{}", ended.stdout);
    refused(
        &desk.run(&keys("list --provider openia")),
        2,
        &["there is no provider `openia`", "openai, local"],
    );
}

#[cfg(unix)]
#[test]
fn a_piped_secret_goes_to_a_file_of_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = desk();
    let words =
        keys("add --provider openai --name b --stdin --rpm 100 --burst 5 --weight 2 --models x,y --json");
    let report = done(&desk.run_fed(&words, &format!("{CANARY}\n")));
    assert_eq!(report["action"], "added");
    assert_eq!(report["running"], json!({ "state": "none" }));
    let key = &report["what"];
    assert_eq!(
        (&key["provider"], &key["key"], &key["masked"], &key["secret_from"]),
        (&json!("openai"), &json!("b"), &json!("sk-proj-…cdef"), &json!("file:keys/openai.b"))
    );
    assert_eq!(desk.read("keys/openai.b"), format!("{CANARY}\n"));
    let mode = |name| std::fs::metadata(desk.path(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("keys"), mode("keys/openai.b"), mode("keywheel.toml")), (0o700, 0o600, 0o600));
    let added = "[[provider.key]]\nname = \"b\"\nsecret = \"file:keys/openai.b\"\nweight = 2\n\
                 limits = { burst = 5, rpm = 100 }\nmodels = [\"x\", \"y\"]\n";
    let before = "limits = { rpm = 500 }\n";
    assert_eq!(desk.read("keywheel.toml"), CONFIG.replace(before, &format!("{before}{added}")));

    refused(
        &desk.run_fed(&keys("add --provider openai --stdin"), CANARY),
        2,
        &["the key `openai/b` has the same secret", "hint: "],
    );
    refused(
        &desk.run_fed(&keys("add --provider openai --name b --stdin"), "sk-other"),
        2,
        &["there is a key `openai/b` already"],
    );
}

#[test]
fn references_are_written_as_such() {
    let desk = desk().with("elsewhere", CANARY);
    private(&desk, "elsewhere");
    done(&desk.run(&keys("add --provider openai --from-file elsewhere --json")));
    assert!(desk.read("keywheel.toml").contains("name = \"key-2\"\nsecret = \"file:elsewhere\"\n"));
    let ended = desk.run(&keys("add --provider openai --env OPENAI_C --disabled"));
    hides_secrets(ended.exited(0));
    assert!(ended.stderr.contains("taken on trust"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "Added key openai/key-3 (from env:OPENAI_C).\n");
    assert!(desk.read("keywheel.toml").contains("secret = \"env:OPENAI_C\"\nenabled = false\n"));

    refused(
        &desk.run(&keys("add --provider openai --from-file nowhere")),
        2,
        &["there is no file", "nowhere"],
    );
    refused(&desk.run(&keys("add --provider openai --env sk-canary")), 2, &["isn't the name of a variable"]);
}

#[cfg(unix)]
#[test]
fn an_inline_secret_makes_the_file_private_and_a_typed_one_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new(&CONFIG.replace("sk-0123456789abcdefghij", "env:LOCAL"));
    permit(&desk, "keywheel.toml", 0o644);
    let words = [&keys("add --provider openai --inline --key")[..], &[CANARY]].concat();
    let ended = desk.run(&words);
    hides_secrets(ended.exited(0));
    for told in ["process lists and the shell's history keep this key", "mode 0600, was 0644"] {
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
    let mode = std::fs::metadata(desk.path("keywheel.toml")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(desk.read("keywheel.toml").contains(CANARY));
}

#[test]
fn what_is_no_secret_is_refused_without_being_repeated() {
    let desk = desk();
    for (input, told) in [
        ("", "the secret is empty"),
        ("\n", "the secret is empty"),
        ("sk-canary \n", "begins or ends with white space"),
        ("sk-canary\nsk-canary\n", "holds control characters"),
        ("$CANARY\n", "isn't expanded here"),
        ("env:CANARY\n", "is a reference"),
    ] {
        refused(&desk.run_fed(&keys("add --provider openai --stdin"), input), 2, &[told, "hint: "]);
    }
    let long = "x".repeat(20_000);
    refused(&desk.run_fed(&keys("add --provider openai --stdin"), &long), 2, &["more than the 16384 bytes"]);
    let bare = [&keys("add --provider openai")[..], &[CANARY]].concat();
    refused(&desk.run(&bare), 2, &["isn't given as a bare word", "--stdin"]);
    refused(&desk.run(&keys("add --provider openai")), 2, &["no terminal to ask on", "--from-file"]);
    refused(&desk.run_fed(&keys("add --stdin"), CANARY), 2, &["which provider?", "openai, local"]);
    assert_eq!(desk.read("keywheel.toml"), CONFIG);
    assert!(!desk.path("keys").exists());

    let ended = desk.run_fed(&keys("add --provider openai --stdin"), "gsk_canary0123456789abcdef");
    assert!(
        ended.exited(0).stderr.contains("it looks like a key of groq, but `openai` is openai"),
        "{}",
        ended.stderr
    );
}

#[test]
fn set_makes_primary_changes_fields_and_rotates() {
    let desk = desk();
    done(&desk.run_fed(&keys("add --provider openai --name b --stdin --json"), CANARY));
    let report = done(&desk.run(&keys("set --provider openai --key b --json")));
    assert_eq!((&report["action"], &report["what"]["primary"]), (&json!("made_primary"), &json!(true)));
    let text = desk.read("keywheel.toml");
    assert!(text.find("name = \"b\"") < text.find("name = \"a\"          # Kim's"), "{text}");

    let report = done(&desk.run(&keys("set --key openai/b --weight 3 --rpm 100 --json")));
    assert_eq!(
        (&report["action"], &report["what"]["weight"], &report["what"]["limits"]),
        (&json!("changed"), &json!(3), &json!({ "rpm": 100 }))
    );

    let first = report["what"]["fingerprint"].as_str().expect("twelve digits").to_owned();
    assert_eq!(first.len(), 12);
    let words = keys("set --secret-stdin --json --key");
    let report = done(&desk.run_fed(&[&words[..], &[&first[..6]]].concat(), "sk-canary-the-second-one"));
    assert_eq!(desk.read("keys/openai.b"), "sk-canary-the-second-one\n");
    assert_eq!(report["what"]["secret_from"], "file:keys/openai.b");
    assert_ne!(report["what"]["fingerprint"].as_str(), Some(&first[..]));

    refused(&desk.run(&keys("set --key nobody --weight 2")), 2, &["there is no key `nobody`", "openai/a"]);
    refused(
        &desk.run(&keys("set --key b --weight 0")),
        2,
        &["nothing was changed", "weight 0 would never be picked"],
    );
    refused(&desk.run_fed(&keys("set --key b --secret-stdin"), ""), 2, &["the secret is empty"]);
}

#[test]
fn removing_asks_and_takes_the_secret_along() {
    let desk = desk();
    done(&desk.run_fed(&keys("add --provider openai --name b --stdin --json"), CANARY));
    refused(&desk.run(&keys("remove --key b")), 2, &["Remove the key openai/b", "keys/openai.b", "--yes"]);
    let report = done(&desk.run(&keys("remove --key b --yes --json")));
    assert_eq!(report["what"]["secret_deleted"], true);
    assert!(!desk.path("keys/openai.b").exists());
    assert_eq!(desk.read("keywheel.toml"), CONFIG);
    refused(
        &desk.run(&keys("remove --key a --yes")),
        2,
        &["the last key of `openai`", "provider remove openai"],
    );
}

#[test]
fn keys_and_providers_are_switched_off_and_on() {
    let desk = desk();
    let report = done(&desk.run(&keys("disable --key openai/a --json")));
    assert_eq!((&report["action"], &report["what"]["enabled"]), (&json!("disabled"), &json!(false)));
    let off = "limits = { rpm = 500 }\nenabled = false\n";
    assert_eq!(desk.read("keywheel.toml"), CONFIG.replace("limits = { rpm = 500 }\n", off));
    let ended = desk.run(&keys("enable --key openai/a"));
    assert_eq!(ended.exited(0).stdout, "Key openai/a is enabled.\n");
    assert!(desk.read("keywheel.toml").contains("enabled = true\n"));

    let ended = desk.run(&provider("disable openai"));
    assert_eq!(ended.exited(0).stdout, "Provider openai is disabled.\n");
    let report = done(&desk.run(&provider("list --json")));
    assert_eq!(report["providers"][0]["enabled"], false);
    refused(&desk.run(&provider("disable local")), 2, &["nothing was changed", "all providers are disabled"]);
    let report = done(&desk.run(&provider("enable openai --json")));
    assert_eq!((&report["action"], &report["what"]["enabled"]), (&json!("enabled"), &json!(true)));
    refused(&desk.run(&provider("enable nobody")), 2, &["there is no provider `nobody`"]);
}

#[test]
fn providers_come_with_their_first_key_and_go_with_all_mentions() {
    let desk = desk();
    let words = provider("add groq --stdin --rpm 30 --json");
    let report = done(&desk.run_fed(&words, "gsk_canary0123456789abcdef"));
    assert_eq!((&report["what"]["id"], &report["what"]["keys"]), (&json!("groq"), &json!(1)));
    assert_eq!(desk.read("keys/groq.key-1"), "gsk_canary0123456789abcdef\n");
    assert!(desk.read("keywheel.toml").contains(
        "\n[[provider]]\nid = \"groq\"\npreset = \"groq\"\n[[provider.key]]\nname = \"key-1\"\n\
         secret = \"file:keys/groq.key-1\"\nlimits = { rpm = 30 }\n\n[[route]]"
    ));
    refused(
        &desk.run(&provider("add groq")),
        2,
        &["has a provider `groq` already", "keys add --provider groq"],
    );
    refused(&desk.run(&provider("add mine")), 2, &["known by name", "--dialect", "openai, anthropic"]);
    let insecure = "add mine --dialect openai --base-url http://example.com --env MINE";
    refused(&desk.run(&provider(insecure)), 2, &["plain http would show the key", "allow_http"]);

    refused(&desk.run(&provider("remove local")), 2, &["the whole route of small", "--yes"]);
    let report = done(&desk.run(&provider("remove local --yes --json")));
    let gone = &report["what"];
    assert_eq!(
        (&gone["left_fallback_order"], &gone["lost_candidates"], &gone["lost_routes"]),
        (&json!(true), &json!(["local/llama", "local/llama"]), &json!(["small"]))
    );
    let text = desk.read("keywheel.toml");
    assert!(!text.contains("local") && text.contains("candidates = [\"openai/gpt-4o-mini\"]"), "{text}");
    done(&desk.run(&provider("remove groq --yes --json")));
    assert!(!desk.path("keys/groq.key-1").exists());
    refused(&desk.run(&provider("remove openai --yes")), 2, &["the last provider"]);
}

#[test]
fn a_configuration_begins_where_somebody_says_so() {
    let desk = Desk::empty();
    refused(&desk.run(&provider("add openai")), 2, &["no configuration yet", "--create"]);
    let ended = desk.run(&provider("add openai --create"));
    assert_eq!(ended.exited(0).stdout, "Began keywheel.toml with provider openai.\n");
    assert!(ended.stderr.contains("openai has no key yet"), "{}", ended.stderr);
    let ended = desk.run(&keys("list"));
    assert!(ended.exited(0).stdout.starts_with("There is no key yet"), "{}", ended.stdout);
    done(&desk.run_fed(&keys("add --stdin --json"), CANARY));
    assert_eq!(
        desk.read("keywheel.toml"),
        "[[provider]]\nid = \"openai\"\npreset = \"openai\"\n[[provider.key]]\nname = \"key-1\"\n\
         secret = \"file:keys/openai.key-1\"\n"
    );
}

#[test]
fn a_legacy_api_key_becomes_the_first_of_two() {
    let desk = Desk::new("[[provider]]\nid = \"o\"\npreset = \"openai\"\napi_key = \"env:OLD\"\n");
    done(&desk.run(&keys("add --env NEW --name new --json")));
    assert_eq!(
        desk.read("keywheel.toml"),
        "[[provider]]\nid = \"o\"\npreset = \"openai\"\n[[provider.key]]\nname = \"key-1\"\nsecret = \"env:OLD\"\n\
         [[provider.key]]\nname = \"new\"\nsecret = \"env:NEW\"\n"
    );
}

const CSV: &str = "\
name,secret,quota_group,weight,rpm,tpm,rpd,concurrency,models
b,sk-canary-b-0123456789ab,org-1,2,500,100000,10_000,8,\"gpt-4o,o3\"
# the next one has no name
,env:OPENAI_C,org-1,,500,100000,10000,8,
";

#[test]
fn an_import_adds_all_that_it_reads() {
    let desk = desk();
    let report = done(&desk.run_fed(&keys("import --provider openai --json"), CSV));
    assert_eq!(report["what"], json!({ "provider": "openai", "added": 2, "skipped": 0 }));
    let text = desk.read("keywheel.toml");
    let b = "name = \"b\"\nsecret = \"file:keys/openai.b\"\nquota_group = \"org-1\"\nweight = 2\n\
             limits = { concurrency = 8, rpd = 10000, rpm = 500, tpm = 100000 }\nmodels = [\"gpt-4o\", \"o3\"]\n";
    assert!(text.contains(b) && text.contains("name = \"key-2\"\nsecret = \"env:OPENAI_C\"\n"), "{text}");

    let again = "sk-canary-b-0123456789ab\n\nsk-canary-d-0123456789ab\nsk-canary-d-0123456789ab\n";
    refused(
        &desk.run_fed(&keys("import --provider openai"), again),
        2,
        &[
            "2 bad lines, so nothing was added",
            "line 1: the key `openai/b` has the same secret",
            "line 4: line 3 has the same secret",
            "--skip-duplicates",
        ],
    );
    assert_eq!(desk.read("keywheel.toml"), text);
    let report = done(&desk.run_fed(&keys("import --provider openai --skip-duplicates --json"), again));
    assert_eq!(report["what"], json!({ "provider": "openai", "added": 1, "skipped": 2 }));
}

#[test]
fn an_import_tells_every_bad_line_and_adds_none() {
    let desk = desk();
    let bad = "name,secret,weight\na,sk-canary-1,1\nx, sk-canary 2\t3,many\ny,,1\nz,sk-canary-4\n";
    refused(
        &desk.run_fed(&keys("import --provider openai"), bad),
        2,
        &[
            "4 bad lines",
            "line 2: the name `a` is taken",
            "line 3: `weight` isn't a whole number from 1",
            "line 4: the secret is empty",
            "line 5: 2 fields instead of 3",
        ],
    );
    refused(
        &desk.run_fed(&keys("import --provider openai"), "secret,colour\nx,y\n"),
        2,
        &["no column `colour`"],
    );
    refused(&desk.run_fed(&keys("import --provider openai"), ""), 2, &["no key to add"]);
    refused(&desk.run(&keys("import --provider openai --file none.csv")), 2, &["can't read none.csv"]);
    refused(
        &desk.run_fed(&keys("import --provider openai"), "secret,weight\nsk-canary-1,5000\n"),
        2,
        &["nothing was changed", "must be from 0 to 1000"],
    );
    assert_eq!(desk.read("keywheel.toml"), CONFIG);
    let left = std::fs::read_dir(desk.path("keys")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "an import that came to nothing leaves no secret");
}

#[cfg(unix)]
#[test]
fn ten_thousand_keys_are_one_edit() {
    let desk = desk();
    let many: Vec<String> = (0..10_000).map(|index| format!("sk-canary-{index:08}-0123456789")).collect();
    let words = keys("import --provider openai --inline --json");
    let report = done(&desk.run_fed(&words, &many.join("\n")));
    assert_eq!(report["what"]["added"], 10_000);
    assert_eq!(desk.read("keywheel.toml").matches("[[provider.key]]").count(), 10_002);
}

#[test]
fn what_cannot_be_written_leaves_everything_as_it_was() {
    let desk = desk();
    // Not even root writes to a directory as if it were a file.
    std::fs::create_dir(desk.path(".keywheel.toml.lock")).expect("it is ours");
    refused(&desk.run(&keys("set --key a --weight 2")), 1, &["can't write", "keywheel.toml", "is as it was"]);
    std::fs::remove_dir(desk.path(".keywheel.toml.lock")).expect("it is ours");

    let desk = desk.with("keys", "not a directory");
    let stored = desk.run_fed(&keys("add --provider openai --stdin"), CANARY);
    refused(&stored, 1, &["can't write", "keys", "is as it was"]);
    assert_eq!(desk.read("keywheel.toml"), CONFIG);
}
