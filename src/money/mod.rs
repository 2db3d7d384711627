//! Money, exactly: amounts, the prices of models, and what calls cost by them.
//!
//! Amounts are whole numbers of 10⁻¹² units of the currency, so no sum ever
//! drifts: a million rows cost what their parts cost. Nothing here knows where
//! prices are written or what is done about a sum.

mod amount;
mod price;

pub use amount::{Currency, Money, NotMoney};
pub use price::{Price, PricedModels, Prices, Rate};
