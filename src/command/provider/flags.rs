//! Flags that several verbs share: what is written of a key.

use crate::config::KeyFields;

/// What is written of a key beside its secret.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The key's fields")]
pub(super) struct FieldFlags {
    /// The account whose limits it shares with other keys
    #[arg(long, value_name = "GROUP")]
    quota_group: Option<String>,
    /// Its share under `pick = "weighted"`
    #[arg(long, value_name = "N")]
    weight: Option<u64>,
    /// Requests in any second
    #[arg(long, value_name = "N")]
    rps: Option<u64>,
    /// Requests in any minute
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Requests in any day
    #[arg(long, value_name = "N")]
    rpd: Option<u64>,
    /// Tokens in any minute
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Tokens in any day
    #[arg(long, value_name = "N")]
    tpd: Option<u64>,
    /// Tokens of input in any minute
    #[arg(long, value_name = "N")]
    itpm: Option<u64>,
    /// Tokens of input in any day
    #[arg(long, value_name = "N")]
    itpd: Option<u64>,
    /// Tokens of output in any minute
    #[arg(long, value_name = "N")]
    otpm: Option<u64>,
    /// Tokens of output in any day
    #[arg(long, value_name = "N")]
    otpd: Option<u64>,
    /// Requests at once, refilled at --rps or --rpm: a token bucket
    #[arg(long, value_name = "N")]
    burst: Option<u64>,
    /// Calls at once
    #[arg(long, value_name = "N")]
    concurrency: Option<u64>,
    /// The models it serves, by the provider's names [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    models: Option<Vec<String>>,
}

impl FieldFlags {
    /// The fields, without a secret.
    pub(super) fn fields(&self) -> KeyFields {
        let limits = [
            ("rps", self.rps),
            ("rpm", self.rpm),
            ("rpd", self.rpd),
            ("tpm", self.tpm),
            ("tpd", self.tpd),
            ("itpm", self.itpm),
            ("itpd", self.itpd),
            ("otpm", self.otpm),
            ("otpd", self.otpd),
            ("burst", self.burst),
            ("concurrency", self.concurrency),
        ];
        let models = self.models.as_ref();
        KeyFields {
            quota_group: self.quota_group.clone(),
            weight: self.weight,
            limits: limits.into_iter().filter_map(|(name, count)| Some((name, count?))).collect(),
            models: models.map(|models| models.iter().filter(|name| !name.is_empty()).cloned().collect()),
            ..KeyFields::default()
        }
    }

    /// Whether any of them was given.
    pub(super) fn say_something(&self) -> bool {
        let fields = self.fields();
        let texts = fields.quota_group.is_some() || fields.models.is_some();
        texts || fields.weight.is_some() || !fields.limits.is_empty()
    }
}
