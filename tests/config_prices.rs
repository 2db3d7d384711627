//! Prices in the configuration: exact numbers in, or all mistakes out.

use std::fs;

use keywheel::config::{Config, ConfigError, Source, load, show};
use keywheel_actors::id::{Model, ProviderId};
use keywheel_actors::outcome::Usage;
use tempfile::TempDir;

const PROVIDER: &str = "\n[[provider]]\nid = \"openai\"\npreset = \"openai\"\nmodels = { \"fast\" = \"gpt-4o-mini\" }\n\
                        [[provider.key]]\nsecret = \"env:KEY\"\n";

struct Scenario {
    _dir: TempDir,
    source: Source,
}

impl Scenario {
    fn of(prices: &str) -> Self {
        let dir = TempDir::new().expect("a directory for the test");
        fs::write(dir.path().join("keywheel.toml"), format!("{prices}{PROVIDER}")).expect("write the file");
        let environment = vec![("KEY".to_owned(), "sk-0".to_owned())];
        let source = Source { working_dir: dir.path().to_owned(), environment, ..Source::default() };
        Self { _dir: dir, source }
    }

    fn flag(mut self, path: &str, value: &str) -> Self {
        self.source.overrides.push((path.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        load(&self.source)
    }

    fn refused(&self) -> String {
        self.load().expect_err("there are mistakes").to_string()
    }

    /// What a million tokens of input, as many cached ones and as many of output cost together.
    fn cost(&self, provider: &str, model: &str) -> Option<String> {
        let config = self.load().unwrap_or_else(|error| panic!("{error}"));
        let usage = Usage { input_tokens: 2_000_000, cached_tokens: 1_000_000, output_tokens: 1_000_000 };
        let price = config.prices.of(&ProviderId::from(provider), &Model::from(model));
        price.map(|price| format!("{} {}", price.cost(&usage), config.prices.currency))
    }
}

const PRICES: &str = r#"
currency = "EUR"
[[price]]
model = "gpt-4o-mini"
input = 0.15
output = 0.6
cached = 0.075
[[price]]
model = "gpt-4o*"
provider = "openai"
input = 2.5
output = 10
"#;

#[test]
fn prices_are_read_exactly_and_cached_tokens_cost_as_input_unless_said() {
    let scenario = Scenario::of(PRICES);
    assert_eq!(scenario.cost("elsewhere", "gpt-4o-mini").as_deref(), Some("0.825 EUR"));
    assert_eq!(scenario.cost("openai", "gpt-4o-mini").as_deref(), Some("15.00 EUR"), "its own price first");
    assert_eq!(scenario.cost("elsewhere", "gpt-4o"), None);
    assert_eq!(Scenario::of("").cost("openai", "gpt-4o"), None, "none are built in");
}

#[test]
fn a_flag_sets_a_price_by_its_model() {
    let scenario = Scenario::of(PRICES).flag("price.gpt-4o-mini.input", "0.1").flag("currency", "CHF");
    assert_eq!(scenario.cost("elsewhere", "gpt-4o-mini").as_deref(), Some("0.775 CHF"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = Scenario::of(
        r#"currency = "euro"
[[price]]
model = "gpt*mini"
input = "0.15"
output = -1
[[price]]
model = "m"
provider = "opnai"
input = 0.1234567
outptu = 1
[[price]]
model = "n"
provider = "openai"
input = 1
output = 1
cached = true
[[price]]
model = "n"
provider = "openai"
input = 1
output = 1
"#,
    )
    .refused();
    for part in [
        "a currency has three capital letters",
        "`*` stands at the end of a name only",
        "expected an amount of money, found text",
        "write it without quotes",
        "an amount can't be negative",
        "a price of a million tokens has at most 6 decimals",
        "there is no field `outptu`",
        "did you mean `output`?",
        "`output` is missing",
        "expected an amount of money, found true or false",
        "the price of `openai/n` is there twice",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
}

#[test]
fn what_is_probably_a_slip_is_warned_of() {
    let config = Scenario::of("[[price]]\nmodel = \"m\"\nprovider = \"opnai\"\ninput = 1\noutput = 1\n")
        .load()
        .unwrap();
    let warnings: Vec<String> = config.warnings.iter().map(|warning| warning.message.clone()).collect();
    assert_eq!(warnings, ["there is no provider `opnai`"]);
    let ours = "[[price]]\nmodel = \"fast\"\nprovider = \"openai\"\ninput = 1\noutput = 1\n";
    assert!(Scenario::of(ours).refused().contains("`fast` is our name; here stands the provider's own"));
}

#[test]
fn the_reference_shows_prices_as_they_hold() {
    let resolved = show(&Scenario::of(PRICES).source).unwrap_or_else(|error| panic!("{error}"));
    let told = |path: &str| format!("{:?}", resolved.top.at(path).expect("it is there").content);
    assert!(told("currency").contains("String(\"EUR\")"), "{}", told("currency"));
    assert!(
        told("price.gpt-4o-mini.cached").contains("Number(0.075)"),
        "{}",
        told("price.gpt-4o-mini.cached")
    );
    assert!(told("price.1.cached").contains("that of `input`"), "{}", told("price.1.cached"));
}
