//! Opening an output in the order of the input: its lines are read from a spool.

use std::fs::{self, File};
use std::io::{self, Write};

use super::refuse::has_text;
use crate::batch::output::error_file::ErrorFile;
use crate::batch::output::journal::header::Header;
use crate::batch::output::journal::log::{Files, Log};
use crate::batch::output::journal::record::{Ends, RECORD_BYTES};
use crate::batch::output::journal::recover::{Recovered, each_line};
use crate::batch::output::journal::rewrite::{Packer, Rewrite};
use crate::batch::output::ordered::feed::OrderFeed;
use crate::batch::output::ordered::scratch::shared;
use crate::batch::output::ordered::sink::{Emission, Ordered};
use crate::batch::output::pack::Packing;
use crate::batch::output::paths::Paths;

/// How the spool came to be.
#[derive(Clone, Copy)]
pub(super) enum Spooled {
    /// It was there, or none is needed.
    Before,
    /// OUT was renamed.
    Renamed,
    /// OUT was unpacked.
    Unpacked,
}

impl Spooled {
    pub(super) fn undo(self, paths: &Paths) {
        // Whatever fails here, nothing is lost: the lines are in one of the two.
        let _ = match self {
            Self::Before => Ok(()),
            Self::Renamed => fs::rename(paths.spool(), &paths.out),
            Self::Unpacked => fs::remove_file(paths.spool()),
        };
    }
}

/// Makes a spool of an OUT that is whole: lines may have to come between those that it has.
pub(super) fn spool_out(paths: &Paths) -> io::Result<Spooled> {
    let spool = paths.spool();
    if spool.exists() || !paths.out.exists() {
        return Ok(Spooled::Before);
    }
    match Packing::of(&paths.out) {
        Packing::Plain => {
            fs::rename(&paths.out, &spool)?;
            Ok(Spooled::Renamed)
        }
        packing @ (Packing::Gzip | Packing::Zstd) => {
            let mut unpacked = File::create(paths.next_out())?;
            if has_text(&paths.out) {
                io::copy(&mut packing.unpack(io::BufReader::new(File::open(&paths.out)?))?, &mut unpacked)?;
            }
            unpacked.sync_data()?;
            fs::rename(paths.next_out(), &spool)?;
            Ok(Spooled::Unpacked)
        }
    }
}

/// A sink in the order of the input, with the lines of earlier runs.
pub(super) fn ordered(
    log: Log,
    found: &Recovered,
    header: Header,
    paths: &Paths,
) -> io::Result<(Ordered, OrderFeed)> {
    let out = File::create(&paths.out)?;
    let new = Rewrite::begin(out, Packing::of(&paths.out), header, paths)?;
    let emission = Emission::File { new, paths: paths.clone() };
    let spool = File::open(paths.spool())?;
    let journal = File::open(paths.journal())?;
    let (mut sink, feed) = Ordered::begin(log, spool, found.lines, paths.directory(), emission)?;
    let mut added = Ok(());
    each_line(&journal, found, |line| {
        if added.is_ok() {
            added = sink.add_before(*line);
        }
    })?;
    added.map(|()| (sink, feed))
}

/// A sink in the order of the input whose lines nobody can go on with.
pub(super) fn ordered_stream(
    out: impl Write + Send + 'static,
    errors: ErrorFile,
) -> io::Result<(Ordered, OrderFeed)> {
    let directory = std::env::temp_dir();
    let (written, spool) = shared(&directory)?;
    let journal = tempfile::tempfile_in(&directory)?;
    let files = Files { out: written, packing: Packing::Plain, tail: None, errors, journal };
    let log = Log::begin(files, Ends::default(), RECORD_BYTES as u64)?;
    let emission = Emission::Stream(Packer::new(Box::new(out), Packing::Plain));
    Ordered::begin(log, spool, 0, &directory, emission)
}
