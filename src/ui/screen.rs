//! The only place that prints while something runs.
//!
//! On a terminal a block of lines is redrawn in place; in a pipe single lines
//! follow one another; a quiet screen shows nothing.

use std::io::Write as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::style::Style;

/// Redraws a second at most: more can't be read, and slow terminals fall behind.
const REDRAWS_PER_SECOND_MAX: u8 = 10;

/// Where progress is shown. It always goes to stderr: stdout belongs to results.
#[derive(Debug)]
pub enum Screen {
    /// A block of lines, redrawn in place.
    Live(Block),
    /// One plain line now and then.
    Lines,
    /// One JSON object a second, for programs.
    Json,
    /// Nothing.
    Quiet,
}

impl Screen {
    /// A block for a terminal, lines for a pipe.
    pub fn for_stderr(is_terminal: bool, style: Style) -> Self {
        if is_terminal { Self::Live(Block::on_stderr(style)) } else { Self::Lines }
    }
}

/// A block of lines on a terminal.
#[derive(Debug)]
pub struct Block {
    style: Style,
    multi: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Block {
    fn on_stderr(style: Style) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND_MAX);
        Self { style, multi: MultiProgress::with_draw_target(target), lines: Vec::new() }
    }

    /// Whether its lines may have colours.
    pub const fn style(&self) -> Style {
        self.style
    }

    /// Cells of a line of the terminal.
    pub fn width(&self) -> usize {
        let (_, columns) = console::Term::stderr().size();
        usize::from(columns)
    }

    /// Shows these lines in place of the ones before; each is cut to the terminal's width.
    pub fn show(&mut self, lines: &[String]) {
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                self.multi.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            self.lines.push(self.multi.add(line()));
        }
        for (place, line) in self.lines.iter().zip(lines) {
            place.set_message(line.clone());
        }
    }

    /// Takes the block off the terminal, so that what follows stands in its place.
    pub fn clear(&mut self) {
        for line in self.lines.drain(..) {
            line.finish_and_clear();
        }
        // A terminal that is gone can't be cleared, and nobody is there to be told.
        let _ = self.multi.clear();
    }
}

/// Prints one line to stderr.
///
/// A reader of stderr that went away is no reason to end a run: what can't be written is dropped.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A progress bar that is nothing but its message: indicatif cuts it to the width of the terminal.
fn line() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_grows_and_shrinks_with_its_lines() {
        let mut block = Block {
            style: Style::Plain,
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            lines: Vec::new(),
        };
        for texts in [vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], vec!["d".to_owned()]] {
            block.show(&texts);
            let shown: Vec<String> = block.lines.iter().map(ProgressBar::message).collect();
            assert_eq!(shown, texts);
        }
        block.clear();
        assert!(block.lines.is_empty());
    }
}
