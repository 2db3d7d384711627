//! Everything that was written, searched for every secret in every form, and for parts of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::forms;

/// A part of so many characters is no accident.
const PART_CHARS: usize = 8;

/// A secret with fewer is masked as a whole; of others a mask shows the prefix and the last four.
const MASKABLE_CHARS_MIN: usize = 20;

/// What a mask may show at the beginning.
const PREFIXES: [&str; 8] = ["sk-proj-", "sk-ant-", "sk-or-", "gsk_", "xai-", "AIza", "pa-", "sk-"];

/// Needles are looked up by their first bytes; the shortest secret has as many.
const START_BYTES: usize = 4;

/// What to look for.
pub(crate) struct Search {
    needles: Vec<Needle>,
    by_start: HashMap<[u8; START_BYTES], Vec<usize>>,
}

struct Needle {
    what: String,
    bytes: Vec<u8>,
}

impl Search {
    /// For these secrets, each with its name.
    pub(crate) fn of(secrets: &[(&str, &str)]) -> Self {
        let mut needles = Vec::new();
        for (name, secret) in secrets {
            let mut add = |form: &str, text: &str| {
                let bytes = text.as_bytes().to_vec();
                needles.push(Needle { what: format!("{name} as {form}"), bytes });
            };
            for (form, text) in forms::sought(secret) {
                add(form, &text);
            }
            let hidden = hidden_part(secret);
            for at in 0..(hidden.len() + 1).saturating_sub(PART_CHARS) {
                add("a part", &hidden[at..at + PART_CHARS]);
            }
        }
        let mut by_start: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, needle) in needles.iter().enumerate() {
            by_start.entry(start_of(&needle.bytes)).or_default().push(index);
        }
        Self { needles, by_start }
    }

    /// How many texts are looked for.
    pub(crate) fn size(&self) -> usize {
        self.needles.len()
    }

    /// What is found, each with the words around it.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for at in 0..(text.len() + 1).saturating_sub(START_BYTES) {
            let Some(candidates) = self.by_start.get(&start_of(&text[at..])) else { continue };
            for needle in candidates.iter().map(|index| &self.needles[*index]) {
                if text[at..].starts_with(&needle.bytes) {
                    let around = &text[at.saturating_sub(60)..(at + needle.bytes.len() + 20).min(text.len())];
                    found.push(format!("{}: …{}…", needle.what, String::from_utf8_lossy(around)));
                }
            }
        }
        found
    }
}

fn start_of(bytes: &[u8]) -> [u8; START_BYTES] {
    std::array::from_fn(|at| bytes[at])
}

/// What no mask shows.
fn hidden_part(secret: &str) -> &str {
    if secret.len() < MASKABLE_CHARS_MIN {
        return secret;
    }
    let prefix = PREFIXES.iter().find(|prefix| secret.starts_with(**prefix)).map_or(0, |prefix| prefix.len());
    &secret[prefix..secret.len() - 4]
}

/// What was searched, and what was found.
pub(crate) struct Haul {
    search: Search,
    pieces: usize,
    bytes: usize,
    found: String,
}

impl Haul {
    pub(crate) fn new(search: Search) -> Self {
        Self { search, pieces: 0, bytes: 0, found: String::new() }
    }

    /// Searches one output or file.
    pub(crate) fn take(&mut self, what: &str, text: &[u8]) {
        self.pieces += 1;
        self.bytes += text.len();
        let mut told = BTreeSet::new();
        for found in self.search.find(text) {
            // Of each secret once: whoever mends it searches again.
            if told.insert(found.split(" as ").next().unwrap_or_default().to_owned()) {
                let _ = writeln!(self.found, "{what}\n    {found}");
            }
        }
    }

    /// Searches all files below `dir` with their names, but for the insides of those that are `meant` to hold
    /// secrets.
    pub(crate) fn take_tree(&mut self, dir: &Path, meant: &dyn Fn(&str) -> bool) {
        for (path, name) in everything_below(dir) {
            self.take(&format!("the name of {name}"), name.as_bytes());
            let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
            if kind.is_file() && !meant(&name) {
                self.take(&name, &fs::read(&path).expect("it can be read"));
            }
        }
    }

    /// Notes what is wrong beside what is found.
    pub(crate) fn note(&mut self, wrong: &str) {
        let _ = writeln!(self.found, "{wrong}");
    }

    /// Nothing was found in all of it.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let Self { search, pieces, bytes, found } = self;
        println!("{bytes} bytes in {pieces} pieces searched for {} texts", search.size());
        assert!(found.is_empty(), "{bytes} bytes in {pieces} pieces, and in them:\n{found}");
    }
}

/// What others than the owner may read, write or enter below `dir`.
pub(crate) fn open_to_others(dir: &Path) -> Vec<String> {
    let is_open =
        |path: &Path| fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o077 != 0;
    everything_below(dir).into_iter().filter(|(path, _)| is_open(path)).map(|(_, name)| name).collect()
}

/// Paths and their names from `dir` on.
pub(crate) fn everything_below(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).expect("it can be read") {
            let path = entry.expect("it can be listed").path();
            if fs::symlink_metadata(&path).expect("it is there").is_dir() {
                dirs.push(path.clone());
            }
            let name = path.strip_prefix(dir).expect("below it").display().to_string();
            all.push((path, name));
        }
    }
    all
}
