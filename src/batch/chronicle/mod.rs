//! What a run records of itself over time, in bounded memory: the stuff that its report is made of.
//!
//! Rows tell their calls when they have ended ([`recorder`]), actors tell who
//! rests ([`watch`]). All of it is kept in buckets of time that grow wider
//! with the run ([`timeline`]), so an hour takes as much room as a second.

pub(in crate::batch) mod flow;
pub(in crate::batch) mod latency;
pub(in crate::batch) mod record;
pub(in crate::batch) mod recorder;
pub(in crate::batch) mod rests;
pub(in crate::batch) mod timeline;
mod watch;

pub use record::Chronicle;
pub use recorder::Recorder;
pub(in crate::batch) use watch::Watched;
