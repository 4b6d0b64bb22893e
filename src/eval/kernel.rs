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

/// A prefix operator or a function of one operand. Places where it made a null of a value are added to `made`.
pub fn map(kernel: Map, a: &[f64], out: &mut [f64], made: &mut Vec<usize>) {
    match kernel {
        Map::Unary(UnaryOp::Neg) => each(a, out, made, |a| -a),
        Map::Unary(UnaryOp::Not) => guarded(a, a, out, made, |a, _| truth(a == 0.0)),
        Map::Abs => each(a, out, made, f64::abs),
        Map::Floor => each(a, out, made, f64::floor),
        Map::Ceil => each(a, out, made, f64::ceil),
        Map::Round => each(a, out, made, f64::round),
        Map::Sqrt => each(a, out, made, f64::sqrt),
        Map::Exp => each(a, out, made, f64::exp),
        Map::Ln => each(a, out, made, f64::ln),
        Map::Log10 => each(a, out, made, f64::log10),
    }
}

/// An infix operator or a function of two operands. Places where it made a null of values are added to `made`.
pub fn zip(kernel: Zip, a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>) {
    match kernel {
        Zip::Binary(op) => binary(op, a, b, out, made),
        Zip::Min => guarded(a, b, out, made, f64::min),
        Zip::Max => guarded(a, b, out, made, f64::max),
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

fn binary(op: BinaryOp, a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>) {
    match op {
        BinaryOp::Add => pairs(a, b, out, made, |a, b| a + b),
        BinaryOp::Sub => pairs(a, b, out, made, |a, b| a - b),
        BinaryOp::Mul => pairs(a, b, out, made, |a, b| a * b),
        BinaryOp::Div => pairs(a, b, out, made, |a, b| a / b),
        BinaryOp::Rem => pairs(a, b, out, made, |a, b| a % b),
        BinaryOp::Pow => guarded(a, b, out, made, f64::powf),
        BinaryOp::Eq => guarded(a, b, out, made, |a, b| truth(a == b)),
        BinaryOp::Ne => guarded(a, b, out, made, |a, b| truth(a != b)),
        BinaryOp::Lt => guarded(a, b, out, made, |a, b| truth(a < b)),
        BinaryOp::Le => guarded(a, b, out, made, |a, b| truth(a <= b)),
        BinaryOp::Gt => guarded(a, b, out, made, |a, b| truth(a > b)),
        BinaryOp::Ge => guarded(a, b, out, made, |a, b| truth(a >= b)),
        BinaryOp::And => guarded(a, b, out, made, |a, b| truth(a != 0.0 && b != 0.0)),
        BinaryOp::Or => guarded(a, b, out, made, |a, b| truth(a != 0.0 || b != 0.0)),
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// What gives NaN for a NaN by itself: where all results are finite, there is no null and nothing more to do.
fn each(a: &[f64], out: &mut [f64], made: &mut Vec<usize>, f: impl Fn(f64) -> f64) {
    let mut odd = 0;
    for (a, out) in a.iter().zip(&mut *out) {
        *out = f(*a);
        odd |= oddness(*out);
    }
    if is_odd(odd) {
        settle(a, a, out, made);
    }
}

fn pairs(a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>, f: impl Fn(f64, f64) -> f64) {
    let mut odd = 0;
    for ((a, b), out) in a.iter().zip(b).zip(&mut *out) {
        *out = f(*a, *b);
        odd |= oddness(*out);
    }
    if is_odd(odd) {
        settle(a, b, out, made);
    }
}

/// What may give a number for a NaN.
fn guarded(a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>, f: impl Fn(f64, f64) -> f64) {
    pairs(a, b, out, made, |a, b| if a.is_nan() | b.is_nan() { f64::NAN } else { f(a, b) });
}

/// Bits of which none but the sign's is set for a number; those of all values are gathered without a comparison, so that the
/// loops are short vector instructions.
fn oddness(value: f64) -> u64 {
    (value * 0.0).to_bits()
}

fn is_odd(bits: u64) -> bool {
    bits << 1 != 0
}

/// How many values are looked at together for nulls that were made.
const BLOCK: usize = 32;

/// Makes nulls of what is not finite, where the operands are no nulls.
fn settle(a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>) {
    let is_made = |a: f64, b: f64, out: f64| !out.is_finite() & !(a.is_nan() | b.is_nan());
    for (block, ((a, b), out)) in a.chunks(BLOCK).zip(b.chunks(BLOCK)).zip(out.chunks_mut(BLOCK)).enumerate() {
        let any = a.iter().zip(b).zip(&*out).fold(0, |any, ((a, b), out)| any | u64::from(is_made(*a, *b, *out)));
        if any == 0 {
            continue;
        }
        for (index, ((a, b), out)) in a.iter().zip(b).zip(out).enumerate() {
            if is_made(*a, *b, *out) {
                *out = f64::NAN;
                made.push(block * BLOCK + index);
            }
        }
    }
}
