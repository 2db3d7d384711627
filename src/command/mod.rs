//! One file for each verb of the command line.

pub mod batch;
pub mod demo;
pub mod engine;
pub mod sim;
