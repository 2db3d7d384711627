//! Who may call the gateway, and how much.

mod spec;
mod token;

pub use spec::ClientSpec;
pub use token::{NoHash, TokenHash};
