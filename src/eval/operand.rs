//! What an operator reads and gives.

use std::borrow::Cow;
use std::sync::Arc;

use crate::series::Column;

/// A column, or one value that stands for a whole one.
#[derive(Debug, Clone)]
pub enum Operand {
    /// The same everywhere.
    Constant {
        /// NaN is null.
        value: f64,
        /// Whether that null is undefined.
        undefined: bool,
    },
    /// One value a bucket.
    Column(Arc<Column>),
}

impl Operand {
    /// Null everywhere, for want of data.
    pub const NULL: Operand = Operand::Constant { value: f64::NAN, undefined: false };

    /// A column of values that may be infinite where something overflowed.
    pub fn settled(values: Vec<f64>, undefined: Option<Vec<bool>>) -> Operand {
        Operand::Column(Arc::new(Column::settled(values, undefined)))
    }

    /// Its `len` values.
    pub fn values(&self, len: usize) -> Cow<'_, [f64]> {
        match self {
            Operand::Constant { value, .. } => Cow::Owned(vec![*value; len]),
            Operand::Column(column) => Cow::Borrowed(&column.values),
        }
    }

    /// Which of its `len` values are undefined; `None` when none is.
    pub fn marks(&self, len: usize) -> Option<Cow<'_, [bool]>> {
        match self {
            Operand::Constant { undefined, .. } => undefined.then(|| Cow::Owned(vec![true; len])),
            Operand::Column(column) => column.undefined.as_deref().map(Cow::Borrowed),
        }
    }

    /// The operand as a column of `len` values.
    pub fn into_column(self, len: usize) -> Column {
        match self {
            Operand::Constant { value, undefined } => {
                Column { values: vec![value; len], undefined: undefined.then(|| vec![true; len]) }
            }
            Operand::Column(column) => Arc::unwrap_or_clone(column),
        }
    }
}
