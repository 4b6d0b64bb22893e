//! tsdb-ws: formulas over time series, served from the database behind it.
//!
//! ```text
//! request   http ▶ query ▶ plan ▶ fetch (backend: one batched call) ▶ eval ▶ decorate ▶ http
//! reload    repository ▶ controller ▶ catalog::compile ▶ catalog::publish
//! ```
//! The two meet in one place: a request takes one `Arc` of the catalog and keeps it to its end.

#![warn(missing_docs)]

pub mod app;
pub mod backend;
pub mod catalog;
pub mod cli;
pub mod compare;
pub mod config;
pub mod controller;
pub mod decorate;
pub mod diagnostic;
pub mod eval;
pub mod formula;
pub mod http;
pub mod ingest;
pub mod plan;
pub mod query;
pub mod report;
pub mod repository;
pub mod series;
pub mod telemetry;

/// Fast where many small things are allocated, as plans and catalogs are made of, and it samples what is allocated for
/// `/debug/pprof/heap`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
