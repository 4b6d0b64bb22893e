//! The integration tests, one binary.

#![allow(clippy::unwrap_used, clippy::panic)]

mod calendar;
mod catalog;
mod check;
mod cli;
mod compare;
mod deploy;
mod diff;
mod documents;
mod embedded;
mod experiment;
mod formula;
mod formula_tests;
mod functions;
mod hostile;
mod http;
mod identities;
mod init;
mod language;
mod law;
mod layers;
mod licences;
mod lint;
mod live;
mod one_call;
mod portable;
mod readme;
mod real_input;
mod reload;
mod schema;
mod service;
mod shadow;
#[path = "../support/mod.rs"]
mod support;
mod switch;
