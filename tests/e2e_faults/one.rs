//! One request after the other over raw providers, and all that its client saw.

use reqwest::Response;

use crate::raw::Raw;
use crate::run::{Run, Saw};
use crate::support::gateway::header;
use crate::support::live::{key, status};

/// Who gives nobody an answer is asked so often by requests that come one after the other, until it is left alone:
/// twice, twice, and once more.
pub(crate) const ASKED: [u32; 3] = [3, 3, 2];

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A chat, answered in one piece.
    Chat,
    /// The same as a stream.
    Stream,
    /// A file of the provider `p0`.
    File,
}

/// What a client saw of an answer.
pub(crate) struct One {
    pub(crate) status: u16,
    /// Who was asked last.
    pub(crate) provider: String,
    /// Calls that were made.
    pub(crate) attempts: u32,
    pub(crate) body: Vec<u8>,
    /// Whether the connection broke off inside the body.
    pub(crate) is_broken: bool,
}

impl One {
    /// Hears an answer out, and tells `raws` when something of it has come.
    async fn of(mut answer: Response, raws: &[Raw]) -> Self {
        let status = answer.status().as_u16();
        let said = |name: &str| header(&answer, name).unwrap_or_default().to_owned();
        let (provider, attempts) = (said("x-keywheel-provider"), said("x-keywheel-attempts"));
        let attempts = attempts.parse().expect("a number");
        let mut body = Vec::new();
        let is_broken = loop {
            match answer.chunk().await {
                Ok(Some(piece)) => {
                    body.extend_from_slice(&piece);
                    raws.iter().for_each(Raw::cue);
                }
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        Self { status, provider, attempts, body, is_broken }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// It was served by this provider after so many calls.
    #[track_caller]
    pub(crate) fn served_by(&self, provider: &str, attempts: u32) -> &Self {
        let text = self.text();
        let shown: String = text.chars().take(300).collect();
        assert_eq!(
            (self.status, self.provider.as_str(), self.attempts),
            (200, provider, attempts),
            "{shown}"
        );
        assert!(!self.is_broken && !text.contains("stream_broken"), "{shown}");
        self
    }

    /// It began well, came as far as `begun` and told of its end.
    #[track_caller]
    pub(crate) fn broke_off_behind(&self, begun: &str) -> &Self {
        let text = self.text();
        let error = text.strip_prefix(begun).unwrap_or_else(|| panic!("{text}"));
        assert!(error.starts_with("data: {\"error\"") && error.contains("\"stream_broken\""), "{text}");
        assert!(error.ends_with("}\n\n") && !text.contains("[DONE]"), "{text}");
        self
    }

    fn is_whole(&self, kind: Kind) -> bool {
        let text = self.text();
        let looks_whole = match kind {
            Kind::Chat => text.ends_with('}') && !text.contains("\"error\""),
            Kind::Stream => text.contains("[DONE]") && !text.contains("\"error\""),
            Kind::File => true,
        };
        self.status == 200 && !self.is_broken && looks_whole
    }
}

impl Run<Raw> {
    /// Over these providers, each with a key of its own name and, as the configuration writes them, such timeouts.
    pub(crate) fn over_raw(providers: Vec<(Raw, &str)>, words: &[&str]) -> Self {
        let configs = providers.iter().enumerate();
        let config: String =
            configs.map(|(number, (raw, more))| toml(&format!("p{number}"), &raw.base_url(), more)).collect();
        let raws = providers.into_iter().map(|(raw, _)| raw).collect();
        Self::over(raws, &config, words)
    }

    /// Sends one and hears it out.
    pub(crate) async fn one(&mut self, kind: Kind) -> One {
        let id = format!("one-{}", self.saw.len());
        let request = match kind {
            Kind::Chat => self.gateway.chat(&id),
            Kind::Stream => self.gateway.stream(&id),
            Kind::File => self.gateway.get("/providers/p0/files/1").header("x-request-id", &id),
        };
        let one = request.send().await.expect("every request has an answer");
        let one = One::of(one, &self.providers).await;
        self.saw.push(Saw { id, status: one.status, is_whole: one.is_whole(kind) });
        one
    }

    /// What the log of failures says up to now.
    pub(crate) fn logged(&self) -> String {
        self.desk.run(&["failures"]).stdout
    }

    /// No key has been blamed for anything.
    #[track_caller]
    pub(crate) fn assert_keys_are_active(&self, names: &[&str]) {
        let seen = status(&self.desk);
        for name in names {
            assert_eq!(key(&seen, name)["status"], "active", "{name}");
        }
    }
}

/// A provider in a configuration, with a key of the same name and these lines besides.
pub(crate) fn toml(id: &str, base_url: &str, more: &str) -> String {
    format!(
        "[[provider]]\nid = \"{id}\"\ndialect = \"openai\"\nbase_url = \"{base_url}\"\n{more}\n\
         [[provider.key]]\nname = \"{id}\"\nsecret = \"sk-{id}\"\n"
    )
}
