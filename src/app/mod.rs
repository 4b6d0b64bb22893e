//! Wires the parts: start-up order, readiness, graceful shutdown.

pub mod demo;
