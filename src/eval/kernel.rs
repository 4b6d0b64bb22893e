//! Operators and point functions over slices: one loop each.
//!
//! A null is NaN on both sides. Every result is a finite number or null, so that a null stays one through all that follows.

use crate::formula::{BinaryOp, UnaryOp};
use crate::series::column::wide;

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
        Map::Unary(UnaryOp::Neg) => total(a, a, out, |a, _| -a),
        Map::Unary(UnaryOp::Not) => guarded(a, a, out, |a, _| truth(a == 0.0)),
        Map::Abs => total(a, a, out, |a, _| a.abs()),
        Map::Floor => total(a, a, out, |a, _| a.floor()),
        Map::Ceil => total(a, a, out, |a, _| a.ceil()),
        Map::Round => total(a, a, out, |a, _| a.round()),
        Map::Sqrt => partial(a, a, out, made, |a, _| a.sqrt()),
        Map::Exp => overflowing(a, a, out, made, |a, _| a.exp()),
        Map::Ln => partial(a, a, out, made, |a, _| a.ln()),
        Map::Log10 => partial(a, a, out, made, |a, _| a.log10()),
    }
}

/// An infix operator or a function of two operands. Places where it made a null of values are added to `made`.
pub fn zip(kernel: Zip, a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>) {
    match kernel {
        Zip::Binary(op) => binary(op, a, b, out, made),
        Zip::Min => guarded(a, b, out, f64::min),
        Zip::Max => guarded(a, b, out, f64::max),
        Zip::Coalesce => total(a, b, out, |a, b| if a.is_nan() { b } else { a }),
    }
}

/// `if`: null where the condition is.
pub fn choose(condition: &[f64], a: &[f64], b: &[f64], out: &mut [f64]) {
    wide(|| {
        for (((condition, a), b), out) in condition.iter().zip(a).zip(b).zip(out) {
            let chosen = if *condition != 0.0 { *a } else { *b };
            *out = if condition.is_nan() { f64::NAN } else { chosen };
        }
    });
}

fn binary(op: BinaryOp, a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>) {
    match op {
        BinaryOp::Add => overflowing(a, b, out, made, |a, b| a + b),
        BinaryOp::Sub => overflowing(a, b, out, made, |a, b| a - b),
        BinaryOp::Mul => overflowing(a, b, out, made, |a, b| a * b),
        BinaryOp::Div => partial(a, b, out, made, |a, b| a / b),
        BinaryOp::Rem => partial(a, b, out, made, |a, b| a % b),
        // Not `f64::powf` alone, to which 1 to a null and a null to 0 are 1.
        BinaryOp::Pow => partial(a, b, out, made, |a, b| if a.is_nan() | b.is_nan() { f64::NAN } else { a.powf(b) }),
        BinaryOp::Eq => guarded(a, b, out, |a, b| truth(a == b)),
        BinaryOp::Ne => guarded(a, b, out, |a, b| truth(a != b)),
        BinaryOp::Lt => guarded(a, b, out, |a, b| truth(a < b)),
        BinaryOp::Le => guarded(a, b, out, |a, b| truth(a <= b)),
        BinaryOp::Gt => guarded(a, b, out, |a, b| truth(a > b)),
        BinaryOp::Ge => guarded(a, b, out, |a, b| truth(a >= b)),
        BinaryOp::And => guarded(a, b, out, |a, b| truth(a != 0.0 && b != 0.0)),
        BinaryOp::Or => guarded(a, b, out, |a, b| truth(a != 0.0 || b != 0.0)),
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// What gives a number for all numbers, and deals with nulls itself.
fn total(a: &[f64], b: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    wide(|| {
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            *out = f(*a, *b);
        }
    });
}

/// What gives a number for all numbers, and might for a NaN.
fn guarded(a: &[f64], b: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    total(a, b, out, |a, b| if a.is_nan() | b.is_nan() { f64::NAN } else { f(a, b) });
}

/// What gives a number or, where that is too great, an infinity for all numbers, and NaN for a NaN: nulls of the operands
/// are no reason to look closer.
fn overflowing(a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>, f: impl Fn(f64, f64) -> f64) {
    let infinite = wide(|| {
        let mut infinite = 0;
        for ((a, b), out) in a.iter().zip(b).zip(&mut *out) {
            *out = f(*a, *b);
            infinite |= u64::from(out.abs() == f64::INFINITY);
        }
        infinite
    });
    if infinite != 0 {
        settle(a, b, out, made);
    }
}

/// What gives no number for some numbers, and NaN for a NaN: where all results are finite, there is nothing more to do.
fn partial(a: &[f64], b: &[f64], out: &mut [f64], made: &mut Vec<usize>, f: impl Fn(f64, f64) -> f64) {
    // Bits of which none but the sign's is set for a number; those of all values are gathered without a comparison, so that
    // the loop is short vector instructions.
    let odd = wide(|| {
        let mut odd = 0;
        for ((a, b), out) in a.iter().zip(b).zip(&mut *out) {
            *out = f(*a, *b);
            odd |= (*out * 0.0).to_bits();
        }
        odd
    });
    if odd << 1 != 0 {
        settle(a, b, out, made);
    }
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
        // Without a branch for each value, which would be mispredicted wherever there is something to do.
        let (mut places, mut count) = ([0; BLOCK + 1], 0);
        for (index, ((a, b), out)) in a.iter().zip(b).zip(out).enumerate() {
            let is_made = is_made(*a, *b, *out);
            *out = if is_made { f64::NAN } else { *out };
            places[count] = block * BLOCK + index;
            count += usize::from(is_made);
        }
        made.extend_from_slice(&places[..count]);
    }
}
