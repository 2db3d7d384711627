//! What a test of a key found.

use serde::Serialize;

/// What a test found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The provider takes the key.
    Valid,
    /// It takes the key, but not right now.
    Throttled,
    /// It takes the key, but a day's or a month's quota is used up.
    QuotaUsedUp,
    /// The key is wrong, revoked, expired or restricted.
    WrongKey,
    /// The account behind the key is banned.
    AccountBanned,
    /// The account has no money, or has reached a spending limit.
    NoMoney,
    /// The provider doesn't serve our region.
    RegionDenied,
    /// The key may not do what the test does; other calls may be allowed.
    RightMissing,
    /// There is nothing at the address of the test.
    NotFound,
    /// The address leads elsewhere.
    Redirected,
    /// A page for people, or something else that isn't the API.
    NotTheApi,
    /// The provider itself is in trouble.
    ProviderIll,
    /// No answer came.
    Unreachable,
    /// Nothing is known that would test such a key for free.
    Untestable,
    /// The answer could not be understood.
    Unclear,
}

/// Whether a key can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The provider knows the key and serves it, if not at once.
    Valid,
    /// It won't be served until somebody mends it.
    Invalid,
    /// Nobody can tell.
    Unknown,
}

impl Finding {
    /// What follows for the key.
    pub const fn standing(self) -> Standing {
        match self {
            Self::Valid | Self::Throttled | Self::QuotaUsedUp => Standing::Valid,
            Self::WrongKey | Self::AccountBanned | Self::NoMoney | Self::RegionDenied => Standing::Invalid,
            Self::RightMissing
            | Self::NotFound
            | Self::Redirected
            | Self::NotTheApi
            | Self::ProviderIll
            | Self::Unreachable
            | Self::Untestable
            | Self::Unclear => Standing::Unknown,
        }
    }

    /// Whether every other key of the same provider would find the same.
    pub const fn is_of_the_provider(self) -> bool {
        match self {
            Self::NotFound
            | Self::Redirected
            | Self::NotTheApi
            | Self::ProviderIll
            | Self::Unreachable
            | Self::Untestable => true,
            Self::Valid
            | Self::Throttled
            | Self::QuotaUsedUp
            | Self::WrongKey
            | Self::AccountBanned
            | Self::NoMoney
            | Self::RegionDenied
            | Self::RightMissing
            | Self::Unclear => false,
        }
    }

    /// In a few words, for tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Throttled => "valid, throttled now",
            Self::QuotaUsedUp => "valid, quota used up",
            Self::WrongKey => "wrong key",
            Self::AccountBanned => "account banned",
            Self::NoMoney => "no money",
            Self::RegionDenied => "region denied",
            Self::RightMissing => "right missing",
            Self::NotFound => "not found",
            Self::Redirected => "redirected",
            Self::NotTheApi => "not the API",
            Self::ProviderIll => "provider in trouble",
            Self::Unreachable => "unreachable",
            Self::Untestable => "can't be tested",
            Self::Unclear => "unclear",
        }
    }
}
