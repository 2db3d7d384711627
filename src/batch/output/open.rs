//! An output is opened before the first call: a wrong path costs nothing, and what is done is known.

mod refuse;
mod spool;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::error_file::ErrorFile;
use super::format::Format;
use super::journal::header::Header;
use super::journal::log::{Files, Log};
use super::journal::read::Records;
use super::journal::record::{Ends, Kind, LineRecord, RECORD_BYTES};
use super::journal::recover::{Recovered, each_line, recover};
use super::order::Order;
use super::ordered::feed::OrderFeed;
use super::pack::Packing;
use super::paths::{Paths, sync_directory};
use super::sink::{Journaled, Repeats, Sink, Stream};
use super::write::{self, Writer};
use crate::batch::input::hash::RowHash;
use crate::batch::input::seen::Seen;
use crate::exit::UsageError;

use refuse::{
    agree, cant_go_on, cant_write, errors_hash, has_text, lock, refuse_homeless, refuse_locked,
    refuse_strange,
};
use spool::{Spooled, ordered, ordered_stream, spool_out};

/// Where the answers go, and what becomes of those that are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutputSpec {
    /// A file, or something else that can be written to; `None` is stdout.
    pub path: Option<PathBuf>,
    /// Where the rows that failed go; beside a file if nobody says.
    pub errors: Option<PathBuf>,
    /// The form of the lines.
    pub format: Format,
    /// Their order.
    pub order: Order,
    /// What becomes of a file that is there.
    pub existing: Existing,
}

/// What an [`OutputSpec`] calls its error file.
pub const ERROR_FILE: &str = "the error file";

impl OutputSpec {
    /// Every file that a run may write, with what it is.
    pub fn files(&self) -> Vec<(PathBuf, &'static str)> {
        let Some(out) = &self.path else {
            return self.errors.iter().map(|errors| (errors.clone(), ERROR_FILE)).collect();
        };
        let paths = Paths::of(out, self.errors.as_deref());
        let mut files = vec![
            (paths.out.clone(), "the output"),
            (paths.errors.clone(), ERROR_FILE),
            (paths.journal(), "the output's journal"),
        ];
        let passing = [
            paths.tail(),
            paths.spool(),
            paths.next_journal(),
            paths.unfinished_journal(),
            paths.next_out(),
            paths.next_errors(),
        ];
        files.extend(passing.map(|path| (path, "a file that the output needs for itself")));
        files
    }
}

/// What becomes of an output that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// The run goes on with it, if it is ours.
    GoOn(Retry),
    /// It is replaced.
    Replace,
}

/// Which rows of earlier runs are run again although they didn't change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// None.
    Nothing,
    /// Those that failed for a reason that may pass.
    WhatMayPass,
}

/// An output that takes lines.
pub struct Output {
    sink: Box<dyn Sink>,
    format: Format,
    seen: Seen,
    feed: Option<OrderFeed>,
    resumed: Option<Resumed>,
    errors: Option<PathBuf>,
}

/// An output that is being written.
pub(in crate::batch) struct Opened {
    /// The rows that have their line.
    pub seen: Seen,
    /// Wants to hear of every row in its place, if the output keeps their order.
    pub feed: Option<OrderFeed>,
    /// Where the rows that failed go.
    pub errors: Option<PathBuf>,
    /// The thread that writes.
    pub writer: Writer,
}

/// What earlier runs have left.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Resumed {
    /// Lines of rows that won't run again unless they are changed.
    pub done: u64,
    /// Lines of rows that failed for a reason that may pass.
    pub may_pass: u64,
    /// Whether the last run was cut off, so that something had to be repaired.
    pub is_repaired: bool,
    /// Lines that OUT had for certain and has no more; their rows run again.
    pub gone: u64,
}

impl Output {
    /// Lines in OpenAI's form, in order of completion, to something that nobody can go on with.
    pub fn stream(out: impl Write + Send + 'static) -> Self {
        Self::written_to(out, Format::default(), ErrorFile::none(), None)
    }

    fn written_to(
        out: impl Write + Send + 'static,
        format: Format,
        errors: ErrorFile,
        errors_path: Option<PathBuf>,
    ) -> Self {
        let sink = Box::new(Stream::new(out, errors));
        Self { sink, format, seen: Seen::new(), feed: None, resumed: None, errors: errors_path }
    }

