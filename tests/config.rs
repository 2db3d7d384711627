//! The configuration as its user meets it: a file, variables and flags in, a wheel or all mistakes out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::HeaderMap;
use keywheel::config::{
    Config, ConfigError, DIALECTS, Origin, Outline, PRESETS, Preset, Source, load, outline,
};
use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::secret::Secret;
use keywheel_actors::spec::{
    CandidateSpec, DAY, Limits, MINUTE, Pick, Rotation, RouteSpec, Timeouts, WindowLimit,
};
use tempfile::TempDir;

/// A working directory of its own, with a file and whatever stands over it.
struct Scenario {
    dir: TempDir,
    source: Source,
}

impl Scenario {
    fn empty() -> Self {
        let dir = TempDir::new().expect("a directory for the test");
        let source = Source { working_dir: dir.path().to_owned(), ..Source::default() };
        Self { dir, source }
    }

    fn file(text: &str) -> Self {
        Self::empty().with_file("keywheel.toml", text, 0o600)
    }

    fn with_file(self, path: &str, text: &str, mode: u32) -> Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("create the directory");
        fs::write(&path, text).expect("write the file");
        permit(&path, mode);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.source.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, path: &str, value: &str) -> Self {
        self.source.overrides.push((path.to_owned(), value.to_owned()));
        self
    }

    fn config(mut self, path: &str) -> Self {
        self.source.file = Some(path.into());
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn load(&self) -> Result<Config, ConfigError> {
        load(&self.source)
    }

    fn loaded(&self) -> Config {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    fn outlined(&self) -> Outline {
        outline(&self.source).unwrap_or_else(|error| panic!("{error}"))
    }

    /// All mistakes as they are printed, with `DIR` for the test's own directory.
    fn refused(&self) -> String {
        let error = self.load().expect_err("this configuration has mistakes");
        error.to_string().replace(&self.path().display().to_string(), "DIR")
    }
}

#[cfg(unix)]
fn permit(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set the permissions");
}

#[cfg(not(unix))]
fn permit(_: &Path, _: u32) {}

/// One local provider and nothing said twice; `{}` is for the test's own lines at the top.
fn small(top: &str) -> String {
    format!(
        "{top}\n[[provider]]\nid = \"local\"\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
         [[provider.key]]\nname = \"k-0\"\nsecret = \"sk-0\"\n"
    )
}

const DESIGN_EXAMPLE: &str = r#"
fallback_order = ["openai", "local"]

[rotation]
pick = "round_robin"
max_failures = 7
failure_reset = "24h"
rate_limit_backoff = "90s"
log_failures = true

[timeouts]
connect = "2s"
idle = "10s"

[[provider]]
id = "openai"
preset = "openai"
models = { "fast" = "gpt-4o-mini" }
limits = { tpm = 200_000, concurrency = 8 }
queue_jobs_max = 100
[provider.rotation]
pick = "weighted"
fallback_after = "2s"
[provider.timeouts]
idle = "30s"
[[provider.key]]
name = "team-a"
secret = "env:OPENAI_KEY_A"
quota_group = "org-1"
weight = 2
limits = { rpm = 500, burst = 10, rpd = 10_000, concurrency = 32 }
models = ["gpt-4o-mini"]
[[provider.key]]
secret = "file:keys/b"
quota_group = "org-1"
enabled = false
rotation = { max_failures = 1, fallback_after = "never" }

[[provider]]
id = "local"
dialect = "openai"
base_url = "http://127.0.0.1:18080/v1/"
[[provider.key]]
name = "k0"
secret = "sk-0"
limits = { rps = 2, burst = 5, rpm = 60 }

[[route]]
model = "fast"
candidates = ["openai/gpt-4o-mini", "local/meta/llama-3"]
"#;

#[test]
fn a_good_file_becomes_a_wheel_with_nothing_left_to_guess() {
    let scenario =
        Scenario::file(DESIGN_EXAMPLE).with_file("keys/b", "sk-b\n", 0o600).variable("OPENAI_KEY_A", "sk-a");
    let config = scenario.loaded();

    assert_eq!(config.path, Some(scenario.path().join("keywheel.toml")));
    assert_eq!(config.warnings, []);
    assert_eq!(config.disabled, []);
    let wheel = config.wheel;
    assert_eq!(wheel.fallback_order, ["openai", "local"].map(ProviderId::from));
    let candidate =
        |provider: &str, model: &str| CandidateSpec { provider: provider.into(), model: model.into() };
    assert_eq!(
        wheel.routes,
        [RouteSpec {
            model: "fast".into(),
            candidates: vec![candidate("openai", "gpt-4o-mini"), candidate("local", "meta/llama-3")],
        }]
    );

    let [openai, local] = &wheel.providers[..] else { panic!("two providers: {wheel:?}") };
    assert_eq!((openai.id.as_str(), openai.base_url.as_str()), ("openai", "https://api.openai.com/v1"));
    assert_eq!((local.id.as_str(), local.base_url.as_str()), ("local", "http://127.0.0.1:18080/v1"));
    assert_eq!(openai.models, [(Model::from("fast"), Model::from("gpt-4o-mini"))].into());
    assert_eq!((openai.queue_jobs_max, local.queue_jobs_max), (100, 16_384));

    let global =
        Rotation { max_failures: 7, rate_limit_backoff: Duration::from_secs(90), ..Rotation::default() };
    let nearer =
        Rotation { pick: Pick::Weighted, fallback_after: Some(Duration::from_secs(2)), ..global.clone() };
    assert_eq!((&openai.rotation, &local.rotation), (&nearer, &global));
    let timeouts =
        Timeouts { connect: Duration::from_secs(2), idle: Duration::from_secs(10), ..Timeouts::default() };
    assert_eq!(local.timeouts, timeouts);
    assert_eq!(openai.timeouts, Timeouts { idle: Duration::from_secs(30), ..timeouts });

    let [a, b] = &openai.keys[..] else { panic!("two keys: {openai:?}") };
    let group = Limits { concurrency: Some(32), ..Limits::default() }
        .and(WindowLimit { burst: Some(10), ..WindowLimit::requests(500, MINUTE) })
        .and(WindowLimit::requests(10_000, DAY))
        .and(WindowLimit::tokens(200_000, MINUTE));
    assert_eq!((a.name.as_str(), &a.secret, a.weight, a.enabled), ("team-a", &Secret::new("sk-a"), 2, true));
    assert_eq!((b.name.as_str(), &b.secret, b.weight, b.enabled), ("key-2", &Secret::new("sk-b"), 1, false));
    assert_eq!((&a.limits, &b.limits), (&group, &group), "a group shares what any of its keys says");
    assert_eq!((&a.quota_group, &a.models), (&Some("org-1".into()), &vec![Model::from("gpt-4o-mini")]));
    assert_eq!(
        (&a.rotation, &b.rotation),
        (&nearer, &Rotation { max_failures: 1, fallback_after: None, ..nearer.clone() })
    );

    let second = Duration::from_secs(1);
    assert_eq!(
        local.keys[0].limits.windows,
        [
            WindowLimit { burst: Some(5), ..WindowLimit::requests(2, second) },
            WindowLimit::requests(60, MINUTE)
        ],
        "the shortest window takes the burst"
    );
}

const MISTAKES: &str = r#"fallback_order = ["opnai"]

[rotation]
pick = "fastset"
failure_reset = 24

[[provider]]
id = "openai"
preset = "openai"
max_retries = 3
[[provider.key]]
name = "a"
secret = "env:OPENAI_KEY_A"
quota_group = "org"
limits = { rpm = 500 }
[[provider.key]]
name = "b"
secret = "${OPENAI_KEY_B}"
weight = 0
quota_group = "org"
limits = { rpm = 600, tpm = "5" }

[[provider]]
id = "openai"
dialect = "openai"
base_url = "http://llm.example.com/v1"
"#;

const MISTAKES_TOLD: &str = r#"the configuration has 12 mistakes

keywheel.toml:1:19: fallback_order.0: there is no provider `opnai`
  hint: did you mean `openai`?

keywheel.toml:4:8: rotation.pick: there is no pick `fastset`
  hint: did you mean `fastest`?

keywheel.toml:5:17: rotation.failure_reset: expected a duration, found a whole number
  hint: write numbers with units, such as "250ms", "60s", "1h30m" or "1d"

keywheel.toml:10:1: provider.openai.max_retries: there is no field `max_retries`
  hint: choose among id, preset, dialect, base_url, allow_http, key_header, openai_path, models, enabled, queue_jobs_max, token_counting, limits, rotation, timeouts, key

keywheel.toml:13:10: provider.openai.key.a.secret: the variable OPENAI_KEY_A isn't set
  hint: export it, or write `file:PATH`

keywheel.toml:18:10: provider.openai.key.b.secret: variables aren't expanded here
  hint: write `env:NAME` for the variable NAME

keywheel.toml:19:10: provider.openai.key.b.weight: a key of weight 0 would never be picked
  hint: write `enabled = false` to leave it out

keywheel.toml:21:18: provider.openai.key.b.limits.rpm: 600 contradicts the 500 of another key in quota group `org`
  hint: they share one account's limits; first at keywheel.toml:15:18

keywheel.toml:21:29: provider.openai.key.b.limits.tpm: expected a whole number, found text
  hint: write it without quotes

keywheel.toml:23:1: provider.openai: `key` is missing
  hint: add a `[[provider.key]]` with a `secret`

keywheel.toml:24:6: provider.openai.id: the provider `openai` is there twice
  hint: first at keywheel.toml:8:6

keywheel.toml:26:12: provider.openai.base_url: plain http would show the key to everybody on the way
  hint: use https, or write `allow_http = true` if the network in between is yours"#;

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place_and_a_hint() {
    assert_eq!(Scenario::file(MISTAKES).refused(), MISTAKES_TOLD);
}

const MORE_MISTAKES: &str = r#"[rotation]
max_failures = 0
fallback_after = "soon"

[timeouts]
total = "400d"

[[provider]]
id = "a/b"
type = "openai"
[[provider.key]]
api_key = "x"
limits = { burst = 2 }
[[provider.key]]
name = "key-1"
secret = 7
limits = { rps = 1, rpm = 30, burst = 31, rpd = 20 }

[[provider]]
id = "c"
preset = "groq"
dialect = "openai"
enabled = "yes"
models = { fast = "llama-3" }
key = [{ secret = "env:GROQ", models = ["fast"] }, { secret = "env:GROQ", quota_group = "" }]

[[route]]
candidates = []
[[route]]
model = "fast"
candidates = ["llama-3", "c/fast", "d/x", "c/y", "c/y"]
[[route]]
model = "fast"
candidates = "c/z"
[telemetry]
"#;

const MORE_MISTAKES_TOLD: &str = r#"the configuration has 28 mistakes

keywheel.toml:2:16: rotation.max_failures: must be from 1 to 1000000, is 0

keywheel.toml:3:18: rotation.fallback_after: not a duration
  hint: write numbers with units, such as "250ms", "60s", "1h30m" or "1d"

keywheel.toml:6:9: timeouts.total: must be from 1ms to 366d, is 400d

keywheel.toml:8:1: provider.a/b: `base_url` is missing
  hint: for example `base_url = "https://api.example.com/v1"`

keywheel.toml:8:1: provider.a/b: `dialect` is missing
  hint: name a `preset`, or `dialect = "openai"` with a `base_url`

keywheel.toml:9:6: provider.a/b.id: a name holds no `/`, no spaces and no control characters

keywheel.toml:10:1: provider.a/b.type: there is no field `type`
  hint: did you mean `dialect`?

keywheel.toml:11:1: provider.a/b.key.0: `secret` is missing
  hint: for example `secret = "env:OPENAI_KEY"`

keywheel.toml:12:1: provider.a/b.key.0.api_key: there is no field `api_key`
  hint: did you mean `secret`?

keywheel.toml:13:20: provider.a/b.key.0.limits.burst: `burst` is the size of a bucket for `rps` or `rpm`, and neither is there

keywheel.toml:15:8: provider.a/b.key.key-1.name: the key `key-1` is there twice
  hint: first at keywheel.toml:11:1

keywheel.toml:16:10: provider.a/b.key.key-1.secret: expected text, found a whole number
  hint: put it in quotes

keywheel.toml:17:39: provider.a/b.key.key-1.limits.burst: a burst of 31 is more than rpd = 20 grants in a day
  hint: write at most 20, or leave `burst` out

keywheel.toml:17:39: provider.a/b.key.key-1.limits.burst: a burst of 31 is more than rpm = 30 grants in a minute
  hint: write at most 30, or leave `burst` out

keywheel.toml:22:11: provider.c.dialect: `preset` says the dialect already
  hint: drop one of the two

keywheel.toml:23:11: provider.c.enabled: expected true or false, found text
  hint: write the word without quotes

keywheel.toml:25:41: provider.c.key.0.models.0: `fast` is our name; here stands the provider's own
  hint: write `llama-3`

keywheel.toml:25:63: provider.c.key.1.secret: the key `key-1` has the same secret
  hint: the same credential twice gives no more quota; drop one of the keys

keywheel.toml:25:89: provider.c.key.1.quota_group: a name can't be empty

keywheel.toml:27:1: route.0: `model` is missing
  hint: for example `model = "fast"`

keywheel.toml:28:14: route.0.candidates: a route needs at least one candidate
  hint: for example "openai/gpt-4o-mini"

keywheel.toml:31:15: route.fast.candidates.0: `llama-3` is no `provider/model`
  hint: write the provider's id before it: `openai/llama-3`

keywheel.toml:31:26: route.fast.candidates.1: `fast` is our name; here stands the provider's own
  hint: write `llama-3`

keywheel.toml:31:36: route.fast.candidates.2: there is no provider `d`
  hint: choose among c

keywheel.toml:31:50: route.fast.candidates.4: the candidate `c/y` is there twice
  hint: first at keywheel.toml:31:43

keywheel.toml:33:9: route.fast.model: the route of `fast` is there twice
  hint: first at keywheel.toml:30:9

keywheel.toml:34:14: route.fast.candidates: expected a list, found text
  hint: put it in brackets

keywheel.toml:35:2: telemetry: there is no field `telemetry`
  hint: choose among fallback_order, rotation, timeouts, provider, route, currency, price, state, failures, server, admin"#;

#[test]
fn no_mistake_hides_another() {
    assert_eq!(Scenario::file(MORE_MISTAKES).variable("GROQ", "gsk_1").refused(), MORE_MISTAKES_TOLD);
}

#[test]
fn what_toml_makes_hard_is_told_by_its_line() {
    assert_eq!(
        Scenario::file("[rotation]\npick = round_robin\n").refused(),
        "the configuration has 1 mistake\n\n\
         keywheel.toml:2:8: not TOML: string values must be quoted, expected literal string"
    );
    assert_eq!(
        Scenario::file("[provider]\nid = \"a\"\n").refused(),
        "the configuration has 1 mistake\n\n\
         keywheel.toml:1:1: provider: expected a list of tables, found a table\n  \
         hint: write `[[provider]]`, with two brackets on each side"
    );
}

#[test]
fn a_service_gets_its_secrets_from_systemd() {
    let service = Scenario::file(&remote(&["credential:openai"]));
    assert!(
        service.refused().contains(
            "there are no credentials: the variable CREDENTIALS_DIRECTORY isn't set\n  \
             hint: `LoadCredential=openai:PATH` in a systemd unit sets it"
        ),
        "{}",
        service.refused()
    );
    let service = service.with_file("credentials/openai", "sk-c\n", 0o400);
    let directory = service.source.working_dir.join("credentials");
    let config = service.variable("CREDENTIALS_DIRECTORY", directory.to_str().expect("UTF-8")).loaded();
    assert_eq!(config.wheel.providers[0].keys[0].secret, Secret::new("sk-c"));
    let told = Scenario::file(&remote(&["credential:../openai"])).refused();
    assert!(told.contains("isn't the name of a credential"), "{told}");
}

#[test]
fn variables_and_flags_override_the_file_by_the_names_in_it() {
    let config = Scenario::file(DESIGN_EXAMPLE)
        .with_file("keys/b", "sk-b", 0o600)
        .variable("OPENAI_KEY_A", "sk-a")
        .variable("KEYWHEEL__ROTATION__MAX_FAILURES", "3")
        .variable("keywheel__rotation__log_failures", "false")
        .variable("KEYWHEEL__FALLBACK_ORDER", "local, openai")
        .variable("KEYWHEEL__PROVIDER__OPENAI__BASE_URL", "https://gateway.example.com/v1")
        .variable("KEYWHEEL__PROVIDER__OPENAI__MODELS__FAST", "gpt-4.1-nano")
        .variable("KEYWHEEL__PROVIDER__OPENAI__KEY__TEAM_A__LIMITS__RPM", "1_000")
        .variable("KEYWHEEL__PROVIDER__OPENAI__KEY__TEAM_A__WEIGHT", "3")
        .variable("KEYWHEEL__PROVIDER__OPENAI__KEY__TEAM_A__MODELS", "gpt-4.1-nano, o3")
        .variable("KEYWHEEL__PROVIDER__1__KEY__0__SECRET", "sk-other")
        .variable("KEYWHEEL__PROVIDER__LOCAL__ROTATION__PICK", "fastest")
        .variable("KEYWHEEL_LOG", "debug")
        .flag("provider.openai.key.team-a.weight", "4")
        .flag("provider.local.models.\"our.best\"", "qwen/3.5")
        .flag("rotation.fallback_after", "1s")
        .loaded();

    let [openai, local] = &config.wheel.providers[..] else { panic!("two providers: {config:?}") };
    assert_eq!((openai.rotation.max_failures, openai.rotation.log_failures), (3, false));
    assert_eq!(config.wheel.fallback_order, ["local", "openai"].map(ProviderId::from));
    assert_eq!(openai.base_url, "https://gateway.example.com/v1");
    assert_eq!(openai.models, [(Model::from("fast"), Model::from("gpt-4.1-nano"))].into());
    assert_eq!(openai.keys[0].limits.windows[0].count, 1_000);
    assert_eq!(openai.keys[0].weight, 4, "a flag beats a variable");
    assert_eq!(openai.keys[0].models, ["gpt-4.1-nano", "o3"].map(Model::from));
    assert_eq!(local.keys[0].secret, Secret::new("sk-other"));
    assert_eq!((local.rotation.pick, openai.rotation.pick), (Pick::Fastest, Pick::Weighted));
    assert_eq!(local.models, [(Model::from("our.best"), Model::from("qwen/3.5"))].into());
    assert_eq!(local.rotation.fallback_after, Some(Duration::from_secs(1)));
}

const UNADDRESSED_TOLD: &str = r"the configuration has 11 mistakes

KEYWHEEL__: not the path of a field
  hint: between two `__` stands the name of a field

KEYWHEEL__PROVIDER__1__ENABLED: the file has no provider `1`
  hint: choose among local

KEYWHEEL__PROVIDER__LOCAL__KEY__K_1__SECRET: the file has no key `k_1`
  hint: did you mean `k-0`?

KEYWHEEL__PROVIDER__LOCAL__SECRET: there is no field `secret`
  hint: choose among id, preset, dialect, base_url, allow_http, key_header, openai_path, models, enabled, queue_jobs_max, token_counting, limits, rotation, timeouts, key

KEYWHEEL__PROVIDER__LOCL__BASE_URL: the file has no provider `locl`
  hint: did you mean `local`?

KEYWHEEL__ROTATION__MAX_FAILURES: expected a whole number, found nothing

KEYWHEEL__ROTATION__PICK: there is no pick `fastset`
  hint: did you mean `fastest`?

KEYWHEEL__ROTATON__PICK: there is no field `rotaton`
  hint: did you mean `rotation`?

KEYWHEEL__TIMEOUTS: expected a table, found text
  hint: name one field of the table

--set provider.local.key.k-0.secert: there is no field `secert`
  hint: did you mean `secret`?

--set rotation pick: not the path of a field
  hint: write it as in TOML: `--set rotation.pick=fastest`";

#[test]
fn an_override_that_addresses_nothing_is_a_mistake_of_its_own() {
    let told = Scenario::file(&small(""))
        .variable("KEYWHEEL__PROVIDER__LOCL__BASE_URL", "https://x.example.com")
        .variable("KEYWHEEL__PROVIDER__LOCAL__KEY__K_1__SECRET", "sk-canary")
        .variable("KEYWHEEL__PROVIDER__1__ENABLED", "false")
        .variable("KEYWHEEL__ROTATON__PICK", "fastest")
        .variable("KEYWHEEL__ROTATION__PICK", "fastset")
        .variable("KEYWHEEL__ROTATION__MAX_FAILURES", "")
        .variable("KEYWHEEL__TIMEOUTS", "5s")
        .variable("KEYWHEEL__", "x")
        .variable("KEYWHEEL__PROVIDER__LOCAL__SECRET", "sk-canary")
        .flag("provider.local.key.k-0.secert", "sk-canary")
        .flag("rotation pick", "fastest")
        .refused();
    assert_eq!(told, UNADDRESSED_TOLD);
}

#[test]
fn the_file_is_searched_in_four_places() {
    let local = small("fallback_order = []");
    let other = |id: &str| local.replace("\"local\"", &format!("{id:?}"));
    let first_id = |scenario: &Scenario| scenario.loaded().wheel.providers[0].id.as_str().to_owned();

    let home = Scenario::empty().with_file("home/.config/keywheel/keywheel.toml", &other("home"), 0o600);
    let home_dir = home.path().join("home").display().to_string();
    let scenario = home.variable("HOME", &home_dir);
    assert_eq!(first_id(&scenario), "home");

    let xdg_dir = scenario.path().join("xdg").display().to_string();
    let scenario = scenario
        .with_file("xdg/keywheel/keywheel.toml", &other("xdg"), 0o600)
        .variable("XDG_CONFIG_HOME", &xdg_dir);
    assert_eq!(first_id(&scenario), "xdg");

    let scenario = scenario.with_file("keywheel.toml", &other("here"), 0o600);
    assert_eq!(first_id(&scenario), "here");

    let scenario =
        scenario.with_file("v.toml", &other("variable"), 0o600).variable("KEYWHEEL_CONFIG", "v.toml");
    assert_eq!(first_id(&scenario), "variable");

    let scenario = scenario.with_file("f.toml", &other("flag"), 0o600).config("f.toml");
    assert_eq!(first_id(&scenario), "flag");
}

#[test]
fn without_a_file_it_says_where_it_looked() {
    assert_eq!(
        Scenario::empty().variable("HOME", "/nonexistent").variable("XDG_CONFIG_HOME", "relative").refused(),
        "the configuration has 1 mistake\n\n\
         keywheel.toml: there is no such file; looked for DIR/keywheel.toml, \
         DIR/providers.json and /nonexistent/.config/keywheel/keywheel.toml\n  \
         hint: `keywheel config init` writes one, `--config FILE` or KEYWHEEL_CONFIG names one, `keywheel demo` needs none"
    );
    assert_eq!(
        Scenario::file(&small("")).config("other.toml").refused(),
        "the configuration has 1 mistake\n\n\
         other.toml: can't read the file: No such file or directory (os error 2)\n  \
         hint: `--config` names it"
    );
    assert_eq!(
        Scenario::file(&small("")).variable("KEYWHEEL_CONFIG", "other.toml").refused(),
        "the configuration has 1 mistake\n\n\
         other.toml: can't read the file: No such file or directory (os error 2)\n  \
         hint: the variable KEYWHEEL_CONFIG names it"
    );
}

/// A provider out in the world with a key for each of these secrets.
fn remote(secrets: &[&str]) -> String {
    let provider = "[[provider]]\nid = \"o\"\npreset = \"openai\"\n".to_owned();
    secrets.iter().fold(provider, |text, secret| text + "[[provider.key]]\nsecret = \"" + secret + "\"\n")
}

#[cfg(unix)]
#[test]
fn a_file_of_secrets_that_others_can_read_is_refused() {
    let literal = remote(&["sk-canary-1", "sk-canary-2", "env:C"]);
    let of_mode =
        |text: &str, mode| Scenario::empty().with_file("keywheel.toml", text, mode).variable("C", "sk-c");
    assert_eq!(
        of_mode(&literal, 0o640).refused(),
        "the configuration has 1 mistake\n\n\
         keywheel.toml:5:10: provider.o.key.0.secret: this is the first of 2 secrets that stand in a file that \
         others can read (mode 0640)\n  \
         hint: chmod 600 keywheel.toml, or write `env:NAME` or `file:PATH` instead"
    );
    assert!(of_mode(&literal, 0o604).refused().contains("(mode 0604)"));

    assert_eq!(of_mode(&literal, 0o600).loaded().wheel.providers[0].keys.len(), 3);
    let references = of_mode(&remote(&["env:C"]), 0o644);
    assert_eq!(references.loaded().wheel.providers[0].keys.len(), 1, "references may be read by all");
    let loopback = of_mode(&small(""), 0o644);
    assert_eq!(
        loopback.loaded().wheel.providers[0].keys.len(),
        1,
        "what stays on this machine opens nothing"
    );
}

const BAD_SECRETS_TOLD: &str = r"the configuration has 10 mistakes

keywheel.toml:5:10: provider.o.key.0.secret: the variable MISSING isn't set
  hint: export it, or write `file:PATH`

keywheel.toml:7:10: provider.o.key.1.secret: what follows `env:` isn't the name of a variable
  hint: write `env:NAME`, or the value itself without `env:`

keywheel.toml:9:10: provider.o.key.2.secret: the variable EMPTY is empty

keywheel.toml:11:10: provider.o.key.3.secret: the variable SPACED begins or ends with white space

keywheel.toml:13:10: provider.o.key.4.secret: can't read none: No such file or directory (os error 2)

keywheel.toml:15:10: provider.o.key.5.secret: everybody can read open (mode 0644)
  hint: chmod 600 open

keywheel.toml:17:10: provider.o.key.6.secret: the file lines holds control characters or letters beyond ASCII

keywheel.toml:19:10: provider.o.key.7.secret: the secret holds control characters or letters beyond ASCII

keywheel.toml:21:10: provider.o.key.8.secret: the secret is empty

keywheel.toml:25:10: provider.o.key.10.secret: the key `key-10` has the same secret
  hint: the same credential twice gives no more quota; drop one of the keys";

#[cfg(unix)]
#[test]
fn a_secret_that_cannot_be_used_is_told_without_it() {
    let told = Scenario::file(&remote(&[
        "env:MISSING",
        "env:sk-canary-not-a-name",
        "env:EMPTY",
        "env:SPACED",
        "file:none",
        "file:open",
        "file:lines",
        "sk-canary\\u0007",
        "",
        "sk-canary-twice",
        "env:TWICE",
    ]))
    .variable("EMPTY", "")
    .variable("SPACED", "sk-canary ")
    .variable("TWICE", "sk-canary-twice")
    .with_file("open", "sk-canary", 0o644)
    .with_file("lines", "sk-canary\nsk-canary\n", 0o600)
    .refused();
    assert!(!told.contains("canary"), "{told}");
    assert_eq!(told, BAD_SECRETS_TOLD);
}

#[test]
fn no_message_ever_holds_a_secret() {
    let canary = "sk-canary-0123456789abcdef";
    let one = remote(&[canary]);
    let with_url =
        |url: &str| one.replace("preset = \"openai\"", &format!("preset = \"openai\"\nbase_url = \"{url}\""));
    let files = [
        format!("[[provider]]\nsecret = \"{canary}"),
        format!("secret = {canary}\n"),
        format!("a = 1, secret = \"{canary}\"\n"),
        format!("provider = [{{ secret = \"{canary}\" }}]\nprovider = [{{ secret = \"{canary}\" }}]\n"),
        format!("[[provider]]\nkey = \"{canary}\"\n"),
        format!("provider = \"{canary}\"\n"),
        remote(&[&format!("{canary}\\n")]),
        remote(&[canary, canary]),
        remote(&[&format!("env:{canary}")]),
        remote(&[&format!("${canary}")]),
        remote(&["env:gsk_canary0123456789"]),
        one.replace("secret", "secert"),
        with_url(&format!("https://user:{canary}@api.example.com/")),
        with_url(&format!("https://api.example.com/?key={canary}")),
        with_url(canary),
    ];
    let variables = [
        "KEYWHEEL__PROVIDER__NONE__KEY__K__SECRET",
        "KEYWHEEL__PROVIDER__LOCAL__KEY__K_0__SECERT",
        "KEYWHEEL__PROVIDER__LOCAL__KEY",
        "KEYWHEEL__PROVIDER__LOCAL__ENABLED",
        "KEYWHEEL__ROTATION__MAX_FAILURES",
        "KEYWHEEL__ROTATION__FAILURE_RESET",
    ];
    let of_files = files.iter().map(|text| Scenario::file(text));
    let of_variables = variables.iter().map(|name| Scenario::file(&small("")).variable(name, canary));
    for scenario in of_files.chain(of_variables) {
        let error = scenario.load().expect_err("each of these has a mistake");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    let config = Scenario::file(&one).loaded();
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn what_is_ignored_is_warned_of() {
    let key = "rotation = { pick = \"fastest\" }\n";
    let text = small("") + key + &remote(&["env:C"]);
    let config =
        Scenario::file(&text).variable("C", "sk-c").flag("provider.o.key.0.secret", "sk-canary").loaded();
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "keywheel.toml:9:21: provider.local.key.k-0.rotation.pick: `pick` chooses among keys, so it does \
             nothing in one of them\n  hint: move it to `[provider.rotation]`",
            "--set provider.o.key.0.secret: process lists and the shell's history keep this secret\n  \
             hint: write `env:NAME` or `file:PATH` instead",
        ]
    );
}

#[test]
fn a_disabled_provider_takes_no_part_and_needs_no_secret() {
    let text = small("fallback_order = [\"o\", \"local\"]")
        + &remote(&["env:NOT_SET"]).replace("preset", "enabled = false\npreset")
        + "[[route]]\nmodel = \"m\"\ncandidates = [\"o/x\", \"local/y\"]\n";
    let config = Scenario::file(&text).loaded();
    assert_eq!(config.disabled, [ProviderId::from("o")]);
    assert_eq!(config.wheel.fallback_order, [ProviderId::from("local")]);
    let candidates = &config.wheel.routes[0].candidates;
    assert_eq!(candidates, &[CandidateSpec { provider: "local".into(), model: "y".into() }]);

    assert_eq!(
        Scenario::file(&text).flag("provider.local.enabled", "false").refused(),
        r"the configuration has 3 mistakes

keywheel.toml:1:18: fallback_order: all providers in this order are disabled
  hint: enable one, or drop the order

keywheel.toml:2:1: provider: all providers are disabled
  hint: write `enabled = true` in one

keywheel.toml:17:14: route.m.candidates: the providers of all candidates are disabled
  hint: enable one, or drop the route"
    );
}

/// One provider of these lines, with the key `k`.
fn provider(lines: &str) -> Scenario {
    Scenario::file(&format!("[[provider]]\nid = \"p\"\n{lines}\n[[provider.key]]\nsecret = \"k\"\n"))
}

#[test]
fn a_key_goes_into_the_header_that_its_provider_wants() {
    let local = "base_url = \"http://127.0.0.1:1\"";
    for (lines, header, value) in [
        ("preset = \"azure\"", "api-key", "k"),
        ("preset = \"gemini\"", "x-goog-api-key", "k"),
        ("preset = \"openai-compatible\"", "authorization", "Bearer k"),
        ("preset = \"http\"", "authorization", "Bearer k"),
        ("dialect = \"http\"\nkey_header = \"X-Api-Key\"", "x-api-key", "k"),
        ("dialect = \"http\"\nkey_header = \"Authorization\"", "authorization", "Bearer k"),
    ] {
        let config = provider(&format!("{lines}\n{local}")).loaded();
        let mut headers = HeaderMap::new();
        let wheel = &config.wheel.providers[0];
        wheel.dialect.authenticate(&wheel.keys[0].secret, &mut headers).expect("it can stand in a header");
        assert_eq!(headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [header], "{lines}");
        assert_eq!(headers[header], value, "{lines}");
    }
}

#[test]
fn only_a_plain_http_provider_leaves_its_header_open() {
    let local = "base_url = \"http://127.0.0.1:1\"\nkey_header";
    for (lines, problem) in [
        (
            format!("dialect = \"openai\"\n{local} = \"x-api-key\""),
            "keywheel.toml:5:14: provider.p.key_header: the dialect `openai` knows its header itself\n  \
             hint: drop it, or write `dialect = \"http\"`",
        ),
        (
            format!("preset = \"http\"\n{local} = \"x api key\""),
            "keywheel.toml:5:14: provider.p.key_header: not the name of a header\n  \
             hint: for example `key_header = \"x-api-key\"`",
        ),
        (
            format!("preset = \"http\"\n{local} = \"Host\""),
            "keywheel.toml:5:14: provider.p.key_header: `host` is no header for a key\n  \
             hint: for example `key_header = \"x-api-key\"`",
        ),
    ] {
        assert_eq!(
            provider(&lines).refused(),
            format!("the configuration has 1 mistake\n\n{problem}"),
            "{lines}"
        );
    }
}

#[test]
fn a_preset_without_an_address_asks_for_one_by_example() {
    assert_eq!(
        provider("preset = \"azure\"").refused(),
        "the configuration has 1 mistake\n\nkeywheel.toml:1:1: provider.p: `base_url` is missing\n  \
         hint: for example `base_url = \"https://RESOURCE.openai.azure.com/openai/v1\"`"
    );
}

#[test]
fn a_provider_knows_how_to_test_its_keys_by_its_preset_or_its_dialect() {
    let path = |lines: &str| {
        let config = provider(lines).loaded();
        config.validity.get(&ProviderId::from("p")).map(|validity| validity.path)
    };
    let local = "base_url = \"http://127.0.0.1:1\"";
    assert_eq!(path(&format!("preset = \"openrouter\"\n{local}")), Some("/key"));
    assert_eq!(path(&format!("dialect = \"openai\"\n{local}")), Some("/models"));
    assert_eq!(path("preset = \"anthropic\""), Some("/models"));
    assert_eq!(path(&format!("dialect = \"gemini\"\n{local}")), Some("/models?pageSize=1"));
    assert_eq!(path(&format!("dialect = \"http\"\n{local}")), None);
}

#[test]
fn a_provider_with_a_single_key_may_have_an_api_key() {
    let one = "[[provider]]\nid = \"o\"\npreset = \"openai\"\napi_key = \"env:A\"\n";
    let config = Scenario::file(one).variable("A", "sk-a").loaded();
    let keys = &config.wheel.providers[0].keys;
    assert_eq!((keys[0].name.as_str(), &keys[0].secret), ("key-1", &Secret::new("sk-a")));
    assert_eq!((keys.len(), config.warnings.len()), (1, 0));

    let both = format!("{one}limits = {{ rpm = 5 }}\n[[provider.key]]\nsecret = \"env:B\"\n");
    let config = Scenario::file(&both).variable("A", "sk-a").variable("B", "sk-b").loaded();
    let keys = &config.wheel.providers[0].keys;
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["key-1", "key-2"], "`api_key` comes first");
    assert!(keys.iter().all(|key| key.limits.windows == [WindowLimit::requests(5, MINUTE)]));
    assert_eq!(
        Scenario::file(&both).variable("A", "sk-a").variable("B", "sk-a").refused(),
        "the configuration has 1 mistake\n\n\
         keywheel.toml:7:10: provider.o.key.0.secret: the key `key-1` has the same secret\n  \
         hint: the same credential twice gives no more quota; drop one of the keys"
    );

    let of_prototype = one.replace("api_key", "apiKey");
    let config = Scenario::file(&of_prototype).variable("A", "sk-a").loaded();
    assert_eq!(config.wheel.providers[0].keys[0].secret, Secret::new("sk-a"));
    assert_eq!(
        config.warnings[0].to_string(),
        "keywheel.toml:4:10: provider.o.apiKey: `apiKey` is the name of an older version\n  \
         hint: write `api_key`, or a `[[provider.key]]`"
    );
    let twice = format!("{one}apiKey = \"env:B\"\n");
    let told = Scenario::file(&twice).variable("A", "sk-a").refused();
    assert!(told.contains("provider.o.apiKey: `api_key` says this already"), "{told}");
    let canary = Scenario::empty().with_file("keywheel.toml", &one.replace("env:A", "sk-canary"), 0o644);
    let told = canary.refused();
    assert!(told.contains("a secret stands here in a file that others can read"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn an_outline_needs_no_secrets_and_tells_what_is_written() {
    let outline = Scenario::file(DESIGN_EXAMPLE).outlined();
    let [openai, local] = &outline.providers[..] else { panic!("two providers: {outline:?}") };
    assert_eq!((openai.id.as_str(), openai.enabled, openai.preset), ("openai", true, Some("openai")));
    assert_eq!((openai.dialect, openai.pick), (Some("openai"), Pick::Weighted));
    assert_eq!(openai.base_url.as_deref(), Some("https://api.openai.com/v1"));
    assert_eq!(openai.models, [(Model::from("fast"), Model::from("gpt-4o-mini"))].into());
    let [team_a, second] = &openai.keys[..] else { panic!("two keys: {openai:?}") };
    assert_eq!(team_a.origin, Origin::Variable("OPENAI_KEY_A".to_owned()));
    assert_eq!(team_a.secret.as_ref().unwrap_err(), "the variable OPENAI_KEY_A isn't set");
    assert_eq!(team_a.limits, [("rpm", 500), ("burst", 10), ("rpd", 10_000), ("concurrency", 32)].into());
    assert_eq!((team_a.weight, team_a.enabled, second.enabled), (2, true, false));
    assert_eq!((second.name.as_str(), &second.origin), ("key-2", &Origin::File("keys/b".into())));
    assert!(second.secret.as_ref().unwrap_err().starts_with("can't read keys/b: "));
    assert_eq!(local.keys[0].secret, Ok(Secret::new("sk-0")));
    let other = Scenario::file(DESIGN_EXAMPLE);
    assert_ne!(outline.home, other.outlined().home, "each configuration has files of its own");
    let loaded = other.variable("OPENAI_KEY_A", "sk-a").with_file("keys/b", "sk-b", 0o600);
    assert_eq!(loaded.outlined().home, loaded.loaded().home);
}

#[test]
fn an_outline_tells_other_mistakes_as_ever() {
    let empty = remote(&["env:EMPTY"]);
    let told = outline(&Scenario::file(&empty).variable("EMPTY", "").source).unwrap_err().to_string();
    assert!(told.contains("the variable EMPTY is empty"), "{told}");
    let disabled = empty.replace("preset", "enabled = false\npreset") + &small("");
    let outlined = Scenario::file(&disabled).variable("EMPTY", "").outlined();
    assert_eq!(
        outlined.providers[0].keys[0].secret.as_ref().unwrap_err(),
        "the variable EMPTY is empty",
        "nobody needs the secrets of a disabled provider"
    );
    for nothing_yet in ["", "provider = []\n", "[[provider]]\nid = \"o\"\npreset = \"openai\"\n"] {
        assert!(Scenario::file(nothing_yet).load().is_err());
        assert!(
            Scenario::file(nothing_yet).outlined().providers.iter().all(|provider| provider.keys.is_empty())
        );
    }
}

#[test]
fn the_reference_shows_what_is_true() {
    let reference = include_str!("../docs/configuration.md");
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let config = Scenario::file(example.expect("an example")).variable("OPENAI_KEY_A", "sk-a").loaded();
    assert_eq!(config.wheel.providers.len(), 2);
    for Preset { name, dialect, base_url, variable, .. } in PRESETS {
        let base_url = base_url.map_or_else(|| "yours".to_owned(), |url| format!("`{url}`"));
        let variable = variable.map_or_else(String::new, |name| format!(" `{name}`"));
        let row = format!("| `{name}` | `{dialect}` | {base_url} |{variable} |");
        assert!(reference.contains(&row), "{row}");
        let told = include_str!("../docs/providers.md");
        assert!(told.contains(&format!("\n| `{name}` | ")), "{name} is told of");
    }
    for dialect in DIALECTS {
        assert!(reference.contains(&format!("`{dialect}`")), "{dialect}");
    }
    for (pick, _) in Pick::ALL {
        assert!(reference.contains(&format!("`{pick}`")), "{pick}");
    }
}
