//! Where a configuration's own files are: durable state, admin socket, failure log.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ring::digest;

use super::admin;
use super::source::Source;
use super::tree::{Fields, Node};

/// The kernel's `sun_path` holds 108 bytes, its closing zero included.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Larger files are no fun to search.
pub(super) const FILE_MIB_MOST: u64 = 4_096;

/// More than two years of one file a day.
pub(super) const FILES_MOST: u64 = 1_000;

/// What `[state]` may say.
pub(super) const STATE_FIELDS: [&str; 1] = ["dir"];

/// What `[failures]` may say.
pub(super) const FAILURE_FIELDS: [&str; 4] = ["log", "dir", "file_mib_max", "files_max"];

/// The files that belong to one configuration. Every process with the same configuration means the same ones.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Home {
    /// The directory of the durable state; only its owner may look inside.
    pub state_dir: PathBuf,
    /// The unix socket of a running keywheel.
    pub socket: PathBuf,
    /// Where failures are logged.
    pub failures: FailureLog,
}

/// The log of failed calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailureLog {
    /// Its directory.
    pub dir: PathBuf,
    /// Whether anything is written there.
    pub enabled: bool,
    /// A file that is larger is closed and a new one begun.
    pub file_bytes_max: u64,
    /// Older files than this many are deleted.
    pub files_max: usize,
}

impl Default for FailureLog {
    /// A week of days, at most 112 MiB.
    fn default() -> Self {
        Self { dir: PathBuf::new(), enabled: true, file_bytes_max: 16 << 20, files_max: 7 }
    }
}

/// Reads `[state]`, `[failures]` and `[admin]` of the configuration at `path`.
pub(super) fn read(fields: &Fields<'_>, source: &Source, path: &Path) -> Home {
    let directory = path.parent().unwrap_or(Path::new(""));
    let section = |name, known: &[&str]| fields.get(name).and_then(|node| node.fields(known));
    let path_in = |section: &Option<Fields<'_>>, name| {
        let written = section.as_ref().and_then(|fields| fields.get(name));
        written.as_ref().and_then(Node::text).map(|path| directory.join(path))
    };

    let state = section("state", &STATE_FIELDS);
    let state_dir = path_in(&state, "dir").unwrap_or_else(|| usual_state_dir(source, path));

    let failures = section("failures", &FAILURE_FIELDS);
    let failure = |name| failures.as_ref().and_then(|fields| fields.get(name));
    let usual = FailureLog::default();
    let file_mib = failure("file_mib_max").and_then(|node| node.whole(1..=FILE_MIB_MOST));
    let files = failure("files_max").and_then(|node| node.whole(1..=FILES_MOST));
    let failures = FailureLog {
        dir: path_in(&failures, "dir").unwrap_or_else(|| state_dir.join("failures")),
        enabled: failure("log").and_then(|node| node.switch()).unwrap_or(usual.enabled),
        file_bytes_max: file_mib.map_or(usual.file_bytes_max, |mib| mib << 20),
        files_max: files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usual.files_max),
    };

    let admin = section("admin", &admin::FIELDS);
    let socket = path_in(&admin, "socket").unwrap_or_else(|| usual_socket(&state_dir));
    if let Some(node) = admin.as_ref().and_then(|fields| fields.get("socket"))
        && socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX
    {
        node.wrong(
            format!("a socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes"),
            Some("choose a shorter one, for example below /run".to_owned()),
        );
    }
    Home { state_dir, socket, failures }
}

/// `$XDG_STATE_HOME/keywheel/NAME-HASH`: one directory for each configuration, named so that a person finds it.
fn usual_state_dir(source: &Source, path: &Path) -> PathBuf {
    let absolute = |name| source.variable(name).map(Path::new).filter(|path| path.is_absolute());
    let base = match (absolute("XDG_STATE_HOME"), absolute("HOME")) {
        (Some(state), _) => state.to_owned(),
        (None, Some(home)) => home.join(".local/state"),
        // A service without a home: beside the configuration, where its owner looks first.
        (None, None) => path.parent().unwrap_or(Path::new("")).join(".keywheel"),
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    base.join("keywheel")
        .join(format!("{name}-{}", short_hash(&std::fs::canonicalize(path).unwrap_or(path.into()))))
}

/// In the state directory, or under a short name for a directory whose own is too long for a socket.
fn usual_socket(state_dir: &Path) -> PathBuf {
    let socket = state_dir.join("admin.sock");
    if socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return socket;
    }
    std::env::temp_dir().join(format!("keywheel-{}.sock", short_hash(state_dir)))
}

/// Eight hexadecimal digits that tell one path from another.
fn short_hash(path: &Path) -> String {
    let hash = digest::digest(&digest::SHA256, path.as_os_str().as_encoded_bytes());
    hash.as_ref()[..4].iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
