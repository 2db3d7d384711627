//! The `keywheel` binary: a table of contents.

use clap::Parser as _;
use keywheel::cli::Cli;
use keywheel::exit::Exit;

fn main() -> Exit {
    Cli::parse().run()
}
