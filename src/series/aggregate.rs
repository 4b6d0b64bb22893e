//! Raw points to buckets.
