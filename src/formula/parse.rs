//! Text → [`Expr`], through evalexpr's operator tree.

use std::ops::Range;

use super::Expr;

/// The longest expression, in characters.
pub const MAX_LENGTH: usize = 4096;
/// The deepest nesting of parentheses and prefix operators.
pub const MAX_DEPTH: usize = 64;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A stable identifier: `expression_syntax`, `expression_limit`, `unknown_function`, `wrong_arity`, …
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The bytes of the expression it is about.
    pub span: Range<usize>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Parses one expression.
///
/// # Errors
/// All faults that could be found, at least one.
pub fn parse(text: &str) -> Result<Expr, Vec<Fault>> {
    let _ = text;
    todo!("formula helper")
}
