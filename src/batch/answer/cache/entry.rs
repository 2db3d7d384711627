//! One answer as it lies on the disk.
//!
//! A line with a checksum of all that follows, a line of JSON about the answer, and its body byte for
//! byte. What was torn by a power cut or altered by hand doesn't match its checksum.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::StatusCode;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::Kept;
use super::key::{CacheKey, hex};

/// Begins every entry, with the version of the form.
const MARK: &str = "keywheel-answer 1 ";

/// What is said of an answer.
#[derive(Serialize, Deserialize)]
struct About {
    key: String,
    status: u16,
    request_id: String,
    provider: String,
    kept_unix_s: u64,
}

/// The bytes of an entry.
pub(super) fn encode(key: CacheKey, kept: &Kept, now: SystemTime) -> serde_json::Result<Vec<u8>> {
    let about = About {
        key: key.name(),
        status: kept.status.as_u16(),
        request_id: kept.request_id.clone(),
        provider: kept.provider.as_str().to_owned(),
        kept_unix_s: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    let about = serde_json::to_vec(&about)?;
    let rest = [&about[..], b"\n", &kept.body[..]].concat();
    Ok([MARK.as_bytes(), checksum(&rest).as_bytes(), b"\n", &rest].concat())
}

/// The answer in an entry, and when it was kept. `None` if the entry isn't whole, or another row's.
pub(super) fn decode(key: CacheKey, bytes: &Bytes) -> Option<(Kept, SystemTime)> {
    let rest = bytes.strip_prefix(MARK.as_bytes())?;
    let (told, rest) = split_line(rest)?;
    if told != checksum(rest).as_bytes() {
        return None;
    }
    let (about, body) = split_line(rest)?;
    let about: About = serde_json::from_slice(about).ok()?;
    if about.key != key.name() {
        return None;
    }
    let kept = Kept {
        status: StatusCode::from_u16(about.status).ok()?,
        request_id: about.request_id,
        provider: about.provider.as_str().into(),
        body: bytes.slice_ref(body),
    };
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(about.kept_unix_s))?;
    Some((kept, at))
}

fn checksum(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
