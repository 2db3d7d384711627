//! A resolved configuration as a tree that can be shown.

use std::path::PathBuf;

use serde_json::Value;
use toml_edit::Key;

use crate::config::address::loose;
use crate::config::problem::Place;
use crate::config::suggest;

/// A whole configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Resolved {
    /// The file that was read.
    pub file: PathBuf,
    /// The top of it.
    pub top: Shown,
}

/// A field, a section or an item of a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Shown {
    /// The field's name; of a provider its id, of a key its name, of a route its model.
    pub name: String,
    /// What is there.
    pub content: Content,
}

/// What a field holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    /// A value.
    Value(Effective),
    /// A table.
    Table(Vec<Shown>),
    /// A list of tables.
    List(Vec<Shown>),
}

/// A value with where it is from.
#[derive(Clone, PartialEq, Debug)]
pub struct Effective {
    /// The value; `null` if there is none.
    pub value: Value,
    /// What holds where there is none.
    pub meaning: Option<&'static str>,
    /// What a person may see of the secret that the value refers to.
    pub masked: Option<String>,
    /// Where it is from.
    pub origin: ValueOrigin,
}

/// Where a value is from.
#[derive(Clone, PartialEq, Debug)]
pub enum ValueOrigin {
    /// Somebody wrote it here.
    Written(Place),
    /// Somebody wrote it further out, or in another key of the quota group.
    Inherited(Place),
    /// The preset of this name says it.
    Preset(String),
    /// Nobody said anything.
    Usual,
}

/// A path that leads nowhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoSuchField {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}

impl Shown {
    /// Follows a path such as `provider.openai.limits.rpm`. Items go by name or by position from 0.
    ///
    /// # Errors
    /// If it leads nowhere.
    pub fn at(&self, path: &str) -> Result<&Self, NoSuchField> {
        let segments = Key::parse(path).map_err(|_| NoSuchField {
            problem: format!("`{path}` is not the path of a field"),
            hint: "write it as in TOML: `rotation.pick`, `provider.openai.models.\"gpt-4.1\"`".to_owned(),
        })?;
        segments.iter().try_fold(self, |here, segment| here.below(segment.get()))
    }

    fn below(&self, segment: &str) -> Result<&Self, NoSuchField> {
        let inside = match &self.content {
            Content::Table(inside) | Content::List(inside) => inside.as_slice(),
            Content::Value(_) => &[],
        };
        let by_number = || match self.content {
            Content::List(_) => inside.get(segment.parse::<usize>().ok()?),
            Content::Table(_) | Content::Value(_) => None,
        };
        let exactly = inside.iter().find(|shown| shown.name == segment);
        let roughly = || inside.iter().find(|shown| loose(&shown.name) == loose(segment));
        exactly.or_else(roughly).or_else(by_number).ok_or_else(|| NoSuchField {
            problem: match self.name.as_str() {
                "" => format!("there is no field `{segment}`"),
                name => format!("there is no `{segment}` in `{name}`"),
            },
            hint: suggest::instead_of(segment, inside.iter().map(|shown| shown.name.as_str())),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn leaf(name: &str) -> Shown {
        let value = Effective { value: json!(1), meaning: None, masked: None, origin: ValueOrigin::Usual };
        Shown { name: name.to_owned(), content: Content::Value(value) }
    }

    #[test]
    fn paths_lead_by_name_and_by_position_or_say_what_is_there() {
        let item = |name: &str| Shown { name: name.to_owned(), content: Content::Table(vec![leaf("id")]) };
        let list = Content::List(vec![item("team-a"), item("gpt-4.1")]);
        let top = Shown {
            name: String::new(),
            content: Content::Table(vec![Shown { name: "key".to_owned(), content: list }]),
        };
        for path in ["key.team-a", "key.TEAM_A", "key.0"] {
            assert_eq!(top.at(path).expect(path).name, "team-a");
        }
        assert_eq!(top.at("key.\"gpt-4.1\".id").expect("a quoted part").name, "id");
        let error = top.at("key.team-b").expect_err("nobody is called so");
        assert_eq!(error.problem, "there is no `team-b` in `key`");
        assert_eq!(error.hint, "did you mean `team-a`?");
        assert!(top.at("key.team-a.id.more").is_err());
        assert!(top.at("a..b").is_err());
    }
}
