//! The integration tests, one binary.

mod catalog;
mod formula;
mod http;
mod law;
mod licences;
mod real_input;
#[path = "../support/mod.rs"]
mod support;
