//! The whole page.

use super::markup::Html;
use super::numbers::seconds;
use super::setting::Setting;
use super::verdict::{self, Tone};
use super::{flow, latency, rate, setting, tables, work};
use crate::batch::books::summary::Summary;
use crate::batch::chronicle::Chronicle;
use crate::ui::number::{count, percent};

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What the run came to.
    pub summary: &'a Summary,
    /// What it recorded of itself.
    pub chronicle: &'a Chronicle,
    /// What is told below the title: which files, when.
    pub subject: &'a str,
    /// How it was configured.
    pub settings: &'a [Setting],
}

/// The report, as one page that needs nothing else.
pub fn render(page: &Page<'_>) -> String {
    let mut html = Html::default();
    html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    // Even if a text of a provider became markup, nothing would run and nothing be fetched.
    html.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    html.words("title", &[], &format!("Keywheel: {}", page.subject));
    html.raw("\n<style>\n");
    html.raw(include_str!("style.css"));
    html.raw("</style>\n</head>\n<body>\n");
    // Pictures fill with it; a definition that isn't displayed would not be used.
    html.raw(
        "<svg class=\"definitions\" aria-hidden=\"true\"><defs><pattern id=\"hatch\" width=\"5\" height=\"5\" \
         patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"hatch\" d=\"M0 0V5\"/>\
         </pattern></defs></svg>\n",
    );
    html.element("main", &[], |html| sections(html, page));
    html.raw("\n</body>\n</html>\n");
    html.finish()
}

fn sections(html: &mut Html, page: &Page<'_>) {
    let Page { summary, chronicle, subject, settings } = *page;
    html.element("header", &[], |html| {
        html.words("h1", &[], "Batch report");
        html.element("p", &[("class", "subject")], |html| html.words("bdi", &[], subject));
        let (class, mark) = match verdict::tone(summary) {
            Tone::Good => ("verdict good", "✓"),
            Tone::Mixed => ("verdict mixed", "!"),
            Tone::Bad => ("verdict bad", "✗"),
        };
        html.element("div", &[("class", class)], |html| {
            html.words("span", &[("class", "mark"), ("aria-hidden", "true")], mark);
            html.element("div", &[], |html| {
                html.words("p", &[("id", "headline")], &verdict::headline(summary));
                html.words("p", &[("id", "bottleneck")], &verdict::bottleneck(summary, chronicle));
                let complaints = verdict::complaints(summary);
                if !complaints.is_empty() {
                    html.words("p", &[("id", "complaints")], &format!("{}.", complaints.join("; ")));
                }
            });
        });
    });
    tiles(html, summary);
    work::section(html, chronicle);
    rate::section(html, chronicle);
    latency::section(html, chronicle);
    flow::section(html, chronicle);
    tables::keys(html, summary, chronicle);
    tables::providers(html, chronicle);
    tables::models(html, summary, chronicle);
    tables::errors(html, summary);
    setting::section(html, settings);
    html.element("footer", &[], |html| {
        html.words("p", &[], &format!("Keywheel {}", env!("CARGO_PKG_VERSION")));
    });
}

/// The numbers, by the names that the summary for programs has them by.
fn tiles(html: &mut Html, summary: &Summary) {
    let counted = [
        ("rows", "rows", summary.rows),
        ("ok", "ok", summary.ok),
        ("failed", "failed", summary.failed),
        ("not sent", "invalid", summary.invalid),
        ("not run", "not_run", summary.not_run),
        ("calls", "calls", summary.calls),
        ("throttled calls", "throttled_calls", summary.throttled_calls),
        ("calls on dead keys", "dead_key_calls", summary.dead_key_calls),
        ("faults of providers", "provider_fault_calls", summary.provider_fault_calls),
        ("rows retried", "retried_rows", summary.retried_rows),
        ("moved to another provider", "fell_over", summary.fell_over),
        ("from the cache", "cached_rows", summary.cached_rows),
        ("tokens in", "tokens.input", summary.tokens.input),
        ("tokens out", "tokens.output", summary.tokens.output),
    ];
    let measured = [
        ("time", "makespan_s", Some(summary.makespan_s), seconds as fn(f64) -> String),
        ("at best", "ideal_makespan_s", summary.ideal_makespan_s, seconds),
        ("of what the keys allow", "utilisation", summary.utilisation, |share| percent(share, 1)),
        ("wasted calls a row", "waste", summary.waste, |waste| format!("{waste:.3}")),
    ];
    html.element("dl", &[("class", "tiles"), ("id", "numbers")], |html| {
        for (name, id, value, draw) in measured {
            let Some(value) = value else { continue };
            tile(html, name, id, &value.to_string(), &draw(value));
        }
        if let Some(cost) = &summary.cost {
            let drawn = format!("{} {}", cost.spent.rounded(), cost.currency);
            let name = if cost.unknown_calls > 0 { "cost at least" } else { "cost" };
            tile(html, name, "cost.spent", &cost.spent.to_string(), &drawn);
        }
        // What didn't happen needn't be told, rows and calls excepted.
        for (name, id, value) in counted {
            if value > 0 || matches!(id, "rows" | "ok" | "failed" | "calls" | "throttled_calls") {
                tile(html, name, id, &value.to_string(), &count(value));
            }
        }
    });
}

