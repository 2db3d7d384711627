//! The surfaces of Keywheel.
