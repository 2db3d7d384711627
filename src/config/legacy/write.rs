//! The draft as TOML, with the place in the JSON that each part comes from.

use toml_edit::{Array, Value};

use super::key::Key;
use super::order::Order;
use super::provider::Provider;
use super::section::Section;
use super::top::Draft;
use crate::config::place::Step;

/// What stands at the top of every converted file.
const HEAD: &str = "# Made by `keywheel config migrate` from the providers.json of the prototype.\n";

/// A text that grows, and where its parts come from.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) places: Vec<(Vec<Step>, usize)>,
}

/// Writes the whole.
pub(super) fn write(draft: &Draft) -> Page {
    let mut page = Page { text: HEAD.to_owned(), places: Vec::new() };
    page.comments(&draft.comments);
    if let Some(order) = &draft.order {
        page.order(order);
    }
    page.table("rotation", &[field("rotation")], &draft.rotation);
    let mut index = 0;
    for provider in &draft.providers {
        if provider.is_known {
            page.provider(&[field("provider"), Step::Item(index)], provider);
            index += 1;
        } else {
            page.as_comment(|page| page.provider(&[], provider));
        }
    }
    page
}

impl Page {
    fn order(&mut self, order: &Order) {
        let ids: Array = order.ids.iter().map(|(id, _)| id.as_str()).collect();
        self.text.push_str(&format_line("fallback_order", &Value::from(ids)));
        let steps = vec![field("fallback_order")];
        for (index, (_, offset)) in order.ids.iter().enumerate() {
            self.places.push((joined(&steps, Step::Item(index)), *offset));
        }
        self.places.push((steps, order.offset));
    }

    fn provider(&mut self, steps: &[Step], provider: &Provider) {
        self.text.push_str("\n[[provider]]\n");
        self.places.push((steps.to_vec(), provider.offset));
        self.fields(steps, &provider.head);
        for (name, section) in
            [("limits", &provider.limits), ("rotation", &provider.rotation), ("timeouts", &provider.timeouts)]
        {
            self.table(&format!("provider.{name}"), &joined(steps, field(name)), section);
        }
        let steps = joined(steps, field("key"));
        let mut index = 0;
        for key in &provider.keys {
            if key.is_usable {
                self.key(&joined(&steps, Step::Item(index)), key);
                index += 1;
            } else {
                self.as_comment(|page| page.key(&[], key));
            }
        }
    }

    fn key(&mut self, steps: &[Step], key: &Key) {
        self.text.push_str("\n[[provider.key]]\n");
        self.places.push((steps.to_vec(), key.offset));
        self.fields(steps, &key.section);
        self.table("provider.key.limits", &joined(steps, field("limits")), &key.limits);
    }

    fn table(&mut self, header: &str, steps: &[Step], section: &Section) {
        if section.is_empty() {
            return;
        }
        self.text.push_str("\n[");
        self.text.push_str(header);
        self.text.push_str("]\n");
        self.fields(steps, section);
    }

    fn fields(&mut self, steps: &[Step], section: &Section) {
        for written in &section.fields {
            self.text.push_str(&format_line(written.name, &written.value));
            self.places.push((joined(steps, field(written.name)), written.offset));
        }
        self.comments(&section.comments);
    }

    fn comments(&mut self, comments: &[String]) {
        for comment in comments {
            self.text.push_str("# ");
            self.text.push_str(comment);
            self.text.push('\n');
        }
    }

    /// What `write` writes, as a comment. It has no places: nobody reads it.
    fn as_comment(&mut self, write: impl FnOnce(&mut Self)) {
        let mut page = Self { text: String::new(), places: Vec::new() };
        write(&mut page);
        for line in page.text.lines() {
            if !line.is_empty() {
                self.text.push_str("# ");
            }
            self.text.push_str(line);
            self.text.push('\n');
        }
    }
}

fn format_line(name: &str, value: &Value) -> String {
    format!("{name} = {}\n", value.to_string().trim())
}

fn field(name: &str) -> Step {
    Step::Field(name.to_owned())
}

fn joined(steps: &[Step], step: Step) -> Vec<Step> {
    steps.iter().cloned().chain(std::iter::once(step)).collect()
}
