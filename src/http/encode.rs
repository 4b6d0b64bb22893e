//! An answer as bytes.

use crate::query::{Answer, FormulaError};

/// The answer as JSON.
pub fn json(answer: &Answer) -> Vec<u8> {
    let _ = answer;
    todo!("http helper")
}

/// The answer as CSV: `name,timestamp,value,<every tag, sorted>`.
///
/// # Errors
/// The name and error of the first formula that failed.
pub fn csv(answer: &Answer) -> Result<Vec<u8>, (String, FormulaError)> {
    let _ = answer;
    todo!("http helper")
}
