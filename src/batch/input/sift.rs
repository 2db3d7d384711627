//! The rows that are to be answered: not those that an earlier run has written, and each name once.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::hash::RowHash;
use super::meter::Meter;
use super::reading::OnDuplicate;
use super::row::{Rejected, Row};
use super::rows::{ReadRow, Rows};
use super::seen::{Seen, Sighting};
use crate::batch::output::ordered::feed::{OrderFeed, Placed};
use crate::batch::show::progress::Progress;

/// The rows of an input that are to be answered.
#[derive(Debug)]
pub(in crate::batch) struct Sift {
    rows: Rows,
    meter: Meter,
    seen: Seen,
    /// Hears of every row in its place, if the output keeps their order.
    order: Option<OrderFeed>,
    /// The row that was just passed over because it has its line.
    passed_over: Option<(u64, RowHash)>,
    progress: Arc<Progress>,
    /// How many rows had this name, of names that more than one had.
    namesakes: HashMap<u64, u64>,
}

impl Sift {
    /// Tells `progress` of each row.
    pub(in crate::batch) fn new(
        rows: Rows,
        seen: Seen,
        order: Option<OrderFeed>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            meter: rows.meter(),
            rows,
            seen,
            order,
            passed_over: None,
            progress,
            namesakes: HashMap::new(),
        }
    }

    /// The row, unless it is passed over.
    fn sift(&mut self, row: ReadRow) -> Option<ReadRow> {
        match row {
            Ok(row) => match self.seen.note(row.hash) {
                Sighting::First | Sighting::Changed => Some(Ok(row)),
                Sighting::Done => self.pass_over_done(row.line, row.hash),
                Sighting::Again => self.duplicate(row),
            },
            Err(rejected) => self.rejected(rejected),
        }
    }

    fn duplicate(&mut self, row: Row) -> Option<ReadRow> {
        match self.rows.on_duplicate() {
            OnDuplicate::Refuse | OnDuplicate::FailRow => {
                self.reject(Rejected::duplicate(row.line, row.custom_id).of_line(self.rows.raw()))
            }
            OnDuplicate::Skip => {
                self.progress.note_duplicate_skipped();
                None
            }
            OnDuplicate::Suffix => self.renamed(row),
        }
    }

    /// The row under the next name that is free: `a#2` for the second row `a`.
    fn renamed(&mut self, row: Row) -> Option<ReadRow> {
        let count = self.namesakes.entry(row.hash.id).or_insert(1);
        loop {
            *count += 1;
            let custom_id = format!("{}#{count}", row.custom_id);
            let hash = row.hash.renamed(&custom_id);
            match self.seen.note(hash) {
                Sighting::First | Sighting::Changed => return Some(Ok(Row { custom_id, hash, ..row })),
                Sighting::Done => return self.pass_over_done(row.line, hash),
                Sighting::Again => {}
            }
        }
    }

    /// A row that can't be sent. Where later rows of its name are refused, it holds the name.
    fn rejected(&mut self, rejected: Rejected) -> Option<ReadRow> {
        let holds_name = match self.rows.on_duplicate() {
            OnDuplicate::Refuse | OnDuplicate::FailRow => rejected.custom_id.as_ref(),
            // There it would keep a row from being run that has no answer yet.
            OnDuplicate::Skip | OnDuplicate::Suffix => None,
        };
        match holds_name {
            Some(name) if self.seen.note(RowHash::of_name(name)) == Sighting::Again => {
                let duplicate = Rejected::duplicate(rejected.line, name.clone());
                self.reject(duplicate.of_line(rejected.raw))
            }
            Some(_) | None => self.reject(rejected),
        }
    }

    fn reject(&mut self, rejected: Rejected) -> Option<ReadRow> {
        match self.seen.note(rejected.hash) {
            Sighting::Done => self.pass_over_done(rejected.line, rejected.hash),
            Sighting::First | Sighting::Again | Sighting::Changed => Some(Err(rejected)),
        }
    }

    fn pass_over_done(&mut self, line: u64, hash: RowHash) -> Option<ReadRow> {
        self.progress.note_done_before();
        self.passed_over = Some((line, hash));
        None
    }

    /// Tells the output of the row's place: one that is run, or one that was just passed over.
    fn place(&mut self, row: Option<&ReadRow>) -> io::Result<()> {
        let passed_over = self.passed_over.take();
        let Some(order) = &mut self.order else {
            return Ok(());
        };
        match (row, passed_over) {
            (Some(Ok(row)), _) => order.note(row.line, row.hash, Placed::Runs),
            (Some(Err(rejected)), _) => order.note(rejected.line, rejected.hash, Placed::Runs),
            (None, Some((line, hash))) => order.note(line, hash, Placed::Done),
            (None, None) => Ok(()),
        }
    }
}

