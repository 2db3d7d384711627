//! The `keywheel` binary: a table of contents.

use keywheel::cli::Cli;
use keywheel::exit::Exit;

fn main() -> Exit {
    Cli::of_process().run()
}
