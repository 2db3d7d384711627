//! A client's token: kept as its hash alone.

use std::fmt;
use std::str::FromStr;

use ring::digest;

/// What a written hash begins with: another function would have another name.
const FUNCTION: &str = "sha256:";

/// The SHA-256 of a token. Tokens are long and random, so that a hash made to be slow would guard nothing more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// Not a hash as `keywheel client new` writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a hash: it has `{FUNCTION}` and 64 hexadecimal digits")]
pub struct NoHash;

impl TokenHash {
    /// Of this token.
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// Whether both are the same, told in a time that says nothing about where they differ.
    pub(super) fn matches(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |differing, (a, b)| differing | (a ^ b));
        std::hint::black_box(differing) == 0
    }
}

impl FromStr for TokenHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digits = text.strip_prefix(FUNCTION).ok_or(NoHash)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoHash);
        }
        let mut hash = [0; 32];
        for (byte, place) in hash.iter_mut().zip((0..digits.len()).step_by(2)) {
            *byte = u8::from_str_radix(&digits[place..place + 2], 16).map_err(|_| NoHash)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FUNCTION)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FUNCTION}{:02x}{:02x}…", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = TokenHash::of("kw-1");
        let written = hash.to_string();
        assert_eq!(written.parse(), Ok(hash));
        assert_eq!(written.to_uppercase().replace("SHA256", "sha256").parse(), Ok(hash));
        assert!(hash.matches(&TokenHash::of("kw-1")) && !hash.matches(&TokenHash::of("kw-2")));
        for wrong in ["", "kw-1", "sha256:", &written[..70], &format!("{written}0"), "sha256:é"] {
            assert_eq!(wrong.parse::<TokenHash>(), Err(NoHash), "{wrong}");
        }
    }

    /// The vector of FIPS 180-4 for "abc".
    #[test]
    fn it_is_sha_256() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::of("abc").to_string(), abc);
    }
}
