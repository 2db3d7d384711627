//! The end of a run: the lines that newer ones have taken the place of leave the files.
//!
//! New files are written beside the old ones and made certain. Then the new journal gets the name that says
//! so; from there on the new files only have to take their places, which the next start can do as well.

use std::fs::File;
use std::io::{self, BufReader, Read as _};

use super::header::Header;
use super::log::Files;
use super::read::Records;
use super::record::Ends;
use super::recover::text_of;
use super::rewrite::Rewrite;
use super::superseded::Bits;
use crate::batch::output::paths::Paths;

/// Read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes the lines of `files` that aren't `superseded` into new files, and puts those in their places.
///
/// # Errors
/// If a file can't be written; the old ones are then as they were.
pub(in crate::batch::output) fn compact(
    files: &mut Files,
    ends: Ends,
    superseded: &Bits,
    header: Header,
    paths: &Paths,
) -> io::Result<()> {
    let written = write_new(files, ends, superseded, header, paths);
    // The lock on the new journal is held until it is in its place.
    let _new = written.inspect_err(|_| paths.remove_unfinished())?;
    paths.commit()
}

fn write_new(
    files: &mut Files,
    ends: Ends,
    superseded: &Bits,
    header: Header,
    paths: &Paths,
) -> io::Result<Rewrite> {
    let mut records = Records::of(&files.journal)?;
    let errors = files.errors.text()?;
    let mut errors = BufReader::with_capacity(BUFFER_BYTES, errors.take(ends.errors));
    let packing = files.packing;
    let mut text = text_of(files, ends)?;
    let mut new = Rewrite::begin(File::create(paths.next_out())?, packing, header, paths)?;
    let (mut line_text, mut error_text) = (Vec::new(), Vec::new());
    let mut number = 0;
    while let Some(record) = records.next_line()? {
        line_text.resize(record.bytes as usize, 0);
        text.read_exact(&mut line_text)?;
        error_text.resize(record.error_bytes as usize, 0);
        errors.read_exact(&mut error_text)?;
        if !superseded.contains(number) {
            new.add(&record, &line_text, &error_text)?;
        }
        number += 1;
    }
    new.finish()?;
    Ok(new)
}