impl Iterator for Sift {
    type Item = io::Result<ReadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row = self.rows.next();
            self.progress.note_bytes_read(self.meter.bytes());
            let row = match row {
                Some(Ok(row)) => row,
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.progress.note_input_over();
                    return None;
                }
            };
            let row = self.sift(row);
            if let Err(error) = self.place(row.as_ref()) {
                return Some(Err(error));
            }
            if let Some(row) = row {
                self.progress.note_row();
                return Some(Ok(row));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::batch::input::packing::Packing;
    use crate::batch::input::reading::Reading;
    use crate::batch::input::source::{Input, Source};

    fn row(id: &str) -> String {
        format!(r#"{{"custom_id":"{id}","url":"/v1/x","body":{{"model":"m"}}}}"#)
    }

    /// What is to be answered: `LINE ID` for rows, `LINE CODE` for rejected ones; and what was passed over.
    fn sifted(on_duplicate: OnDuplicate, seen: Seen, lines: &[String]) -> (Vec<String>, Progress) {
        let source = Source {
            reader: Box::new(Cursor::new(lines.join("\n"))),
            packing: Packing::Plain,
            name: "in".to_owned(),
            bytes_total: None,
        };
        let input = Input::open(source, Reading { on_duplicate, ..Reading::default() }).unwrap();
        let progress = Arc::new(Progress::new(None));
        let told =
            Sift::new(input.into_rows(), seen, None, Arc::clone(&progress)).map(|row| match row.unwrap() {
                Ok(row) => format!("{} {}", row.line, row.custom_id),
                Err(rejected) => format!("{} {}", rejected.line, rejected.code),
            });
        let told = told.collect();
        (told, Arc::into_inner(progress).unwrap())
    }

    #[test]
    fn later_rows_of_a_name_fail() {
        let lines = [row("a"), row("a"), "{\"custom_id\":\"b\",\"body\":1}".to_owned(), row("b"), row("c")];
        for on_duplicate in [OnDuplicate::FailRow, OnDuplicate::Refuse] {
            let (told, progress) = sifted(on_duplicate, Seen::new(), &lines);
            let wanted = ["1 a", "2 duplicate_custom_id", "3 invalid_line", "4 duplicate_custom_id", "5 c"];
            assert_eq!(told, wanted);
            assert_eq!(progress.rows_read(), 5);
            assert!(progress.input_over());
        }
    }

    #[test]
    fn a_duplicate_keeps_the_text_of_its_line() {
        let text = format!("{}\n{}", row("a"), row("a"));
        let rows = Input::new(Cursor::new(text), None).into_rows();
        let mut sift = Sift::new(rows, Seen::new(), None, Arc::default());
        assert!(sift.next().unwrap().unwrap().is_ok());
        assert_eq!(sift.next().unwrap().unwrap().unwrap_err().raw, row("a"));
    }

    #[test]
    fn later_rows_of_a_name_are_passed_over() {
        let lines = [row("a"), row("a"), "{\"custom_id\":\"b\",\"body\":1}".to_owned(), row("b")];
        let (told, progress) = sifted(OnDuplicate::Skip, Seen::new(), &lines);
        assert_eq!(told, ["1 a", "3 invalid_line", "4 b"]);
        assert_eq!((progress.rows_read(), progress.duplicates_skipped()), (3, 1));
    }

    #[test]
    fn later_rows_of_a_name_get_the_next_free_one() {
        let lines = [row("a"), row("a#2"), row("a"), row("b"), row("a"), row("a#2")];
        let (told, _) = sifted(OnDuplicate::Suffix, Seen::new(), &lines);
        assert_eq!(told, ["1 a", "2 a#2", "3 a#3", "4 b", "5 a#4", "6 a#2#2"]);
    }

    #[test]
    fn what_an_earlier_run_has_written_is_passed_over_unless_it_changed() {
        let lines = [row("a"), row("b"), "{".to_owned(), row("a"), row("c"), row("c")];
        let mut seen = Seen::remembering();
        seen.remember(RowHash::of("a", "/x", br#"{"model":"m"}"#));
        seen.remember(RowHash::of("b", "/x", br#"{"model":"other"}"#));
        seen.remember(RowHash::of("c#2", "/x", br#"{"model":"m"}"#));
        seen.remember(RowHash::of_rejected(3, b"{"));
        let (told, progress) = sifted(OnDuplicate::Suffix, seen, &lines);
        assert_eq!(told, ["2 b", "4 a#2", "5 c"]);
        assert_eq!((progress.rows_read(), progress.done_before()), (3, 3));
    }
}