    /// Opens what `spec` names. Nothing that is there is lost, unless it is to be replaced.
    ///
    /// # Errors
    /// [`UsageError`] if it can't be gone on with; else what the system says.
    pub fn open(spec: &OutputSpec) -> anyhow::Result<Self> {
        let Some(path) = &spec.path else {
            return Self::streamed(spec, io::stdout());
        };
        if fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            // A pipe or a device: it has no end to go on behind.
            let file = OpenOptions::new().write(true).open(path).map_err(|error| cant_write(path, &error))?;
            return Self::streamed(spec, file);
        }
        let paths = Paths::of(path, spec.errors.as_deref());
        refuse_homeless(&paths.out)?;
        refuse_homeless(&paths.errors)?;
        // What another run has begun beside OUT looks like what a killed one has left.
        let before = refuse_locked(&paths)?;
        let settled = match spec.existing {
            Existing::Replace => paths.remove_all(),
            Existing::GoOn(_) => paths.go_on(),
        };
        settled.map_err(|error| cant_write(path, &error))?;
        drop(before);
        Self::journaled(spec, paths)
    }

    fn streamed(spec: &OutputSpec, out: impl Write + Send + 'static) -> anyhow::Result<Self> {
        let errors = match &spec.errors {
            None => ErrorFile::none(),
            Some(path) => {
                refuse_homeless(path)?;
                if spec.existing == Existing::Replace {
                    // It may not be there.
                    let _ = fs::remove_file(path);
                }
                refuse_strange(path, "--errors")?;
                ErrorFile::at(path.clone()).map_err(|error| cant_write(path, &error))?
            }
        };
        match spec.order {
            Order::Completion => Ok(Self::written_to(out, spec.format, errors, spec.errors.clone())),
            Order::Input => {
                let begun = ordered_stream(out, errors).context("can't make files for lines that wait")?;
                let (sink, feed) = (Box::new(begun.0), Some(begun.1));
                let (seen, resumed, errors) = (Seen::new(), None, spec.errors.clone());
                Ok(Self { sink, format: spec.format, seen, feed, resumed, errors })
            }
        }
    }

    fn journaled(spec: &OutputSpec, paths: Paths) -> anyhow::Result<Self> {
        let header = Header { format: spec.format, order: spec.order, errors: errors_hash(&paths) };
        let begun = begun(&paths, header)?;
        let spooled = match (spec.order, &begun.state) {
            (Order::Input, State::GoesOn) => {
                spool_out(&paths).map_err(|error| cant_write(&paths.spool(), &error))?
            }
            (Order::Completion | Order::Input, _) => Spooled::Before,
        };
        let mut files = files(&paths, spec.order, begun.journal)?;
        let mut seen = Seen::new();
        let (found, resumed) = match begun.state {
            State::Fresh { gone: 0 } => (nothing(), None),
            State::Fresh { gone } => {
                (nothing(), Some(Resumed { is_repaired: true, gone, ..Resumed::default() }))
            }
            State::GoesOn => {
                let found = recover(&mut files).map_err(|error| {
                    // What was written by somebody else stays where it is.
                    spooled.undo(&paths);
                    cant_go_on(&paths, error)
                })?;
                seen = Seen::remembering();
                let resumed = remember(&files.journal, &found, retry(spec), &mut seen)
                    .with_context(|| format!("can't read {}", paths.journal().display()))?;
                (found, Some(resumed))
            }
        };
        let repeats = match found.lines {
            0 => Repeats::Never,
            _ if found.is_tidy => Repeats::NotYet,
            _ => Repeats::Perhaps,
        };
        let log = Log::begin(files, found.ends, found.journal_bytes);
        let log = log.map_err(|error| cant_write(&paths.out, &error))?;
        let errors = Some(paths.errors.clone());
        let (sink, feed): (Box<dyn Sink>, _) = match spec.order {
            Order::Completion => {
                (Box::new(Journaled { log, header, paths, lines: found.lines, repeats }), None)
            }
            Order::Input => {
                let begun = ordered(log, &found, header, &paths);
                let (sink, feed) = begun.map_err(|error| cant_write(&paths.out, &error))?;
                (Box::new(sink), Some(feed))
            }
        };
        Ok(Self { sink, format: spec.format, seen, feed, resumed, errors })
    }

    /// Starts to write.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(in crate::batch) fn start(self) -> io::Result<Opened> {
        let writer = write::spawn(self.sink, self.format)?;
        Ok(Opened { seen: self.seen, feed: self.feed, errors: self.errors, writer })
    }

    /// The names in the input are known to be distinct: a run that begins needn't remember them.
    pub fn trust_names(&mut self) {
        if self.seen.is_fresh() {
            self.seen = Seen::of_distinct();
        }
    }

    /// What earlier runs have left; `None` if this is the first.
    pub const fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }
}

/// An output's journal as it was found.
struct Begun {
    journal: File,
    state: State,
}

enum State {
    /// There are no lines.
    Fresh {
        /// Lines that the journal knew: somebody has removed the output, and all its rows run again.
        gone: u64,
    },
    /// An earlier run has left some, perhaps.
    GoesOn,
}

