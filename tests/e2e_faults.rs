//! Faults behind the gateway. After each the three ledgers are joined by the requests' names: what clients saw, what the
//! gateway logged and counted, what the providers accepted.
#![cfg(unix)]

mod support;

#[path = "e2e_faults/run.rs"]
mod run;

#[path = "e2e_faults/providers.rs"]
mod providers;
