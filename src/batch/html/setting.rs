//! The configuration of a run, as its caller tells it: names and masked keys only.

use super::markup::Html;

/// A field or a section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// A field with its value.
    Field {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A section or an item of a list.
    Section {
        /// Its name.
        name: String,
        /// What is in it.
        inside: Vec<Setting>,
    },
}

/// The section of the page; nothing without a setting.
pub(super) fn section(html: &mut Html, settings: &[Setting]) {
    if settings.is_empty() {
        return;
    }
    html.element("section", &[("id", "configuration")], |html| {
        html.words("h2", &[], "Configuration");
        list(html, settings);
    });
}

fn list(html: &mut Html, settings: &[Setting]) {
    html.element("dl", &[("class", "settings")], |html| {
        for setting in settings {
            if let Setting::Field { name, value } = setting {
                html.element("div", &[], |html| {
                    html.words("dt", &[], name);
                    html.words("dd", &[], value);
                });
            }
        }
    });
    for setting in settings {
        if let Setting::Section { name, inside } = setting {
            html.element("details", &[], |html| {
                html.element("summary", &[], |html| html.words("bdi", &[], name));
                list(html, inside);
            });
        }
    }
}
