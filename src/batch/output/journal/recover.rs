//! What of an earlier run is certain: every line is compared with its checksum.
//!
//! A file that merely ends early was cut by a kill, a power cut or a full disk: what is missing runs again.
//! A file that says something else where it was certain has been edited, and that isn't ours to repair.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};

use super::log::Files;
use super::read::Records;
use super::record::{Ends, LineRecord, RECORD_BYTES, Record, sum_of};
use crate::batch::output::pack::Packing;

/// Read at once from the files of lines.
const BUFFER_BYTES: usize = 256 * 1024;

/// Where a run goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch::output) struct Recovered {
    /// How long the files are as far as they are whole.
    pub ends: Ends,
    /// How long the journal is.
    pub journal_bytes: u64,
    /// Lines in OUT.
    pub lines: u64,
    /// Whether no row has more than one.
    pub is_tidy: bool,
    /// Whether anything was behind these ends.
    pub is_repaired: bool,
    /// Lines that were certain once and aren't there any more.
    pub gone: u64,
}

/// Why a run can't go on.
#[derive(Debug, thiserror::Error)]
pub(in crate::batch::output) enum RecoverError {
    /// A line isn't the one that was written.
    #[error("line {0} isn't as it was written")]
    Edited(u64),
    /// So many lines are in OUT still, but not what belongs to them in the error file.
    #[error("the error file is shorter than it was, by what belongs to {0} lines")]
    ErrorsGone(u64),
    /// A file can't be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Finds where `files` are whole, and compares every line before. They aren't changed.
///
/// # Errors
/// [`RecoverError`].
pub(in crate::batch::output) fn recover(files: &mut Files) -> Result<Recovered, RecoverError> {
    let lengths = Lengths::of(files)?;
    refuse_errors_gone(files, lengths)?;
    let mut lines_max = u64::MAX;
    loop {
        let (found, certain_lines) = last_commit(&files.journal, lengths, lines_max)?;
        match first_unlike(files, &found)? {
            None => return Ok(Recovered { gone: certain_lines.saturating_sub(found.lines), ..found }),
            // What follows a line that is missing is missing too.
            Some(Unlike { line, why: Why::Missing }) => lines_max = line,
            Some(Unlike { line, why: Why::Differs }) if line >= certain_lines => lines_max = line,
            Some(Unlike { line, why: Why::Differs }) => return Err(RecoverError::Edited(line + 1)),
        }
    }
}

/// An error file that was certain and is gone, or shorter, was moved or edited by somebody. All lines since its
/// end would have to run again, answers that are still in OUT among them: that isn't done unasked.
fn refuse_errors_gone(files: &Files, lengths: Lengths) -> Result<(), RecoverError> {
    let whole_errors = Ends { errors: u64::MAX, ..lengths.ends };
    let (by_out, certain) = last_commit(&files.journal, Lengths { ends: whole_errors, ..lengths }, u64::MAX)?;
    let (by_both, _) = last_commit(&files.journal, lengths, u64::MAX)?;
    match by_out.lines.min(certain).saturating_sub(by_both.lines) {
        0 => Ok(()),
        lines => Err(RecoverError::ErrorsGone(lines)),
    }
}

/// How long the files are now.
#[derive(Clone, Copy)]
struct Lengths {
    ends: Ends,
    journal: u64,
}

impl Lengths {
    fn of(files: &Files) -> io::Result<Self> {
        let tail = files.tail.as_ref().map_or(Ok(0), length)?;
        let ends = Ends { out: length(&files.out)?, errors: files.errors.length()?, tail };
        Ok(Self { ends, journal: length(&files.journal)? })
    }

