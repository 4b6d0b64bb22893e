//! An answer as bytes. Values are written by hand, everything else by serde.

mod csv;
mod json;
mod number;
#[cfg(test)]
mod tests;

pub use csv::csv;
pub use json::json;