/// Opens and locks the journal, or begins one if there is nothing that it would have to know.
fn begun(paths: &Paths, header: Header) -> anyhow::Result<Begun> {
    let path = paths.journal();
    if !path.exists() {
        refuse_strange(&paths.out, "--output")?;
        refuse_strange(&paths.errors, "--errors")?;
    }
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut journal = opened.map_err(|error| cant_write(&path, &error))?;
    lock(&journal, paths)?;
    let mut bytes = [0; RECORD_BYTES];
    let is_headed = journal.read_exact(&mut bytes).is_ok();
    let files = [&paths.out, &paths.errors, &paths.spool(), &paths.tail()];
    let has_lines = files.iter().any(|path| has_text(path));
    if !is_headed || !has_lines {
        // A run that was killed before its first line, or an output that somebody has removed.
        let gone = lines_of(&journal).map_err(|error| cant_write(&path, &error))?;
        refuse_strange(&paths.out, "--output")?;
        refuse_strange(&paths.errors, "--errors")?;
        journal.set_len(0)?;
        io::Seek::rewind(&mut journal)?;
        let headed = journal.write_all(&header.encode()).and_then(|()| journal.sync_data());
        headed.map_err(|error| cant_write(&path, &error))?;
        sync_directory(&path);
        return Ok(Begun { journal, state: State::Fresh { gone } });
    }
    match Header::decode(&bytes) {
        Some(found) => agree(paths, found, header)?,
        None => {
            return Err(UsageError {
                problem: format!("{} is no journal of this version", path.display()),
                hint: "choose another name with --output, or begin afresh with --force".to_owned(),
            }
            .into());
        }
    }
    Ok(Begun { journal, state: State::GoesOn })
}

/// How many lines a journal tells of; none if it isn't one.
fn lines_of(journal: &File) -> io::Result<u64> {
    let mut records = Records::of(journal)?;
    let mut lines = 0;
    while records.next_line()?.is_some() {
        lines += 1;
    }
    Ok(lines)
}

/// The files of a log. In the order of the input it writes a spool, plain.
fn files(paths: &Paths, order: Order, journal: File) -> anyhow::Result<Files> {
    let (path, packing) = match order {
        Order::Completion => (paths.out.clone(), Packing::of(&paths.out)),
        Order::Input => (paths.spool(), Packing::Plain),
    };
    let open = |path: &Path| {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        opened.map_err(|error| cant_write(path, &error))
    };
    let tail = match packing {
        Packing::Plain => None,
        Packing::Gzip | Packing::Zstd => Some(open(&paths.tail())?),
    };
    let errors = ErrorFile::at(paths.errors.clone()).map_err(|error| cant_write(&paths.errors, &error))?;
    let out = open(&path)?;
    sync_directory(&paths.out);
    Ok(Files { out, packing, tail, errors, journal })
}

const fn nothing() -> Recovered {
    let ends = Ends { out: 0, errors: 0, tail: 0 };
    let journal_bytes = RECORD_BYTES as u64;
    Recovered { ends, journal_bytes, lines: 0, is_tidy: true, is_repaired: false, gone: 0 }
}

const fn retry(spec: &OutputSpec) -> Retry {
    match spec.existing {
        Existing::GoOn(retry) => retry,
        Existing::Replace => Retry::Nothing,
    }
}

/// Tells the reader which rows have their line.
fn remember(journal: &File, found: &Recovered, retry: Retry, seen: &mut Seen) -> io::Result<Resumed> {
    let mut resumed = Resumed { is_repaired: found.is_repaired, gone: found.gone, ..Resumed::default() };
    each_line(journal, found, |line| {
        match line.kind {
            Kind::MayPass => resumed.may_pass += 1,
            Kind::Ok | Kind::Failed | Kind::Rejected => {}
        }
        match remember_line(line, retry, seen) {
            Fate::Stays => resumed.done += 1,
            Fate::RunsAgain => {}
        }
    })?;
    Ok(resumed)
}

/// What becomes of a row that has a line.
pub(super) enum Fate {
    /// It runs again only if it is changed.
    Stays,
    /// It runs again in any case.
    RunsAgain,
}

/// Lets `seen` know of a line.
pub(super) fn remember_line(line: &LineRecord, retry: Retry, seen: &mut Seen) -> Fate {
    match (line.kind, retry) {
        (Kind::MayPass, Retry::WhatMayPass) => {
            // Of a row that once ended otherwise the last line counts.
            seen.remember(RowHash { content: !line.hash.content, ..line.hash });
            Fate::RunsAgain
        }
        (Kind::MayPass, Retry::Nothing) | (Kind::Ok | Kind::Failed | Kind::Rejected, _) => {
            seen.remember(line.hash);
            Fate::Stays
        }
    }
}

#[cfg(test)]
mod tests;
