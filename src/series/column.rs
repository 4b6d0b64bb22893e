//! A column: the values of one series on a time axis, with its nulls.

use pulp::Arch;

/// One value for each bucket of an axis. A null is NaN in `values`; no value is infinite. Where `undefined` is present, it
/// is as long as `values`, and a true entry says that the null there came from a result that was not finite (or was made
/// from one), not from missing data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Column {
    /// The values; NaN is null.
    pub values: Vec<f64>,
    /// Which nulls are undefined; `None` when none is.
    pub undefined: Option<Vec<bool>>,
}

impl Column {
    /// A column of values of which those that are infinite, since something overflowed, become undefined nulls.
    pub fn settled(mut values: Vec<f64>, mut undefined: Option<Vec<bool>>) -> Column {
        if any(&values, f64::is_infinite) {
            let len = values.len();
            let marks = undefined.get_or_insert_with(|| vec![false; len]);
            for (value, mark) in values.iter_mut().zip(marks).filter(|(value, _)| value.is_infinite()) {
                (*value, *mark) = (f64::NAN, true);
            }
        }
        Column { values, undefined }
    }

    /// The value at `index`, `None` for a null.
    pub fn get(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|value| !value.is_nan())
    }

    /// Whether the null at `index` is undefined.
    pub fn is_undefined(&self, index: usize) -> bool {
        self.undefined.as_ref().is_some_and(|marks| marks[index])
    }

    /// The runs of undefined nulls as `[start, length]`, ascending.
    pub fn undefined_runs(&self) -> Vec<[usize; 2]> {
        let mut runs: Vec<[usize; 2]> = Vec::new();
        for (index, _) in self.undefined.iter().flatten().enumerate().filter(|(_, mark)| **mark) {
            match runs.last_mut() {
                Some([start, length]) if *start + *length == index => *length += 1,
                _ => runs.push([index, 1]),
            }
        }
        runs
    }
}

/// Whether there is a null among values.
pub fn any_null(values: &[f64]) -> bool {
    any(values, f64::is_nan)
}

/// Values that are looked at together before it is asked whether one of them was found: a loop that may end at any value cannot
/// be made of vector instructions.
const TOGETHER: usize = 64;

fn any(values: &[f64], is: impl Fn(f64) -> bool) -> bool {
    wide(|| values.chunks(TOGETHER).any(|values| values.iter().fold(false, |any, value| any | is(*value))))
}

/// Runs a loop with the widest vectors that the processor has, not only with those that all of its kind have. Its results are the
/// same: nothing is contracted or reordered.
pub fn wide<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}
