//! A dialect whose provider wants the key in another place than its kin.

use std::time::SystemTime;

use ::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;

use super::{Api, BadSecret, Dialect, StreamReader, secret_header};
use crate::id::Model;
use crate::outcome::{Fault, Gauges, Usage};
use crate::request::Request;
use crate::secret::Secret;
use crate::spec::Counting;
use crate::tokens::{Estimate, Tokens};

/// The dialect `D` with the bare key in a header of its own: `api-key` for OpenAI's models at Azure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyInHeader<D> {
    dialect: D,
    header: HeaderName,
}

impl<D: Dialect> KeyInHeader<D> {
    /// Speaks `dialect`, but sends the key in `header`.
    pub const fn new(dialect: D, header: HeaderName) -> Self {
        Self { dialect, header }
    }
}

impl<D: Dialect> Dialect for KeyInHeader<D> {
    fn name(&self) -> &'static str {
        self.dialect.name()
    }

    fn api(&self) -> Option<Api> {
        self.dialect.api()
    }

    fn hosts_openai(&self, path: &str) -> bool {
        self.dialect.hosts_openai(path)
    }

    fn authenticate(&self, secret: &Secret, headers: &mut HeaderMap) -> Result<(), BadSecret> {
        headers.insert(self.header.clone(), secret_header("", secret)?);
        Ok(())
    }

    fn address_to(&self, request: &Request, model: &Model) -> (String, Bytes) {
        self.dialect.address_to(request, model)
    }

    fn fault_in(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Option<Fault> {
        self.dialect.fault_in(status, headers, body, now)
    }

    fn gauges(&self, headers: &HeaderMap, now: SystemTime) -> Gauges {
        self.dialect.gauges(headers, now)
    }

    fn usage_in(&self, body: &[u8]) -> Option<Usage> {
        self.dialect.usage_in(body)
    }

    fn estimate_tokens(&self, request: &Request) -> Estimate {
        self.dialect.estimate_tokens(request)
    }

    fn counting(&self) -> Counting {
        self.dialect.counting()
    }

    fn counted(&self, usage: &Usage) -> Tokens {
        self.dialect.counted(usage)
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        self.dialect.stream_reader()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::OpenAi;

    #[test]
    fn the_key_goes_bare_into_its_header_and_nowhere_else() {
        let azure = OpenAi::with_key_header(HeaderName::from_static("api-key"));
        let mut headers = HeaderMap::new();
        azure.authenticate(&Secret::new("k1"), &mut headers).unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["api-key"], "k1");
        assert!(headers["api-key"].is_sensitive());
        assert_eq!(azure.authenticate(&Secret::new(""), &mut headers), Err(BadSecret));
        assert_eq!(azure.name(), "openai");
    }
}
