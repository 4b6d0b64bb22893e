//! Operators over columns: one loop each, then one more over the results that are not finite, where there are any.

use std::sync::Arc;

use crate::formula::{BinaryOp, Function, UnaryOp};
use crate::series::Column;

/// A column, or one value that stands for a whole one.
#[derive(Debug, Clone)]
pub enum Operand {
    /// The same everywhere; NaN is null.
    Constant(f64),
    /// One value a bucket.
    Column(Arc<Column>),
}

impl Operand {
    /// The value of a bucket; NaN is null.
    pub fn at(&self, index: usize) -> f64 {
        match self {
            Operand::Constant(value) => *value,
            Operand::Column(column) => column.values[index],
        }
    }

    fn undefined(&self, index: usize) -> bool {
        match self {
            Operand::Constant(_) => false,
            Operand::Column(column) => column.is_undefined(index),
        }
    }

    /// The operand as a column of `len` values.
    pub fn into_column(self, len: usize) -> Column {
        match self {
            Operand::Constant(value) => Column { values: vec![value; len], undefined: None },
            Operand::Column(column) => Arc::unwrap_or_clone(column),
        }
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// A prefix operator.
pub fn unary(op: UnaryOp, a: &Operand, len: usize) -> Operand {
    match op {
        UnaryOp::Neg => map(a, len, |a| -a),
        UnaryOp::Not => map(a, len, |a| truth(a == 0.0)),
    }
}

/// An infix operator.
pub fn binary(op: BinaryOp, a: &Operand, b: &Operand, len: usize) -> Operand {
    match op {
        BinaryOp::Add => zip(a, b, len, |a, b| a + b),
        BinaryOp::Sub => zip(a, b, len, |a, b| a - b),
        BinaryOp::Mul => zip(a, b, len, |a, b| a * b),
        BinaryOp::Div => zip(a, b, len, |a, b| a / b),
        BinaryOp::Rem => zip(a, b, len, |a, b| a % b),
        BinaryOp::Pow => zip(a, b, len, f64::powf),
        BinaryOp::Eq => zip(a, b, len, |a, b| truth(a == b)),
        BinaryOp::Ne => zip(a, b, len, |a, b| truth(a != b)),
        BinaryOp::Lt => zip(a, b, len, |a, b| truth(a < b)),
        BinaryOp::Le => zip(a, b, len, |a, b| truth(a <= b)),
        BinaryOp::Gt => zip(a, b, len, |a, b| truth(a > b)),
        BinaryOp::Ge => zip(a, b, len, |a, b| truth(a >= b)),
        BinaryOp::And => zip(a, b, len, |a, b| truth(a != 0.0 && b != 0.0)),
        BinaryOp::Or => zip(a, b, len, |a, b| truth(a != 0.0 || b != 0.0)),
    }
}

/// A function of class `Point`. An operand that no group supplies (`coalesce` alone has such) is a null constant.
pub fn point(function: Function, operands: &[Operand], len: usize) -> Operand {
    match (function, operands) {
        (Function::Abs, [a]) => map(a, len, f64::abs),
        (Function::Floor, [a]) => map(a, len, f64::floor),
        (Function::Ceil, [a]) => map(a, len, f64::ceil),
        (Function::Round, [a]) => map(a, len, f64::round),
        (Function::Sqrt, [a]) => map(a, len, f64::sqrt),
        (Function::Exp, [a]) => map(a, len, f64::exp),
        (Function::Ln, [a]) => map(a, len, f64::ln),
        (Function::Log10, [a]) => map(a, len, f64::log10),
        (Function::Pow, [a, b]) => zip(a, b, len, f64::powf),
        (Function::Min, [first, rest @ ..]) => {
            rest.iter().fold(first.clone(), |least, next| zip(&least, next, len, f64::min))
        }
        (Function::Max, [first, rest @ ..]) => {
            rest.iter().fold(first.clone(), |greatest, next| zip(&greatest, next, len, f64::max))
        }
        // Not `f64::clamp`, which panics where the bounds are crossed.
        (Function::Clamp, [x, low, high]) => zip(&zip(x, low, len, f64::max), high, len, f64::min),
        (Function::If, [condition, a, b]) => choose(len, operands, |index| match condition.at(index) {
            value if value.is_nan() => condition,
            value if value != 0.0 => a,
            _ => b,
        }),
        (Function::Coalesce, operands) => coalesce(operands, len),
        // The parser checks how many operands each function takes.
        _ => Operand::Constant(f64::NAN),
    }
}

fn map(a: &Operand, len: usize, f: impl Fn(f64) -> f64) -> Operand {
    let strict = |a: f64| if a.is_nan() { a } else { f(a) };
    match a {
        Operand::Constant(a) if strict(*a).is_finite() || a.is_nan() => Operand::Constant(strict(*a)),
        Operand::Constant(a) => finish(vec![strict(*a); len], &[Operand::Constant(*a)]),
        Operand::Column(column) => finish(column.values.iter().map(|a| strict(*a)).collect(), std::slice::from_ref(a)),
    }
}

fn zip(a: &Operand, b: &Operand, len: usize, f: impl Fn(f64, f64) -> f64) -> Operand {
    let strict = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { f(a, b) };
    let values = match (a, b) {
        (Operand::Constant(a), Operand::Constant(b)) => {
            let value = strict(*a, *b);
            if value.is_finite() || a.is_nan() || b.is_nan() {
                return Operand::Constant(value);
            }
            vec![value; len]
        }
        (Operand::Column(a), Operand::Constant(b)) => a.values.iter().map(|a| strict(*a, *b)).collect(),
        (Operand::Constant(a), Operand::Column(b)) => b.values.iter().map(|b| strict(*a, *b)).collect(),
        (Operand::Column(a), Operand::Column(b)) => {
            a.values.iter().zip(&b.values).map(|(a, b)| strict(*a, *b)).collect()
        }
    };
    finish(values, &[a.clone(), b.clone()])
}

/// Makes results that are not finite null, and marks those that are undefined: made from values, or from undefined nulls.
fn finish(mut values: Vec<f64>, operands: &[Operand]) -> Operand {
    let mut undefined = None;
    if !values.iter().all(|value| value.is_finite()) {
        let len = values.len();
        for (index, value) in values.iter_mut().enumerate().filter(|(_, value)| !value.is_finite()) {
            *value = f64::NAN;
            let of_values = operands.iter().all(|operand| !operand.at(index).is_nan());
            if of_values || operands.iter().any(|operand| operand.undefined(index)) {
                undefined.get_or_insert_with(|| vec![false; len])[index] = true;
            }
        }
    }
    Operand::Column(Arc::new(Column { values, undefined }))
}

/// At each bucket the value, or the null, of the operand that `of` names.
fn choose<'a>(len: usize, operands: &[Operand], of: impl Fn(usize) -> &'a Operand) -> Operand {
    let values = (0..len).map(|index| of(index).at(index)).collect();
    let marked =
        operands.iter().any(|operand| matches!(operand, Operand::Column(column) if column.undefined.is_some()));
    let undefined = marked.then(|| (0..len).map(|index| of(index).undefined(index)).collect());
    Operand::Column(Arc::new(Column { values, undefined }))
}

fn coalesce(operands: &[Operand], len: usize) -> Operand {
    let mut column = Column { values: vec![f64::NAN; len], undefined: None };
    for index in 0..len {
        let mut present = operands.iter().map(|operand| operand.at(index)).filter(|value| !value.is_nan());
        match present.next() {
            Some(value) => column.values[index] = value,
            None if operands.iter().any(|operand| operand.undefined(index)) => {
                column.undefined.get_or_insert_with(|| vec![false; len])[index] = true;
            }
            None => {}
        }
    }
    Operand::Column(Arc::new(column))
}
