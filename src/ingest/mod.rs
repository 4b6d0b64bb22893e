//! Files of points → a backend.

use std::io::Read;

use crate::backend::Backend;

/// What a load came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Points stored.
    pub stored: u64,
    /// Distinct stored series seen.
    pub series: u64,
    /// Lines that were refused; the first thousand are named.
    pub refused: u64,
    /// Line number (from 1) and reason.
    pub faults: Vec<(u64, String)>,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With a header `series,timestamp,value,<tag>,…`.
    Csv,
    /// `{"series","timestamp","value","tags"}` a line.
    Ndjson,
}

/// Reads points and writes them in batches. `progress` is told the bytes read and the points stored so far.
///
/// # Errors
/// When the file cannot be read or the backend fails; points stored before that stay.
pub async fn load(
    input: impl Read + Send + 'static,
    format: Option<Format>,
    backend: &dyn Backend,
    shift: i64,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> anyhow::Result<Report> {
    let _ = (input, format, backend, shift, progress);
    todo!("embedded helper")
}
