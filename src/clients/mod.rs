//! Who may call the gateway, and how much.

mod account;
mod book;
mod spec;
mod token;

pub use account::{Claim, Now, Refused};
pub use book::{Admission, Client, Clients, NotKnown};
pub use spec::ClientSpec;
pub use token::{NoHash, TokenHash};
