//! What is found wrong while a tree is read, gathered instead of ending it.

use std::cell::RefCell;
use std::collections::HashMap;

use super::place::FileMap;
use super::problem::Problem;
use super::tree::Node;

/// Where mistakes and warnings are noted.
pub(super) struct Ledger<'a> {
    file: &'a FileMap<'a>,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'a> Ledger<'a> {
    /// An empty ledger for a file, but for the problems that are known already.
    pub(super) fn new(file: &'a FileMap<'a>, known: Vec<Problem>) -> Self {
        Self { file, problems: RefCell::new(known), warnings: RefCell::default() }
    }

    /// Where everything of the file stands.
    pub(super) fn file(&self) -> &'a FileMap<'a> {
        self.file
    }

    /// Notes a mistake.
    pub(super) fn wrong(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// Notes something that is no mistake, but probably not meant.
    pub(super) fn warn(&self, warning: Problem) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Whether no mistake was noted yet.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Mistakes and warnings, each sorted by place and said once.
    pub(super) fn close(self) -> (Vec<Problem>, Vec<Problem>) {
        let [problems, warnings] = [self.problems, self.warnings].map(|noted| {
            let mut noted = noted.into_inner();
            noted.sort();
            noted.dedup();
            noted
        });
        (problems, warnings)
    }
}

/// Notes each node whose word was said before.
pub(super) fn report_repeats<'n, 'a: 'n>(
    what: &str,
    said: impl IntoIterator<Item = (&'n str, &'n Node<'a>)>,
) {
    let mut first: HashMap<&str, &Node<'a>> = HashMap::new();
    for (word, node) in said {
        match first.get(word) {
            Some(before) => {
                let hint = format!("first at {}", before.place().spot());
                node.wrong(format!("the {what} `{word}` is there twice"), Some(hint));
            }
            None => drop(first.insert(word, node)),
        }
    }
}
