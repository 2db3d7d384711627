//! Colours, or none.

/// Whether text is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// With ANSI colours.
    Coloured,
    /// As plain text.
    Plain,
}

/// The colours in use: the terminal's own, so that they fit its background.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colour {
    /// All is well.
    Green,
    /// Wait a little.
    Yellow,
    /// Out of order.
    Red,
    /// Beside the point.
    Grey,
}

impl Style {
    /// Colours for a terminal, unless its owner wants none.
    ///
    /// `no_color` is the variable `NO_COLOR`: set and not empty, it switches colours off
    /// (<https://no-color.org>).
    pub fn choose(is_terminal: bool, no_color: Option<&str>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        if is_terminal && !unwanted { Self::Coloured } else { Self::Plain }
    }

    /// `text` in `colour`; nothing stays nothing.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        /// SGR parameters, ECMA-48 §8.3.117; 90 is the bright black that all terminals know.
        const fn parameter(colour: Colour) -> u8 {
            match colour {
                Colour::Green => 32,
                Colour::Yellow => 33,
                Colour::Red => 31,
                Colour::Grey => 90,
            }
        }
        match self {
            Self::Coloured if !text.is_empty() => format!("\u{1b}[{}m{text}\u{1b}[0m", parameter(colour)),
            Self::Coloured | Self::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_need_a_terminal_that_wants_them() {
        assert_eq!(Style::choose(true, None), Style::Coloured);
        assert_eq!(Style::choose(true, Some("")), Style::Coloured);
        assert_eq!(Style::choose(true, Some("1")), Style::Plain);
        assert_eq!(Style::choose(false, None), Style::Plain);
    }

    #[test]
    fn paints_or_leaves_alone() {
        assert_eq!(Style::Coloured.paint(Colour::Red, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Style::Coloured.paint(Colour::Red, ""), "");
        assert_eq!(Style::Plain.paint(Colour::Red, "x"), "x");
    }
}