    const fn hold(&self, ends: Ends) -> bool {
        ends.out <= self.ends.out && ends.errors <= self.ends.errors && ends.tail <= self.ends.tail
    }
}

fn length(file: &File) -> io::Result<u64> {
    file.metadata().map(|about| about.len())
}

/// The last commit that the files can hold, with no more than `lines_max` lines; and the number of lines that
/// were certain at some time.
fn last_commit(journal: &File, lengths: Lengths, lines_max: u64) -> io::Result<(Recovered, u64)> {
    let mut records = Records::of(journal)?;
    let (mut at, mut lines, mut committed, mut certain) = (RECORD_BYTES as u64, 0, 0, 0);
    let mut found = Recovered {
        ends: Ends::default(),
        journal_bytes: at,
        lines: 0,
        is_tidy: true,
        is_repaired: false,
        gone: 0,
    };
    while let Some(record) = records.next_record()? {
        at += RECORD_BYTES as u64;
        match record {
            Record::Line(_) => lines += 1,
            Record::Commit(ends) => {
                committed = lines;
                if lines <= lines_max && lengths.hold(ends) {
                    found = Recovered { ends, journal_bytes: at, lines, is_tidy: false, ..found };
                }
            }
            Record::Synced | Record::Tidy => {
                certain = committed;
                if found.lines == lines {
                    found.journal_bytes = at;
                    found.is_tidy |= record == Record::Tidy;
                }
            }
        }
    }
    found.is_repaired = lengths.journal != found.journal_bytes || lengths.ends != found.ends;
    Ok((found, certain))
}

/// A line that isn't the one that its record tells of.
struct Unlike {
    /// Its number, from 0.
    line: u64,
    why: Why,
}

enum Why {
    /// The file ends within it, or can't be unpacked so far.
    Missing,
    /// It is another one.
    Differs,
}

fn first_unlike(files: &mut Files, found: &Recovered) -> io::Result<Option<Unlike>> {
    let mut records = Records::of(&files.journal)?;
    let errors = files.errors.text()?;
    let mut errors = BufReader::with_capacity(BUFFER_BYTES, errors.take(found.ends.errors));
    let mut text = text_of(files, found.ends)?;
    let (mut line_text, mut error_text) = (Vec::new(), Vec::new());
    for line in 0..found.lines {
        let Some(record) = records.next_line()? else {
            return Ok(Some(Unlike { line, why: Why::Missing }));
        };
        let is_there = fill(&mut text, &mut line_text, record.bytes)
            && fill(&mut errors, &mut error_text, record.error_bytes);
        if !is_there {
            return Ok(Some(Unlike { line, why: Why::Missing }));
        }
        if sum_of(&line_text, &error_text) != record.sum {
            return Ok(Some(Unlike { line, why: Why::Differs }));
        }
    }
    Ok(None)
}

/// All lines of a log as they were before they were compressed. The files' positions are shared.
pub(in crate::batch::output) fn text_of<'a>(
    files: &'a mut Files,
    ends: Ends,
) -> io::Result<Box<dyn Read + 'a>> {
    files.out.rewind()?;
    let packed = BufReader::with_capacity(BUFFER_BYTES, (&files.out).take(ends.out));
    // Nothing at all isn't a compressed file.
    let packing = if ends.out == 0 { Packing::Plain } else { files.packing };
    let out = packing.unpack(packed)?;
    Ok(match &mut files.tail {
        None => out,
        Some(tail) => {
            tail.rewind()?;
            Box::new(out.chain(tail.take(ends.tail)))
        }
    })
}

/// Reads so many bytes; whether they are there. What can't be unpacked isn't there either.
fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>, length: u32) -> bool {
    bytes.resize(length as usize, 0);
    reader.read_exact(bytes).is_ok()
}

/// Every line's record up to where `found` says, in order.
///
/// # Errors
/// If the journal can't be read.
pub(in crate::batch::output) fn each_line(
    journal: &File,
    found: &Recovered,
    mut tell: impl FnMut(&LineRecord),
) -> io::Result<()> {
    let mut records = Records::of(journal)?;
    for _ in 0..found.lines {
        match records.next_line()? {
            Some(line) => tell(&line),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Ok(())
}
