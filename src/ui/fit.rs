//! Lines that fit a terminal: what matters most stands first, and what has no room is left out.

use super::style::{Colour, Style};

/// A piece of a line that is shown whole or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    text: String,
    colour: Option<Colour>,
}

impl Part {
    /// In the terminal's own colour.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: None }
    }

    /// In this colour.
    pub fn coloured(colour: Colour, text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: Some(colour) }
    }

    /// Cells it takes, as far as a character is a cell.
    pub fn cells(&self) -> usize {
        self.text.chars().count()
    }

    fn draw(&self, style: Style) -> String {
        match self.colour {
            Some(colour) => style.paint(colour, &self.text),
            None => self.text.clone(),
        }
    }
}

/// As many of `parts` as fit into `width` cells, with two blanks between them; the first one always.
pub fn fit(parts: &[Part], width: usize, style: Style) -> String {
    const BETWEEN: &str = "  ";
    let mut line = String::new();
    let mut cells = 0;
    for (place, part) in parts.iter().enumerate() {
        let more = if place == 0 { part.cells() } else { part.cells() + BETWEEN.len() };
        if place > 0 && cells + more > width {
            break;
        }
        if place > 0 {
            line.push_str(BETWEEN);
        }
        line.push_str(&part.draw(style));
        cells += more;
    }
    line
}

/// `text` in at most `cells_max` cells; a cut one ends with `…`.
pub fn cut(text: &str, cells_max: usize) -> String {
    if text.chars().count() <= cells_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(cells_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_left_out_from_the_end() {
        let parts = [Part::plain("rows"), Part::coloured(Colour::Green, "10 ok"), Part::plain("2 retried")];
        assert_eq!(fit(&parts, 80, Style::Plain), "rows  10 ok  2 retried");
        assert_eq!(fit(&parts, 22, Style::Plain), "rows  10 ok  2 retried");
        assert_eq!(fit(&parts, 21, Style::Plain), "rows  10 ok");
        assert_eq!(fit(&parts, 1, Style::Plain), "rows");
        assert_eq!(
            fit(&parts, 11, Style::Coloured),
            "rows  \u{1b}[32m10 ok\u{1b}[0m",
            "colours take no room"
        );
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("überlang", 8), "überlang");
        assert_eq!(cut("überlang", 5), "über…");
    }
}
