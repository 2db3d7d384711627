//! A browser that is led by hand: keys pressed, places clicked, and what it shows read. It is spoken to over a pair
//! of pipes, in the words of its developer tools (<https://chromedevtools.github.io/devtools-protocol/>).

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::PATIENCE;
use super::live::until;

/// Names that a browser of this family goes by.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser reads its orders from file 3 and answers on file 4.
const PIPES: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// One page of a browser of its own. Dropped, it is closed.
pub(crate) struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: mpsc::Receiver<Value>,
    page: Option<String>,
    last: u64,
    loaded: bool,
    /// What went wrong inside the page, and what it has asked for.
    pub(crate) complaints: Vec<String>,
    pub(crate) asked_for: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let is_there = |name: &&str| {
            Command::new(name).arg("--version").output().is_ok_and(|said| said.status.success())
        };
        let name = BROWSERS.into_iter().find(is_there);
        let name = name.expect("these tests need a browser: install the package `chromium`");
        let profile = tempfile::tempdir().expect("a directory for the browser");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            PIPES,
            "sh",
            name,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ]);
        command.args(["--remote-debugging-pipe", "--force-prefers-reduced-motion"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the browser starts");
        let orders = child.stdin.take().expect("piped");
        let mut pipe = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, answers) = mpsc::channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while pipe.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
                message.pop();
                // A test that failed doesn't listen any more.
                let _ = tell.send(serde_json::from_slice(&message).expect("the browser speaks JSON"));
                message.clear();
            }
        });
        let (complaints, asked_for) = (Vec::new(), Vec::new());
        let mut browser = Self {
            child,
            orders,
            answers,
            page: None,
            last: 0,
            loaded: false,
            complaints,
            asked_for,
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let page = browser.order("Target.attachToTarget", &attach)["sessionId"].as_str().map(str::to_owned);
        browser.page = page;
        for area in ["Page", "Runtime", "Network", "Log"] {
            browser.order(&format!("{area}.enable"), &json!({}));
        }
        browser
    }

    /// Gives an order and hears what became of it.
    #[track_caller]
    pub(crate) fn order(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut order = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(page) = &self.page {
            order["sessionId"] = json!(page);
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).expect("the browser listens");
        loop {
            let message = self.answers.recv_timeout(PATIENCE);
            let message = message.unwrap_or_else(|_| panic!("the browser doesn't answer to {order}"));
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{order}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let told = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded = true,
            Some("Runtime.exceptionThrown") => self.complaints.push(told["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if told["entry"]["level"] == "error" => {
                self.complaints.push(told["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                self.asked_for.push(told["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            _ => {}
        }
    }

    /// Goes to a page, and waits until it is there.
    #[track_caller]
    pub(crate) fn open(&mut self, url: &str) {
        self.loaded = false;
        self.order("Page.navigate", &json!({ "url": url }));
        while !self.loaded {
            let message = self.answers.recv_timeout(PATIENCE).expect("the page loads");
            self.note(&message);
        }
    }

    /// What an expression of the page's own language gives.
    #[track_caller]
    pub(crate) fn look(&mut self, expression: &str) -> Value {
        let words = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let seen = self.order("Runtime.evaluate", &words);
        assert!(seen["exceptionDetails"].is_null(), "{expression}: {seen}");
        seen["result"]["value"].clone()
    }

    /// Waits until an expression holds.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        until(expression, || self.look(&format!("Boolean({expression})")) == true);
    }

    /// What is written somewhere.
    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let seen = self.look(&format!("document.querySelector({})?.innerText", json!(selector)));
        seen.as_str().unwrap_or_else(|| panic!("there is no {selector}")).to_owned()
    }

    /// Waits until something is written somewhere.
    #[track_caller]
    pub(crate) fn until_text(&mut self, selector: &str, part: &str) {
        self.until(&format!(
            "document.querySelector({})?.innerText.includes({})",
            json!(selector),
            json!(part)
        ));
    }

    /// Clicks with the mouse.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.look(&format!(
            "(() => {{ const it = document.querySelector({}); it.scrollIntoView({{ block: 'center' }}); \
             const box = it.getBoundingClientRect(); \
             return {{ x: box.x + box.width / 2, y: box.y + box.height / 2, wide: box.width }}; }})()",
            json!(selector)
        ));
        assert!(place["wide"].as_f64() > Some(0.0), "{selector} can't be seen");
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let (x, y) = (&place["x"], &place["y"]);
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.order("Input.dispatchMouseEvent", &event);
        }
    }

    /// Presses a key of the keyboard.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            other => panic!("nobody has pressed {other} yet"),
        };
        let words = json!({ "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
        for kind in ["keyDown", "keyUp"] {
            let mut event = words.clone();
            event["type"] = json!(kind);
            self.order("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types a text where the focus is.
    pub(crate) fn write(&mut self, text: &str) {
        self.order("Input.insertText", &json!({ "text": text }));
    }

    /// Presses Tab until an expression about `document.activeElement` holds; the way there, as texts.
    #[track_caller]
    pub(crate) fn tab_to(&mut self, expression: &str) -> Vec<String> {
        let mut passed = Vec::new();
        for _ in 0..200 {
            if self.look(&format!("Boolean({expression})")) == true {
                return passed;
            }
            self.press("Tab");
            let here = self.look("document.activeElement.innerText || document.activeElement.id");
            passed.push(here.as_str().unwrap_or_default().to_owned());
        }
        panic!("the keyboard doesn't lead there: {expression}, but to {passed:?}");
    }

    /// Makes the window so large, in pixels.
    pub(crate) fn resize(&mut self, width: u64, height: u64) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.order("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Nobody complained inside the page.
    #[track_caller]
    pub(crate) fn assert_calm(&mut self) {
        // What was told before the answer has been noted.
        self.look("1");
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
