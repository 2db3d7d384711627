//! Inputs that are compressed, known by their names.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// Unpacked bytes that are read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, also several members one after another, as `cat a.gz b.gz` makes them.
    Gzip,
    /// Zstandard, also several frames.
    Zstd,
}

impl Packing {
    /// What the name of a file says: `.gz`, `.zst`, or neither.
    pub fn of_name(path: &Path) -> Self {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "gz" => Self::Gzip,
            "zst" => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// `reader` as it was before it was packed.
    ///
    /// # Errors
    /// If the decoder can't be set up.
    pub(super) fn unpack<R>(self, reader: R) -> io::Result<Box<dyn BufRead + Send>>
    where
        R: BufRead + Send + 'static,
    {
        Ok(match self {
            Self::Plain => Box::new(reader),
            Self::Gzip => buffered(MultiGzDecoder::new(reader)),
            Self::Zstd => buffered(zstd::Decoder::with_buffer(reader)?),
        })
    }
}

fn buffered(reader: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_how_a_file_is_packed() {
        for (name, packing) in [
            ("in.jsonl", Packing::Plain),
            ("in.jsonl.gz", Packing::Gzip),
            ("in.csv.ZST", Packing::Zstd),
            ("gz", Packing::Plain),
            ("-", Packing::Plain),
        ] {
            assert_eq!(Packing::of_name(Path::new(name)), packing, "{name}");
        }
    }
}
