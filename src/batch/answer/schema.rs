//! A JSON schema from a file, and where a value breaks it.
//!
//! Nothing is ever fetched: a `$ref` may lead into the same file or to another one beside it, and the
//! schemas of the drafts themselves are built in.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use boon::{Compiler, Draft, SchemaIndex, Schemas, ValidationError};
use serde_json::Value;
use url::Url;

/// A schema, ready to check values.
pub(super) struct Schema {
    schemas: Schemas,
    root: SchemaIndex,
}

/// Why a file can't be used as a schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It can't be read.
    #[error("can't read the schema {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the disk says.
        source: io::Error,
    },
    /// It isn't JSON.
    #[error("the schema {} is not JSON: {source}", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where it breaks.
        source: serde_json::Error,
    },
    /// It is JSON and no schema, or refers to something that isn't here.
    #[error("{} is not a schema that can be used: {problem}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, on one line.
        problem: String,
    },
}

impl Schema {
    /// Reads and compiles it.
    pub(super) fn read(path: &Path) -> Result<Self, SchemaError> {
        let unreadable = |source| SchemaError::Unreadable { path: path.to_owned(), source };
        let text = fs::read(path).map_err(unreadable)?;
        let json: Value = serde_json::from_slice(&text)
            .map_err(|source| SchemaError::NotJson { path: path.to_owned(), source })?;
        let absolute = fs::canonicalize(path).map_err(unreadable)?;
        let broken = |problem: String| SchemaError::Broken { path: path.to_owned(), problem };
        let url = Url::from_file_path(&absolute).map_err(|()| broken("its path has no URL".to_owned()))?;
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        // Whoever writes `"format": "date"` about an answer wants dates.
        compiler.enable_format_assertions();
        compiler.add_resource(url.as_str(), json).map_err(|error| broken(on_one_line(&error)))?;
        let root =
            compiler.compile(url.as_str(), &mut schemas).map_err(|error| broken(on_one_line(&error)))?;
        Ok(Self { schemas, root })
    }

    /// Whether `value` satisfies it; if not, where and why.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        self.schemas.validate(value, self.root).map_err(|error| {
            let first = first_cause(&error);
            let place = match first.instance_location.to_string() {
                root if root.is_empty() => "at the top".to_owned(),
                place => format!("at `{place}`"),
            };
            format!("it breaks the schema {place}: {} (schema {})", first.kind, rule(first))
        })
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("root", &self.root).finish_non_exhaustive()
    }
}

/// The innermost cause that stands first: what a person would mend first.
fn first_cause<'e, 's, 'v>(mut error: &'e ValidationError<'s, 'v>) -> &'e ValidationError<'s, 'v> {
    while let Some(cause) = error.causes.first() {
        error = cause;
    }
    error
}

/// The rule that is broken, as a pointer into the schema.
fn rule(error: &ValidationError<'_, '_>) -> String {
    let pointer = error.schema_url.split_once('#').map_or("", |(_, pointer)| pointer);
    let keyword = error.kind.keyword_path().map(|path| format!("/{path}")).unwrap_or_default();
    format!("#{pointer}{keyword}")
}

/// boon's errors may be trees of lines with their causes behind them.
fn on_one_line(error: &boon::CompileError) -> String {
    let mut told = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
    if let boon::CompileError::LoadUrlError { src, .. } = error {
        told = format!("{told}: {src}");
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(schema: &Value) -> Result<Schema, SchemaError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("person.json");
        fs::write(&path, schema.to_string()).unwrap();
        Schema::read(&path)
    }

    fn person() -> Value {
        json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "age": {"$ref": "#/$defs/years"},
                "born": {"type": "string", "format": "date"},
            },
            "$defs": {"years": {"type": "integer", "minimum": 0}},
        })
    }

    #[test]
    fn a_value_that_breaks_it_is_told_where() {
        let schema = read(&person()).unwrap();
        assert_eq!(schema.check(&json!({"name": "Ada", "age": 36, "born": "1815-12-10"})), Ok(()));
        for (value, why) in [
            (json!([]), "it breaks the schema at the top: want object, but got array (schema #/type)"),
            (json!({}), "it breaks the schema at the top: missing properties 'name' (schema #/required)"),
            (
                json!({"name": "Ada", "age": "old"}),
                "it breaks the schema at `/age`: want integer, but got string (schema #/$defs/years/type)",
            ),
            (
                json!({"name": "Ada", "age": -1}),
                "it breaks the schema at `/age`: must be >=0, but got -1 (schema #/$defs/years/minimum)",
            ),
        ] {
            assert_eq!(schema.check(&value), Err(why.to_owned()));
        }
        let why = schema.check(&json!({"name": "Ada", "born": "long ago"})).unwrap_err();
        assert!(why.ends_with("(schema #/properties/born/format)"), "{why}");
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let nowhere = Schema::read(Path::new("no/such/file")).unwrap_err();
        assert!(matches!(nowhere, SchemaError::Unreadable { .. }), "{nowhere}");
        let broken = read(&json!({"type": "colour"})).unwrap_err().to_string();
        assert!(broken.contains("is not a schema that can be used") && broken.contains("/type"), "{broken}");
        assert!(!broken.contains('\n'), "{broken}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torn.json");
        fs::write(&path, "{").unwrap();
        assert!(matches!(Schema::read(&path).unwrap_err(), SchemaError::NotJson { .. }));
    }

    #[test]
    fn nothing_is_fetched() {
        for schema in [
            json!({"$ref": "https://example.com/other.json"}),
            json!({"$ref": "http://127.0.0.1:9/other.json"}),
            json!({"$id": "https://example.com/", "$ref": "other.json"}),
        ] {
            let told = read(&schema).unwrap_err().to_string();
            assert!(told.contains("://") && told.to_lowercase().contains("scheme"), "{told}");
        }
    }

    #[test]
    fn a_file_beside_it_may_be_referred_to() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("other.json"), r#"{"type":"integer"}"#).unwrap();
        let path = directory.path().join("schema.json");
        fs::write(&path, r#"{"items":{"$ref":"other.json"}}"#).unwrap();
        let schema = Schema::read(&path).unwrap();
        assert_eq!(schema.check(&json!([1, 2])), Ok(()));
        assert_eq!(
            schema.check(&json!([1, "2"])),
            Err("it breaks the schema at `/1`: want integer, but got string (schema #/type)".to_owned())
        );
    }
}
