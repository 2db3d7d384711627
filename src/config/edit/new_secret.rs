//! A secret on its way from a person into a file.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use keywheel_actors::secret::Secret;

use super::super::secret::{SECRET_BYTES_MAX, fault_of, without_newline};

/// A secret as somebody typed or piped it. Its `Debug` hides it, and its memory is overwritten in the end.
#[derive(Clone)]
pub struct NewSecret(String);

impl NewSecret {
    /// The most bytes that a secret may have.
    pub const BYTES_MAX: u64 = SECRET_BYTES_MAX;

    /// Takes what was read, but for the newline at its end.
    pub fn of_line(text: &str) -> Self {
        Self(without_newline(text).to_owned())
    }

    /// Why it can't be a key's secret, as the end of a sentence that begins with `the secret`.
    pub fn fault(&self) -> Option<&'static str> {
        if self.0.starts_with("env:") || self.0.starts_with("file:") {
            return Some("is a reference: `--env NAME` and `--from-file PATH` write those");
        }
        if self.0.starts_with('$') {
            return Some("is the name of a variable, which isn't expanded here: `--env NAME` refers to one");
        }
        fault_of(&self.0)
    }

    /// What everything else may know of it.
    pub fn secret(&self) -> Secret {
        Secret::new(self.0.clone())
    }

    /// The text, for the file that it goes to.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl FromStr for NewSecret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret(hidden)")
    }
}

impl Drop for NewSecret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Or else the compiler would find that nobody reads them any more.
        std::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<&'static str> {
        NewSecret::of_line(text).fault()
    }

    #[test]
    fn tells_what_can_be_no_secret() {
        assert_eq!(fault("sk-0\r\n"), None);
        assert_eq!(fault("\n"), Some("is empty"));
        assert_eq!(fault(" sk-0"), Some("begins or ends with white space"));
        assert_eq!(fault("sk-0\n\n"), Some("begins or ends with white space"));
        assert_eq!(fault("sk\u{7}0"), Some("holds control characters or letters beyond ASCII"));
        assert!(fault("env:NAME").is_some_and(|fault| fault.contains("--env")));
        assert!(fault("$OPENAI_KEY").is_some_and(|fault| fault.contains("isn't expanded")));
        assert_eq!(format!("{:?}", NewSecret::of_line("sk-0")), "NewSecret(hidden)");
    }
}
