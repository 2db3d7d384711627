//! The dashboard's files. They are the same for everybody and hold nothing; what they show they ask for.

use hyper::StatusCode;

use super::answer::{Answer, bytes};

/// One of them.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [File; 9] = [
    File { path: "/", kind: "text/html; charset=utf-8", text: include_str!("dashboard.html") },
    File { path: "/dashboard.css", kind: "text/css; charset=utf-8", text: include_str!("dashboard.css") },
    File { path: "/dashboard.js", kind: SCRIPT, text: include_str!("dashboard.js") },
    File { path: "/chart.js", kind: SCRIPT, text: include_str!("chart.js") },
    File { path: "/dialog.js", kind: SCRIPT, text: include_str!("dialog.js") },
    File { path: "/failures.js", kind: SCRIPT, text: include_str!("failures.js") },
    File { path: "/keys.js", kind: SCRIPT, text: include_str!("keys.js") },
    File { path: "/words.js", kind: SCRIPT, text: include_str!("words.js") },
    File { path: "/icon.svg", kind: "image/svg+xml", text: include_str!("icon.svg") },
];

impl File {
    /// The file at `path`.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.path == path)
    }

    /// Whether it is the page itself.
    pub(super) fn is_page(&self) -> bool {
        self.path == "/"
    }
}

pub(super) fn file(file: &'static File) -> Answer {
    bytes(StatusCode::OK, file.kind, file.text)
}
