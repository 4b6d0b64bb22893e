//! Wires the parts: start-up order, readiness, graceful shutdown.
