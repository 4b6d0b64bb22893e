//! Frames and chart metadata → results.
