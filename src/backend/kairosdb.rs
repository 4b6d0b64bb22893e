//! KairosDB.
