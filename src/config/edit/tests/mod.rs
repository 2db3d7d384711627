//! Edits as their author sees them: the text before, the text after, and what is on the disk.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::source::Source;
use super::*;

mod disk;
mod text;

/// A configuration in a directory of its own.
struct Desk {
    dir: TempDir,
    source: Source,
}

impl Desk {
    fn of(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("keywheel.toml"), text).unwrap();
        let home = dir.path().display().to_string();
        let source = Source {
            working_dir: dir.path().to_owned(),
            environment: vec![("HOME".to_owned(), home)],
            ..Source::default()
        };
        let desk = Self { dir, source };
        desk.permit("keywheel.toml", 0o600);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    #[cfg(unix)]
    fn permit(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn permit(&self, _: &str, _: u32) {}

    #[cfg(unix)]
    fn mode(&self, name: &str) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o777
    }

    fn try_edit(
        &self,
        act: impl FnOnce(&mut Editor<'_>) -> Result<(), EditError>,
    ) -> Result<Saved, EditError> {
        let mut editor = Editor::open(&self.source)?;
        act(&mut editor)?;
        editor.save()
    }

    fn edit(&self, act: impl FnOnce(&mut Editor<'_>) -> Result<(), EditError>) -> Saved {
        self.try_edit(act).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// What an edit makes of a text.
#[track_caller]
fn edited(text: &str, act: impl FnOnce(&mut Editor<'_>) -> Result<(), EditError>) -> String {
    let desk = Desk::of(text);
    desk.edit(act);
    desk.read("keywheel.toml")
}

fn variable(name: &str) -> KeyFields {
    KeyFields { secret: Some(WrittenSecret::Reference(format!("env:{name}"))), ..KeyFields::default() }
}

const TWO_KEYS: &str = r#"# Who changes this tells Kim.

fallback_order = ["openai"]   # for now

[[provider]]
id = "openai"
preset = "openai"
# The first of two accounts
[[provider.key]]
name = "a"          # Kim's
secret = "env:A"
  [provider.key.limits]
  rpm = 500   # tier 2
[[provider.key]]    # the second
secret = "env:B"
limits = { rpm = 500 }
[provider.rotation]
pick = "weighted"

# The local one
[[provider]]
id = "local"
dialect = "openai"
base_url = "http://127.0.0.1:1/v1"
key = [
  { secret = "env:L" },   # on the shelf
  { name = "k2", secret = "env:M" }
]

[[route]]
model = "fast"
candidates = ["openai/gpt-4o-mini", "local/llama"]
# the end
"#;
