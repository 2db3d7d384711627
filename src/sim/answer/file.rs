//! Files and sounds: bodies that aren't JSON, of any length.

use std::fmt::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;

use super::super::ask::Received;
use super::super::body::AnswerBody;

/// How long a sound is.
const SPEECH_BYTES: u64 = 20_000;

/// What a file is made of, again and again: of a prime length, so that no buffer's size is a multiple of it.
static FILLING: LazyLock<Bytes> = LazyLock::new(|| (0..251).cycle().take(65_521).collect());

/// What an upload is answered with: how long its body was, and its SHA-256.
pub(crate) fn file_object(call: u64, created: u64, received: &Received) -> Bytes {
    let Received { bytes, sha256 } = received;
    let digest = sha256.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!(
        r#"{{"id":"file-sim-{call}","object":"file","bytes":{bytes},"created_at":{created},"filename":"upload","purpose":"batch","status":"processed","sha256":"{digest}"}}"#
    )
    .into()
}

/// A file of this length.
pub(crate) fn download(bytes: u64) -> AnswerBody {
    AnswerBody::repeated(FILLING.clone(), bytes)
}

/// A sound.
pub(crate) fn speech() -> AnswerBody {
    download(SPEECH_BYTES)
}
