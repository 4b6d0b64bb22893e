//! Logging, metrics, stage timers, profiles.
