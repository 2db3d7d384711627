//! The prototype's `providers.json`, shape by shape: what it comes to, read directly and migrated.
//!
//! Each `tests/legacy/NAME.json` stands beside the `NAME.toml` that it has to become.

use std::fs;
use std::path::{Path, PathBuf};

use keywheel::config::{
    Config, Conversion, NoConversion, SecretsAs, Source, Weight, convert, is_legacy, load,
};
use keywheel_actors::secret::Secret;
use tempfile::TempDir;

const FIXTURES: [&str; 13] = [
    "all_disabled",
    "array",
    "by_id",
    "keys_by_name",
    "local",
    "nothing_said",
    "odd_types",
    "placeholders",
    "primary_and_weights",
    "prototype",
    "secrets_in_odd_places",
    "twice",
    "unknown_providers",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn converted(name: &str, secrets_as: SecretsAs) -> Conversion {
    convert(&read(&format!("{name}.json")), secrets_as).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What was noted with this weight, as `path: message`.
fn noted(name: &str, weight: Weight) -> Vec<String> {
    let notes = converted(name, SecretsAs::Files).notes.into_iter();
    notes
        .filter(|note| note.weight == weight)
        .map(|note| format!("{}: {}", note.path, note.message))
        .collect()
}

/// A directory of its own, as the fixtures expect it.
fn desk() -> (TempDir, Source) {
    let dir = TempDir::new().expect("a directory for the test");
    write(&dir.path().join("openai.secret"), "sk-from-a-file-0001\n");
    let variables = [
        ("OPENAI_KEY", "sk-env-0001"),
        ("GATEWAY_A", "gw-0001"),
        ("GATEWAY_B", "gw-0002"),
        ("ALICE_KEY", "al-0001"),
    ];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let source = Source { environment, working_dir: dir.path().to_owned(), ..Source::default() };
    (dir, source)
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("the directory is ours");
    fs::write(path, text).expect("the directory is ours");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }
}

/// The fixture read as it is.
fn loaded_directly(name: &str) -> Result<Config, String> {
    let (dir, source) = desk();
    write(&dir.path().join("providers.json"), &read(&format!("{name}.json")));
    load(&source).map_err(|error| error.to_string())
}

/// The fixture read after its migration.
fn loaded_migrated(name: &str) -> Result<Config, String> {
    let (dir, source) = desk();
    let conversion = converted(name, SecretsAs::Files);
    write(&dir.path().join("keywheel.toml"), &conversion.toml);
    for secret in &conversion.secrets {
        write(&dir.path().join(&secret.path), &secret.text());
    }
    load(&source).map_err(|error| error.to_string())
}

fn secrets(config: &Config) -> Vec<Secret> {
    let keys = config.wheel.providers.iter().flat_map(|provider| &provider.keys);
    keys.map(|key| key.secret.clone()).collect()
}

#[test]
fn every_fixture_becomes_the_configuration_beside_it() {
    for name in FIXTURES {
        assert_eq!(converted(name, SecretsAs::Files).toml, read(&format!("{name}.toml")), "{name}");
    }
    let found = fs::read_dir(fixture("")).expect("the fixtures are there").flatten();
    let jsons = found.filter(|entry| is_legacy(&entry.path())).count();
    assert_eq!(jsons, FIXTURES.len(), "every fixture is tried");
}

#[test]
fn read_directly_or_migrated_a_file_means_the_same() {
    for name in FIXTURES {
        match (loaded_directly(name), loaded_migrated(name)) {
            (Ok(direct), Ok(migrated)) => {
                assert_eq!(format!("{:#?}", direct.wheel), format!("{:#?}", migrated.wheel), "{name}");
                assert_eq!(direct.disabled, migrated.disabled, "{name}");
                assert!(secrets(&direct) == secrets(&migrated), "{name}: other secrets");
                assert_eq!(migrated.warnings, [], "{name}");
                assert!(!secrets(&direct).is_empty(), "{name}");
            }
            (Err(direct), Err(migrated)) => {
                assert_eq!(name, "all_disabled");
                assert!(
                    direct.contains("providers.json:1:1: provider: all providers are disabled"),
                    "{direct}"
                );
                assert!(migrated.contains("all providers are disabled"), "{migrated}");
            }
            (direct, migrated) => panic!("{name}: {direct:?} but {migrated:?}"),
        }
    }
}

#[test]
fn no_secret_stands_in_a_configuration_with_files_or_in_a_note() {
    for name in FIXTURES {
        let conversion = converted(name, SecretsAs::Files);
        let masked = converted(name, SecretsAs::Masked).toml;
        let notes = conversion.notes.iter().fold(String::new(), |all, note| all + &note.path + &note.message);
        for secret in &conversion.secrets {
            let text = secret.text();
            // "none" and the like are no secrets, and stand in sentences.
            let value = text.trim_end();
            if value.len() < 8 {
                continue;
            }
            for (where_, text) in [("toml", &conversion.toml), ("masked", &masked), ("notes", &notes)] {
                assert!(!text.contains(value), "{name}: {} is in the {where_}", secret.path.display());
            }
        }
    }
    let whole = read("secrets_in_odd_places.json");
    let conversion = converted("secrets_in_odd_places", SecretsAs::Files);
    for secret in ["gggg0001", "swordfish", "hhhh0002", "iiii0003"] {
        assert!(whole.contains(secret), "the fixture has it");
        assert!(!conversion.toml.contains(secret), "{}", conversion.toml);
    }
}

#[test]
fn what_needs_a_decision_is_told() {
    for (name, told) in [
        ("prototype", &[][..]),
        ("by_id", &[]),
        ("array", &[]),
        ("local", &[]),
        ("primary_and_weights", &[]),
        ("secrets_in_odd_places", &[]),
        ("twice", &["providers.openai: is there twice: the last one counts, as in JavaScript"]),
        (
            "nothing_said",
            &[
                "providers.openai: has no key, so it is left out: set OPENAI_API_KEY and drop `enabled = false` to use it",
                "providers.google: has no key, so it is left out: set GEMINI_API_KEY and drop `enabled = false` to use it",
            ],
        ),
        (
            "placeholders",
            &[
                "providers.openai.apiKeys.0: only holds the place of a key: left out, but for a comment",
                "providers.openai.apiKeys.2: only holds the place of a key: left out, but for a comment",
                "providers.groq: has no key, so it is left out: set GROQ_API_KEY and drop `enabled = false` to use it",
                "providers.groq.apiKey: only holds the place of a key: left out, but for a comment",
                "providers.deepseek.apiKey: only holds the place of a key: left out, but for a comment",
            ],
        ),
    ] {
        assert_eq!(noted(name, Weight::Attention), told, "{name}");
    }
    let unknown = noted("unknown_providers", Weight::Attention).join("\n");
    for part in [
        "providers.frobnicator: is no provider that is known here, and there is no address",
        "providers.inhouse: is no provider that is known here: taken to speak as OpenAI does",
        "providers.inhouse.endpoint: plain http shows the keys",
        "providers.broken.baseUrl: an address holds no user and no password",
        "fallbackOrder.2: there is no provider nobody: left out",
    ] {
        assert!(unknown.contains(part), "{part}:\n{unknown}");
    }
}

#[test]
fn what_has_no_counterpart_is_kept_and_listed() {
    let kept = noted("prototype", Weight::Kept);
    assert_eq!(kept.len(), 7, "{kept:#?}");
    assert_eq!(kept[0], "providers.0.apiKeys.1.status: kept as a comment");
    // Whatever is listed stands in the file, behind its path.
    for name in FIXTURES {
        let conversion = converted(name, SecretsAs::Files);
        for note in conversion.notes.iter().filter(|note| note.weight == Weight::Kept) {
            assert!(conversion.toml.contains(&format!("# kept: {} = ", note.path)), "{name}: {}", note.path);
        }
    }
}

#[test]
fn inline_secrets_are_values() {
    let conversion = converted("prototype", SecretsAs::Inline);
    assert!(conversion.secrets.is_empty());
    assert!(conversion.toml.contains("secret = \"gsk_bbbbbbbbbbbbbbbbbbbbbbbb0001\""));
    assert_eq!((conversion.providers, conversion.keys), (2, 4));
}

#[test]
fn a_file_read_directly_says_so_and_its_mistakes_point_into_it() {
    let config = loaded_directly("twice").unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert_eq!(
        warnings[0],
        "providers.json: this is the file of the prototype, read as it is; 3 of its fields mean nothing here\n  \
         hint: `keywheel config migrate` makes a keywheel.toml of it and tells what becomes of each field"
    );
    assert!(
        warnings[1].starts_with("providers.json:3:15: providers.openai: is there twice"),
        "{}",
        warnings[1]
    );

    let (dir, source) = desk();
    let text = "{\n  \"openai\": { \"apiKey\": \"env:NOT_SET\" }\n}\n";
    write(&dir.path().join("providers.json"), text);
    let error = load(&source).unwrap_err().to_string();
    assert!(
        error.contains(
            "providers.json:2:25: provider.openai.key.key-1.secret: the variable NOT_SET isn't set"
        ),
        "{error}"
    );
}

#[test]
fn what_can_t_be_converted_says_where_and_quotes_nothing() {
    let refused = |text| convert(text, SecretsAs::Files).err().expect("nothing can be made of it");
    let error = refused("{\n  \"apiKey\": \"sk-canary\",,\n}");
    assert!(matches!(error, NoConversion::Syntax { line: 2, column: 25, .. }), "{error:?}");
    assert!(!error.to_string().contains("canary"), "{error}");
    for text in ["{\"providers\": [], \"fallbackOrder\": []}", "{}", "[]", "null", "5", "\"sk-canary\""] {
        assert_eq!(refused(text), NoConversion::NoProvider, "{text}");
    }
    assert!(
        convert("\u{feff}{\"openai\": \"sk-a\"}", SecretsAs::Files).is_ok(),
        "a mark at the beginning is no mistake"
    );
}
