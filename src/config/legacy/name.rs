//! Names as the configuration takes them.

use crate::config::tree::NAME_CHARS_MAX;

/// `text` without what a name can't hold; empty if nothing is left.
pub(super) fn sanitised(text: &str) -> String {
    let fitting = |c: char| if c == '/' || c.is_whitespace() || c.is_control() { '-' } else { c };
    let name: String = text.trim().chars().map(fitting).take(NAME_CHARS_MAX).collect();
    name.trim_matches('-').to_owned()
}

/// Names that were given already.
#[derive(Default)]
pub(super) struct Names {
    given: Vec<String>,
    count: usize,
}

impl Names {
    /// `wanted` as a name, or else `what-N` by position; with a number behind it if it was given before.
    pub(super) fn unique(&mut self, wanted: Option<&str>, what: &str) -> String {
        self.count += 1;
        let name = wanted.map(sanitised).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("{what}-{}", self.count));
        // Room for the number.
        let short: String = name.chars().take(NAME_CHARS_MAX - 8).collect();
        let numbered = (2..).map(|number| format!("{short}-{number}"));
        let free = |name: &String| !self.given.contains(name);
        let unique = std::iter::once(name.clone()).chain(numbered).find(free).unwrap_or(name);
        self.given.push(unique.clone());
        unique
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_fitting_and_its_own() {
        let mut names = Names::default();
        assert_eq!(names.unique(Some("Team A/prod"), "key"), "Team-A-prod");
        assert_eq!(names.unique(Some("Team-A-prod"), "key"), "Team-A-prod-2");
        assert_eq!(names.unique(None, "key"), "key-3");
        assert_eq!(names.unique(Some(" / "), "key"), "key-4");
        assert_eq!(names.unique(Some("key-4"), "key"), "key-4-2");
        assert_eq!(names.unique(Some(&"x".repeat(70)), "key").len(), 64);
        assert_eq!(names.unique(Some(&"x".repeat(70)), "key"), format!("{}-2", "x".repeat(56)));
    }
}
