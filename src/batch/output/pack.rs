//! Compression by name: `.gz` and `.zst`, in pieces that each stand for themselves.
//!
//! Both formats allow several members (gzip, RFC 1952 §2.2) or frames (Zstandard, RFC 8878 §3.1) one behind
//! the other, and every tool reads them as one text. So a file may be cut behind any of them.

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::batch) enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// What the name of a file says.
    pub(in crate::batch) fn of(path: &Path) -> Self {
        match path.extension().and_then(OsStr::to_str) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some(_) | None => Self::Plain,
        }
    }

    /// `text` as one member or frame.
    pub(in crate::batch) fn pack(self, text: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(text.to_vec()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(text)?;
                encoder.finish()
            }
            Self::Zstd => zstd::stream::encode_all(text, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }

    /// Reads what was packed, all pieces as one text.
    pub(in crate::batch) fn unpack<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(packed)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one_text() {
        for (name, packing) in
            [("o.jsonl", Packing::Plain), ("o.gz", Packing::Gzip), ("o.zst", Packing::Zstd)]
        {
            assert_eq!(Packing::of(Path::new(name)), packing);
            let pieces = [packing.pack(b"one\n").unwrap(), packing.pack(b"two\n").unwrap()].concat();
            let mut text = String::new();
            packing.unpack(&pieces[..]).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n", "{name}");
        }
    }
}
