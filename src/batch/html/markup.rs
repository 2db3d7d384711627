//! Text that becomes markup, and can't become anything else.

/// A piece of a page. Only texts that stand in this program get in as they are.
#[derive(Clone, Debug, Default)]
pub(in crate::batch) struct Html(String);

/// An attribute and its value.
pub(super) type Attribute<'a> = (&'static str, &'a str);

impl Html {
    /// Adds markup of ours.
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    /// Adds a text, whatever is in it.
    pub(super) fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(letter),
                // They have no place in a page, and some turn the text around them.
                _ if letter.is_control() || is_direction(letter) => self.0.push('\u{fffd}'),
                _ => self.0.push(letter),
            }
        }
    }

    /// Adds an element with what is inside.
    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: &[Attribute<'_>],
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(tag, attributes);
        self.0.push('>');
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// Adds an element with a text inside.
    pub(super) fn words(&mut self, tag: &'static str, attributes: &[Attribute<'_>], text: &str) {
        self.element(tag, attributes, |html| html.text(text));
    }

    /// Adds an element of a picture, with what a pointer that rests on it is told; nothing if that is empty.
    pub(super) fn shape(&mut self, tag: &'static str, attributes: &[Attribute<'_>], title: &str) {
        self.open(tag, attributes);
        if title.is_empty() {
            self.0.push_str("/>");
            return;
        }
        self.0.push('>');
        self.words("title", &[], title);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// The markup.
    pub(in crate::batch) fn finish(self) -> String {
        self.0
    }

    fn open(&mut self, tag: &'static str, attributes: &[Attribute<'_>]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
    }
}

/// Marks that change the direction of writing (Unicode Standard Annex 9, section 2).
const fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let mut html = Html::default();
        html.words("td", &[("title", "\"><script>alert('x')</script>")], "a <b> & \u{202e}\u{7}c\n");
        assert_eq!(
            html.finish(),
            "<td title=\"&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\">a &lt;b&gt; &amp; \u{fffd}\u{fffd}c\n</td>"
        );
    }

    #[test]
    fn shapes_close_themselves_or_tell_something() {
        let mut html = Html::default();
        html.shape("rect", &[("x", "1")], "");
        html.shape("rect", &[], "k0 & k1");
        assert_eq!(html.finish(), "<rect x=\"1\"/><rect><title>k0 &amp; k1</title></rect>");
    }
}
