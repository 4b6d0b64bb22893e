//! Reload: compile, publish, keep the last good.
