//! Who may call the gateway, and how much.

mod account;
mod book;
mod keeper;
mod spec;
mod token;

pub use account::{AccountMemory, Claim, Now, Refused, Share};
pub use book::{Admission, Client, Clients, NotKnown, Place, Strangers};
pub use keeper::Keeper;
pub use spec::ClientSpec;
pub use token::{NoHash, TokenHash};
