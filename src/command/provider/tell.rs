//! What is told on stdout: for people, or as one line of JSON.

use comfy_table::{Table, presets};

pub(super) use crate::command::ending::Reader;
use crate::ui::style::{Colour, Style};

/// How something is, in one character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// It takes part.
    On,
    /// It takes no part.
    Off,
    /// Something about it isn't known here.
    Unknown,
}

impl Mark {
    const ALL: [Self; 3] = [Self::On, Self::Off, Self::Unknown];

    const fn sign(self) -> &'static str {
        match self {
            Self::On => "●",
            Self::Off => "○",
            Self::Unknown => "?",
        }
    }

    const fn colour(self) -> Colour {
        match self {
            Self::On => Colour::Green,
            Self::Off => Colour::Grey,
            Self::Unknown => Colour::Yellow,
        }
    }
}

/// A table whose rows begin with a mark. Columns of which all cells are empty are left out.
pub(super) fn table<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: &[(Mark, [String; COLUMNS])],
    style: Style,
) -> String {
    let is_shown = |column: &usize| rows.iter().any(|(_, cells)| !cells[*column].is_empty());
    let columns: Vec<usize> = (0..COLUMNS).filter(is_shown).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(std::iter::once("").chain(columns.iter().map(|column| head[*column])));
    for (mark, cells) in rows {
        table.add_row(
            std::iter::once(mark.sign()).chain(columns.iter().map(|column| cells[*column].as_str())),
        );
    }
    // The marks are painted last: the table would count the escape sequences as letters.
    let lines: Vec<String> = table.trim_fmt().lines().map(|line| paint_mark(line, style)).collect();
    lines.join("\n")
}

fn paint_mark(line: &str, style: Style) -> String {
    let begun = line.trim_start();
    match Mark::ALL.into_iter().find(|mark| begun.starts_with(mark.sign())) {
        Some(mark) => line.replacen(mark.sign(), &style.paint(mark.colour(), mark.sign()), 1),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_what_there_is_and_paints_its_marks() {
        let row = |mark, cells: [&str; 3]| (mark, cells.map(str::to_owned));
        let rows = [row(Mark::On, ["a", "", "1"]), row(Mark::Off, ["bc", "", "23"])];
        assert_eq!(
            table(["key", "group", "weight"], &rows, Style::Plain),
            "    key  weight\n ●  a    1\n ○  bc   23"
        );
        assert!(
            table(["key", "group", "weight"], &rows, Style::Coloured).contains("\u{1b}[32m●\u{1b}[0m  a ")
        );
    }
}
