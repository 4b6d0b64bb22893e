//! Snapshot and request → plan.
