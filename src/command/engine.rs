//! From a specification to a running wheel, the same way for every verb.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;
use keywheel_actors::Wheel;
use keywheel_actors::spec::WheelSpec;
use keywheel_actors::upstream::{HttpOptions, Wire};

use crate::config::Source;
use crate::ui::screen::Screen;
use crate::ui::style::Style;

/// Starts a wheel over real sockets.
///
/// # Errors
/// If there is no HTTP client or no actor system to be had.
pub fn start(spec: WheelSpec) -> anyhow::Result<Wheel> {
    let connect = spec.providers.iter().map(|provider| provider.timeouts.connect).max();
    let options =
        connect.map_or_else(HttpOptions::default, |connect_timeout| HttpOptions { connect_timeout });
    let upstream = Wire::new(options).context("can't set up the HTTP client")?;
    Wheel::start(spec, Arc::new(upstream)).context("can't start the wheel")
}

/// How to write to stderr.
pub fn style(source: &Source) -> Style {
    style_on(&io::stderr(), source)
}

/// How to write to stdout.
pub fn stdout_style(source: &Source) -> Style {
    style_on(&io::stdout(), source)
}

fn style_on(output: &impl io::IsTerminal, source: &Source) -> Style {
    let no_color = source.environment.iter().find(|(name, _)| name == "NO_COLOR");
    Style::choose(output.is_terminal(), no_color.map(|(_, value)| value.as_str()))
}

/// Where progress is shown.
pub fn screen(style: Style) -> Screen {
    Screen::for_stderr(io::stderr().is_terminal(), style)
}
