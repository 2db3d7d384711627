//! The surfaces of Keywheel: the words typed, files, HTTP and the terminal.

pub mod cli;

pub mod command;

pub mod admin;
pub mod batch;
pub mod check;
pub mod clients;
pub mod config;
pub mod demo;
pub mod failures;
pub mod gateway;
pub mod money;
pub mod session;
pub mod sim;
pub mod telemetry;

pub mod ui;

mod descriptors;
pub mod exit;
mod private;
mod reminder;
