//! The tests against real databases, one binary. `make test` starts the databases and tells their addresses.

#![allow(clippy::unwrap_used, clippy::panic)]

mod answers;
mod conformance;
mod daily;
mod elasticsearch;
mod embedded;
mod first_keyspace;
mod kairosdb;
mod m3db;
mod one_request;
mod prometheus;
#[path = "../support/mod.rs"]
mod support;
mod switch;
mod traps;
mod values;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a database answers. None of these tests passes by being skipped.
fn address(backend: &str) -> String {
    let variable = format!("TSDB_WS_TEST_{}_URL", backend.to_uppercase());
    std::env::var(&variable)
        .unwrap_or_else(|_| panic!("{variable} is not set; run `make test`, which starts the databases"))
}

/// A prefix of series that no other test and no other run has.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("t{now}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
