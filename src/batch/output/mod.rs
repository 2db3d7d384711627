//! From answers to lines: what is written, in which form, and what of it survives a kill.

pub(in crate::batch) mod line;
pub(in crate::batch) mod write;
