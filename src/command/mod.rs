//! One file for each verb of the command line.

pub mod batch;
pub mod client;
pub mod completions;
pub mod config;
pub mod demo;
mod ending;
pub mod engine;
pub mod events;
pub mod failures;
pub mod man;
pub mod provider;
pub mod serve;
pub mod sim;
pub mod stdout;
pub mod stopping;
