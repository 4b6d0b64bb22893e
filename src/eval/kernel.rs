//! Operators and point functions over slices: one loop each.
//!
//! A null is NaN on both sides. Every result is a finite number or null, so that a null stays one through all that follows.

use crate::formula::{BinaryOp, UnaryOp};

/// What is computed of one operand; null for a null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Map {
    /// A prefix operator.
    Unary(UnaryOp),
    /// `abs`.
    Abs,
    /// `floor`.
    Floor,
    /// `ceil`.
    Ceil,
    /// `round`: half away from zero.
    Round,
    /// `sqrt`.
    Sqrt,
    /// `exp`.
    Exp,
    /// `ln`.
    Ln,
    /// `log10`.
    Log10,
}

/// What is computed of two operands; null for a null, but for `coalesce`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zip {
    /// An infix operator.
    Binary(BinaryOp),
    /// `min` of two.
    Min,
    /// `max` of two.
    Max,
    /// `coalesce` of two.
    Coalesce,
}

/// A prefix operator or a function of one operand.
pub fn map(kernel: Map, a: &[f64], out: &mut [f64]) {
    match kernel {
        Map::Unary(UnaryOp::Neg) => each(a, out, |a| -a),
        Map::Unary(UnaryOp::Not) => each(a, out, |a| truth(a == 0.0)),
        Map::Abs => each(a, out, f64::abs),
        Map::Floor => each(a, out, f64::floor),
        Map::Ceil => each(a, out, f64::ceil),
        Map::Round => each(a, out, f64::round),
        Map::Sqrt => each(a, out, f64::sqrt),
        Map::Exp => each(a, out, f64::exp),
        Map::Ln => each(a, out, f64::ln),
        Map::Log10 => each(a, out, f64::log10),
    }
}

/// An infix operator or a function of two operands.
pub fn zip(kernel: Zip, a: &[f64], b: &[f64], out: &mut [f64]) {
    match kernel {
        Zip::Binary(op) => binary(op, a, b, out),
        Zip::Min => pairs(a, b, out, f64::min),
        Zip::Max => pairs(a, b, out, f64::max),
        Zip::Coalesce => {
            for ((a, b), out) in a.iter().zip(b).zip(out) {
                *out = if a.is_nan() { *b } else { *a };
            }
        }
    }
}

/// `if`: null where the condition is.
pub fn choose(condition: &[f64], a: &[f64], b: &[f64], out: &mut [f64]) {
    for (((condition, a), b), out) in condition.iter().zip(a).zip(b).zip(out) {
        let chosen = if *condition != 0.0 { *a } else { *b };
        *out = if condition.is_nan() { f64::NAN } else { chosen };
    }
}

fn binary(op: BinaryOp, a: &[f64], b: &[f64], out: &mut [f64]) {
    match op {
        BinaryOp::Add => pairs(a, b, out, |a, b| a + b),
        BinaryOp::Sub => pairs(a, b, out, |a, b| a - b),
        BinaryOp::Mul => pairs(a, b, out, |a, b| a * b),
        BinaryOp::Div => pairs(a, b, out, |a, b| a / b),
        BinaryOp::Rem => pairs(a, b, out, |a, b| a % b),
        BinaryOp::Pow => pairs(a, b, out, f64::powf),
        BinaryOp::Eq => pairs(a, b, out, |a, b| truth(a == b)),
        BinaryOp::Ne => pairs(a, b, out, |a, b| truth(a != b)),
        BinaryOp::Lt => pairs(a, b, out, |a, b| truth(a < b)),
        BinaryOp::Le => pairs(a, b, out, |a, b| truth(a <= b)),
        BinaryOp::Gt => pairs(a, b, out, |a, b| truth(a > b)),
        BinaryOp::Ge => pairs(a, b, out, |a, b| truth(a >= b)),
        BinaryOp::And => pairs(a, b, out, |a, b| truth(a != 0.0 && b != 0.0)),
        BinaryOp::Or => pairs(a, b, out, |a, b| truth(a != 0.0 || b != 0.0)),
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Selections rather than branches, so that the loops become vector instructions.
fn each(a: &[f64], out: &mut [f64], f: impl Fn(f64) -> f64) {
    for (a, out) in a.iter().zip(out) {
        let value = f(*a);
        *out = if value.is_finite() & !a.is_nan() { value } else { f64::NAN };
    }
}

fn pairs(a: &[f64], b: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    for ((a, b), out) in a.iter().zip(b).zip(out) {
        let value = f(*a, *b);
        *out = if value.is_finite() & !a.is_nan() & !b.is_nan() { value } else { f64::NAN };
    }
}