fn tile(html: &mut Html, name: &str, id: &str, value: &str, drawn: &str) {
    html.element("div", &[], |html| {
        html.words("dt", &[], name);
        html.words("dd", &[("data-name", id), ("data-value", value)], drawn);
    });
}

#[cfg(test)]
mod tests {
    use keywheel_actors::outcome::Reason;

    use super::*;
    use crate::batch::books::summary::tests::sample;
    use crate::batch::chronicle::flow::RowEnd;
    use crate::batch::chronicle::record::tests::{at, attempt, id};

    /// Two keys, one of them with an evil name, over three seconds.
    fn chronicle() -> Chronicle {
        let evil = "local/<script>alert(1)</script>&\"'";
        let mut chronicle = Chronicle::begin(at(0));
        for call in 0..100 {
            chronicle.note_row(&[attempt("local/k0", call * 30, 40 + call, None)], RowEnd::Ok);
        }
        let row = [attempt(evil, 10, 5, Some(Reason::Throttled)), attempt("local/k0", 15, 90, None)];
        chronicle.note_row(&row, RowEnd::Ok);
        chronicle.note_key(&id(evil), at(15), Some("throttled"));
        chronicle.note_permitted(at(0), 35.0);
        chronicle.close(at(3_000));
        chronicle
    }

    fn page(summary: &Summary, chronicle: &Chronicle) -> String {
        let settings = [Setting::Section {
            name: "provider".to_owned(),
            inside: vec![Setting::Field { name: "id".to_owned(), value: "</dd><script>".to_owned() }],
        }];
        render(&Page { summary, chronicle, subject: "<in> & \"out\".jsonl", settings: &settings })
    }

    /// Every element that is opened is closed, in order, and every attribute is quoted.
    fn assert_well_formed(page: &str) {
        let mut open: Vec<&str> = Vec::new();
        let body = page.strip_prefix("<!DOCTYPE html>").expect("a document");
        for piece in body.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').expect("a tag ends");
            assert!(!text.contains('>') || open.last() == Some(&"style") || tag == "style", "{piece}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{piece}");
            } else if !tag.ends_with('/') && !tag.starts_with("meta ") {
                open.push(tag.split(' ').next().expect("a name"));
            }
        }
        assert_eq!(open, Vec::<&str>::new());
    }

    #[test]
    fn a_page_is_well_formed_whatever_things_are_called() {
        let page = page(&sample(), &chronicle());
        assert_well_formed(&page);
        assert!(!page.contains("<script") && !page.contains("</dd><s"), "no text becomes markup");
        assert!(page.contains("local/&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"));
        assert!(page.contains("&lt;in&gt; &amp; &quot;out&quot;.jsonl"));
    }

    #[test]
    fn a_page_asks_for_nothing_from_elsewhere() {
        let page = page(&sample(), &chronicle());
        for word in ["http:", "https:", "src=", "href=", "@import", "<link", "<img", "<iframe", "<script"] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(page.matches("url(").count(), page.matches("url(#hatch)").count());
    }

    #[test]
    fn the_numbers_are_those_of_the_summary() {
        let page = page(&sample(), &chronicle());
        for (name, value) in [("rows", "100"), ("ok", "97"), ("makespan_s", "10"), ("utilisation", "0.95")] {
            assert!(page.contains(&format!("data-name=\"{name}\" data-value=\"{value}\"")), "{name}");
        }
        assert!(page.contains("97 of 100 rows answered in 10.0 s, 95.0% of what the keys allow."));
        assert!(page.contains("disabled: bad_credential"));
    }

    #[test]
    fn a_run_without_a_single_call_has_a_page_too() {
        let empty = Chronicle::begin(at(0));
        let page = page(&Summary { calls: 0, keys: Vec::new(), ..sample() }, &empty);
        assert_well_formed(&page);
        for told in ["No call was made.", "No call succeeded.", "No call went wrong."] {
            assert!(page.contains(told), "{told}");
        }
    }

    #[test]
    fn hundreds_of_keys_and_a_long_run_stay_below_a_megabyte_or_two() {
        let mut chronicle = Chronicle::begin(at(0));
        for call in 0..60_000 {
            let key = format!("local/k{}", call % 300);
            let busy = if call / 300 % 2 == 0 { 3 } else { 1 };
            for _ in 0..busy {
                chronicle.note_row(&[attempt(&key, call * 60, 40, None)], RowEnd::Ok);
            }
        }
        chronicle.close(at(3_600_000));
        let page = page(&sample(), &chronicle);
        assert_well_formed(&page);
        assert!(page.len() < 2_000_000, "{}", page.len());
        assert!(page.contains("other keys"));
    }
}
