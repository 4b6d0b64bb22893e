//! The integration tests, one binary.

#![allow(clippy::unwrap_used, clippy::panic)]

mod catalog;
mod embedded;
mod experiment;
mod formula;
mod functions;
mod http;
mod law;
mod licences;
mod portable;
mod real_input;
mod shadow;
#[path = "../support/mod.rs"]
mod support;
mod switch;
