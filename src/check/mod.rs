//! Whether a key is good, learned by one cheap call that nobody pays for.
//!
//! What an answer means is the dialect's business; here it becomes a sentence for
//! people and advice on what to do. The verdict is pure, the call is made in one file.

mod answer;
mod call;
mod finding;
mod many;
mod report;
mod unreachable;
mod verdict;

pub use finding::{Finding, Standing};
pub use many::{Tested, each_key, each_provider};
pub use report::{Report, text};
pub use verdict::Verdict;
