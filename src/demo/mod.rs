//! Ten unequal keys, two providers and a few accidents: what `keywheel demo` plays.

mod prompts;
mod stage;

pub use prompts::{PROMPTS, rows};
pub use stage::{HOME, NEXT_DOOR, home, next_door, wheel};
