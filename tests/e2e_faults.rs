//! Faults behind the gateway. After each the three ledgers are joined by the requests' names: what clients saw, what the
//! gateway logged and counted, what the providers accepted.
#![cfg(unix)]

mod support;

#[path = "e2e_faults/run.rs"]
mod run;

#[path = "e2e_faults/authority.rs"]
mod authority;
#[path = "e2e_faults/one.rs"]
mod one;
#[path = "e2e_faults/raw.rs"]
mod raw;
#[path = "e2e_faults/words.rs"]
mod words;

#[path = "e2e_faults/certificates.rs"]
mod certificates;
#[path = "e2e_faults/network.rs"]
mod network;

#[path = "e2e_faults/connections.rs"]
mod connections;
#[path = "e2e_faults/pressure.rs"]
mod pressure;
#[path = "e2e_faults/providers.rs"]
mod providers;
#[path = "e2e_faults/streams.rs"]
mod streams;

#[path = "e2e_faults/held.rs"]
mod held;
#[path = "e2e_faults/keys.rs"]
mod keys;
#[cfg(target_os = "linux")]
#[path = "e2e_faults/process.rs"]
mod process;
