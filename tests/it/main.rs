//! The integration tests, one binary.

mod catalog;
mod cli;
mod embedded;
mod eval;
mod formula;
mod http;
mod kairosdb;
mod law;
mod layers;
mod licences;
#[path = "../support/mod.rs"]
mod support;
