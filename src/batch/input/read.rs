//! The thread that reads and parses the input.
//!
//! It stays a bounded number of rows ahead of the loop, so an input of any
//! length takes the memory of a few hundred rows.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc;

use super::seen::Seen;
use super::sift::Sift;
use super::source::Input;
use crate::batch::output::ordered::feed::OrderFeed;
use crate::batch::show::progress::Progress;

pub(in crate::batch) use super::rows::ReadRow;

/// Rows that the reader may be ahead: enough to hide a slow disk, little beside the window.
const ROWS_AHEAD_MAX: usize = 256;

/// Starts the reader. After the last row, or an error, the channel closes.
///
/// # Errors
/// If no thread can be had.
pub(in crate::batch) fn spawn(
    input: Input,
    seen: Seen,
    order: Option<OrderFeed>,
    progress: Arc<Progress>,
) -> io::Result<mpsc::Receiver<io::Result<ReadRow>>> {
    let (rows, taken) = mpsc::channel(ROWS_AHEAD_MAX);
    thread::Builder::new().name("batch-read".to_owned()).spawn(move || {
        for read in Sift::new(input.into_rows(), seen, order, progress) {
            let is_last = read.is_err();
            // A loop that takes no more rows has let go of its end: nobody is left to read for.
            if rows.blocking_send(read).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::*;

    fn row(id: &str) -> String {
        format!(r#"{{"custom_id":"{id}","url":"/v1/x","body":{{"model":"m"}}}}"#)
    }

    #[test]
    fn the_thread_ends_with_the_input_and_with_its_reader() {
        let progress = Arc::new(Progress::new(None));
        let input = Input::new(Cursor::new(format!("{}\n{}\n", row("a"), row("b"))), None);
        let mut rows = spawn(input, Seen::new(), None, Arc::clone(&progress)).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.blocking_recv() {
            found.push(row.unwrap().unwrap().custom_id);
        }
        assert_eq!(found, ["a", "b"]);
        assert!(progress.input_over());
    }

    #[test]
    fn an_error_of_the_input_comes_after_the_rows_before_it() {
        struct Unplugged;
        impl io::Read for Unplugged {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let reader = io::BufReader::new(Cursor::new(row("a") + "\n").chain(Unplugged));
        let progress = Arc::new(Progress::new(None));
        let mut rows = spawn(Input::new(reader, None), Seen::new(), None, Arc::clone(&progress)).unwrap();
        assert_eq!(rows.blocking_recv().unwrap().unwrap().unwrap().custom_id, "a");
        assert_eq!(rows.blocking_recv().unwrap().unwrap_err().to_string(), "unplugged");
        assert!(rows.blocking_recv().is_none());
        assert!(!progress.input_over());
    }
}
