//! What is settled at the start of a gateway and stays so until its end.

use std::time::Duration;

/// What is settled at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a request may take in all unless its client says otherwise.
    pub deadline: Duration,
    /// The longest body of a request that is routed.
    pub body_bytes_max: usize,
    /// The longest pause inside a request's body.
    pub body_timeout: Duration,
}
